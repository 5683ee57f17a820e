"""Sound is decoded to the exact length, at the right place in time, and never clipped."""

import av
import numpy as np
import pytest
import soundfile

from pipeline.media.audio import (
    is_silent,
    limit_peak,
    peak,
    read_audio,
    reduce_noise,
    rms_db,
    write_sound,
    write_wav,
)
from pipeline.media.video import write_video
from pipeline.runtime.errors import UserError
from tests.media.conftest import numbered, tone


@pytest.mark.parametrize("sample_rate", [11_025, 22_050, 44_100])
@pytest.mark.parametrize(
    ("start_s", "duration_s"), [(0.0, 1.0), (0.7, 2.0), (2.5, 2.0), (1.0, 0.3337)]
)
def test_a_stretch_has_its_exact_length_and_place(tmp_path, sample_rate, start_s, duration_s):
    times = np.arange(round(4 * 48_000)) / 48_000
    sweep = 0.6 * np.sin(2 * np.pi * (200 + 100 * times) * times)
    soundfile.write(tmp_path / "sweep.flac", np.stack([sweep, sweep], 1), 48_000)
    got = read_audio(tmp_path / "sweep.flac", sample_rate, start_s, duration_s)
    at = start_s + np.arange(round(duration_s * sample_rate)) / sample_rate
    expected = np.where(at < 4, 0.6 * np.sin(2 * np.pi * (200 + 100 * at) * at), 0)
    assert got.shape == expected.shape
    assert got.dtype == np.float32
    inner = (
        slice(50, -50)
        if start_s + duration_s < 4
        else slice(50, round((4 - start_s) * sample_rate) - 50)
    )
    assert (
        np.abs(got - expected)[inner].max() < 0.04
    )  # half a sample of the file, at the sweep's highest pitch
    assert np.abs(got[at > 4.01]).max(initial=0) < 1e-3


def test_a_stretch_of_a_lossy_track_equals_the_same_stretch_of_the_whole(tmp_path):
    write_video(tmp_path / "a.mp4", numbered(60), 15, tone(4.0), 22_050)
    whole = read_audio(tmp_path / "a.mp4", 22_050)
    part = read_audio(tmp_path / "a.mp4", 22_050, 1.5, 1.0)
    np.testing.assert_allclose(part, whole[33_075 : 33_075 + 22_050], atol=1e-4)


def test_channels_are_averaged(tmp_path):
    left = tone(0.5)
    soundfile.write(
        tmp_path / "s.wav", np.stack([left, np.zeros_like(left)], 1), 22_050, subtype="FLOAT"
    )
    np.testing.assert_allclose(read_audio(tmp_path / "s.wav", 22_050), left / 2, atol=1e-6)


def test_peaks_above_one_are_scaled_and_not_clipped(tmp_path):
    loud = tone(0.5, level=1.34)
    soundfile.write(tmp_path / "loud.wav", loud, 22_050, subtype="FLOAT")
    got = read_audio(tmp_path / "loud.wav", 22_050)
    np.testing.assert_allclose(got, loud / peak(loud), atol=1e-6)
    write_wav(tmp_path / "written.wav", loud, 22_050)
    np.testing.assert_allclose(
        soundfile.read(tmp_path / "written.wav")[0], loud / peak(loud), atol=1e-4
    )
    np.testing.assert_array_equal(limit_peak(loud / 2), loud / 2)


def test_silence_is_a_matter_of_level():
    assert is_silent(np.zeros(100))
    assert is_silent(np.zeros(0))
    assert is_silent(tone(1.0, level=0.002))
    assert not is_silent(tone(1.0, level=0.02))
    assert rms_db(tone(1.0, level=1.0)) == pytest.approx(-3.01, abs=0.01)


def test_noise_reduction_keeps_length_and_takes_noise_away():
    music = tone(2.0) * (np.arange(44_100) % 11_025 < 4_000)
    noisy = music + np.random.default_rng(0).normal(0, 0.02, 44_100).astype(np.float32)
    clean = reduce_noise(noisy, 22_050)
    pause = (np.arange(44_100) % 11_025 > 6_000) & (np.arange(44_100) % 11_025 < 10_000)
    assert clean.shape == noisy.shape
    assert clean.dtype == np.float32
    assert rms_db(clean[pause]) < rms_db(noisy[pause]) - 3
    assert not reduce_noise(np.zeros(22_050, np.float32), 22_050).any()


def test_what_is_no_sound_is_one_sentence(tmp_path):
    write_video(tmp_path / "mute.mp4", numbered(5), 10)
    (tmp_path / "text.mp3").write_text("no music")
    with pytest.raises(UserError, match="mute.mp4 has no sound track"):
        read_audio(tmp_path / "mute.mp4", 22_050)
    with pytest.raises(UserError, match="text.mp3 cannot be decoded"):
        read_audio(tmp_path / "text.mp3", 22_050)
    with pytest.raises(UserError, match="absent.wav does not exist"):
        read_audio(tmp_path / "absent.wav", 22_050)


def test_sound_that_begins_later_than_the_pictures_stays_in_step(tmp_path):
    with av.open(str(tmp_path / "late.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8_000, layout="mono")
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for image in numbered(20):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
        frame = av.AudioFrame.from_ndarray(
            (tone(1.0, 8_000) * 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = 8_000, 4_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    got = read_audio(tmp_path / "late.mkv", 8_000, 0.0, 2.0)
    assert not got[:3_990].any()
    assert rms_db(got[4_100:11_900]) > -12


def test_real_loud_and_near_silent_tracks(dance_videos):
    loud = read_audio(dance_videos / "aist_original_music" / "motivation_gt.mp4", 22_050, 1.0, 2.0)
    assert loud.shape == (44_100,)
    assert peak(loud) <= 1
    assert is_silent(read_audio(dance_videos / "in_the_wild" / "jacky_dance.mp4", 22_050))
    assert not is_silent(read_audio(dance_videos / "in_the_wild" / "fiyud_dance.mp4", 22_050))


@pytest.mark.parametrize("ending", [".wav", ".mp3", ".flac"])
@pytest.mark.parametrize("rate", [22_050, 16_384])
def test_sound_is_written_in_three_kinds_as_long_as_it_is(tmp_path, ending, rate):
    music = tone(1.37, rate)
    for name in ("a", "b"):
        write_sound(tmp_path / f"{name}{ending}", music, rate)
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    heard = read_audio(tmp_path / f"a{ending}", rate)
    assert abs(len(heard) - len(music)) <= 2
    middle = slice(2000, 20_000)
    assert rms_db(heard[middle] - music[middle]) - rms_db(music[middle]) < -25


def test_an_unknown_kind_of_sound_is_told(tmp_path):
    with pytest.raises(UserError, match=r"a.ogg: sound is written as .wav, .mp3, .flac"):
        write_sound(tmp_path / "a.ogg", tone(0.1), 22_050)

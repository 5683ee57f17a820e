"""Frames come at the wanted rate, in step and upright, from every container; broken files are one
sentence.
"""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from pipeline.media.audio import read_audio, rms_db
from pipeline.media.video import mux_sound, probe, read_frames, write_clip, write_video
from pipeline.runtime.errors import UserError
from tests.media.conftest import number_of, numbered, tone


def write(path, frames, rate, codec, times=None, rotation=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.bit_rate = 4_000_000
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = times[number], Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "mpeg4"),
        ("a.avi", "mpeg4"),
        ("a.webm", "libvpx"),
        ("a.mkv", "libx264"),
    ],
)
def test_containers(tmp_path, name, codec):
    write(tmp_path / name, numbered(30), 15, codec)
    info = probe(tmp_path / name)
    assert (info.width, info.height, info.n_frames, info.has_audio) == (64, 48, 30, False)
    assert info.fps == pytest.approx(15)
    assert info.duration_s == pytest.approx(2.0, abs=0.1)
    got = [number_of(frame) for frame in read_frames(tmp_path / name, 15)]
    np.testing.assert_allclose(got, np.arange(30), atol=1.2)


@pytest.mark.parametrize("fps", [5, 12.5, 20, 29.97, 30, 60])
@pytest.mark.parametrize(("start_s", "duration_s"), [(0.0, 2.0), (0.55, 1.0), (1.2, 0.8)])
def test_frames_are_the_nearest_in_time_and_exactly_as_many(tmp_path, fps, start_s, duration_s):
    write_video(tmp_path / "v.mp4", numbered(60), 30)
    got = np.array(
        [number_of(frame) for frame in read_frames(tmp_path / "v.mp4", fps, start_s, duration_s)]
    )
    assert len(got) == round(duration_s * fps)
    wanted = np.minimum((start_s + np.arange(len(got)) / fps) * 30, 59)
    assert np.abs(got - wanted).max() < 0.5 + 0.6


def test_variable_frame_rate(tmp_path):
    times = np.cumsum(np.random.default_rng(0).integers(1, 4, 40))
    times -= times[0]
    write(tmp_path / "v.mkv", numbered(40), 30, "libx264", times=times.tolist())
    wanted = np.arange(0, 2, 0.1)
    got = [number_of(frame) for frame in read_frames(tmp_path / "v.mkv", 10, 0.0, 2.0)]
    distances = np.abs(times[None] / 30 - wanted[:, None])
    shown = distances[np.arange(20), np.round(got).astype(int)]
    np.testing.assert_allclose(shown, distances.min(1), atol=0.002)  # the file keeps milliseconds


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotation_is_applied_as_other_players_do(tmp_path, rotation):
    write(tmp_path / "v.mp4", numbered(3), 10, "libx264", rotation=rotation)
    frame = next(read_frames(tmp_path / "v.mp4", 10))
    capture = cv2.VideoCapture(str(tmp_path / "v.mp4"))
    expected = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 6
    info = probe(tmp_path / "v.mp4")
    assert (info.height, info.width) == frame.shape[:2]


def test_scaling_by_the_short_side(tmp_path):
    write_video(tmp_path / "v.mp4", numbered(2, height=96, width=64), 10)
    assert next(read_frames(tmp_path / "v.mp4", 10, short_side=32)).shape == (48, 32, 3)


def test_the_last_picture_stands_in_only_briefly(tmp_path):
    write_video(tmp_path / "v.mp4", numbered(20), 10)
    assert len(list(read_frames(tmp_path / "v.mp4", 10, 0.0, 2.2))) == 22
    with pytest.raises(UserError, match="v.mp4 ends at 2.00 s"):
        list(read_frames(tmp_path / "v.mp4", 10, 1.0, 2.0))


def test_memory_is_flat(tmp_path):
    write_video(tmp_path / "v.mp4", (frame for frame in numbered(60)), 25)
    frames = read_frames(tmp_path / "v.mp4", 25)
    assert number_of(next(frames)) == pytest.approx(0, abs=1)
    frames.close()


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_truncated_files_are_named(tmp_path, kept):
    rng = np.random.default_rng(0)
    whole = tmp_path / "whole.mp4"
    write_video(whole, rng.integers(0, 255, (40, 64, 64, 3), dtype=np.uint8), 10, tone(4.0), 22_050)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * kept)])
    with pytest.raises(UserError, match="broken.mp4"):
        probe(broken)


def test_a_file_cut_off_behind_its_header_is_named(tmp_path):
    with av.open(str(tmp_path / "whole.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for image in np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), dtype=np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "broken.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="broken.mp4"):
        probe(tmp_path / "broken.mp4")


def test_what_is_no_video_is_one_sentence(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(UserError, match="text.mp4 cannot be decoded"):
        probe(tmp_path / "text.mp4")
    with pytest.raises(UserError, match="no frame"):
        write_video(tmp_path / "none.mp4", [], 10)
    assert not (tmp_path / "none.mp4").exists()


def test_writing_is_reproducible_and_keeps_odd_sizes_and_sound(tmp_path):
    frames = numbered(20, height=49, width=65)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames, 10, tone(2.0), 22_050)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.n_frames, info.has_audio) == (64, 48, 20, True)
    assert len(read_audio(tmp_path / "a.mp4", 22_050)) == pytest.approx(44_100, abs=2_100)


def test_new_sound_under_old_pictures(tmp_path):
    write(tmp_path / "turned.mp4", numbered(20), 10, "libx264", rotation=90)
    mux_sound(tmp_path / "turned.mp4", tmp_path / "new.mp4", tone(2.0, level=1.5), 22_050)
    before, after = probe(tmp_path / "turned.mp4"), probe(tmp_path / "new.mp4")
    assert (after.width, after.height, after.n_frames, after.has_audio) == (
        before.width,
        before.height,
        20,
        True,
    )
    assert rms_db(read_audio(tmp_path / "new.mp4", 22_050)) == pytest.approx(-3, abs=1.5)
    for old, new in zip(
        read_frames(tmp_path / "turned.mp4", 10), read_frames(tmp_path / "new.mp4", 10), strict=True
    ):
        np.testing.assert_array_equal(old, new)


def test_a_stretch_under_new_sound(tmp_path):
    write_video(tmp_path / "v.mp4", numbered(60), 30)
    write_clip(
        tmp_path / "v.mp4", tmp_path / "clip.mp4", 0.5, 1.0, tone(1.0), 22_050, short_side=32
    )
    info = probe(tmp_path / "clip.mp4")
    assert (info.height, info.n_frames, info.has_audio) == (32, 30, True)
    assert number_of(next(read_frames(tmp_path / "clip.mp4", 30))) == pytest.approx(15, abs=1.2)


def test_real_videos_are_read_whole(dance_videos):
    info = probe(dance_videos / "in_the_wild" / "fiyud_dance.mp4")
    assert (info.width, info.height, info.has_audio) == (720, 1280, True)
    silent = dance_videos / "aist_silent" / "0.mp4"
    assert not probe(silent).has_audio
    assert len(list(read_frames(silent, 20, 3.3, 2.0, short_side=96))) == 40


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4", "late.mov"])
def test_new_sound_begins_and_ends_with_the_pictures(tmp_path, name):
    """Pictures that begin late, as those of films cut without a new coding do."""
    write(tmp_path / name, numbered(37), 20, "libx264", times=range(3, 40))
    info = probe(tmp_path / name)
    seconds = info.duration_s - info.start_s
    assert seconds == pytest.approx(1.85, abs=0.05)
    mux_sound(tmp_path / name, tmp_path / "new.mp4", tone(seconds), 22_050)
    shown = [number_of(frame) for frame in read_frames(tmp_path / "new.mp4", 20)]
    np.testing.assert_allclose(shown, np.arange(37), atol=1.2)
    with av.open(str(tmp_path / "new.mp4")) as container:
        starts = [float(s.start_time * s.time_base) for s in container.streams]
        lengths = [float(s.duration * s.time_base) for s in container.streams]
    assert starts == [0, 0]
    assert abs(lengths[0] - lengths[1]) <= 0.011
    assert len(read_audio(tmp_path / "new.mp4", 48_000)) / 48_000 == pytest.approx(
        seconds, abs=0.011
    )


def test_the_sound_of_a_film_is_that_of_the_music(tmp_path):
    write_video(tmp_path / "v.mp4", numbered(20), 10)
    notes = sum(tone(2.0, level=0.1, hertz=hertz) for hertz in (110, 330, 1320, 2750))
    mux_sound(tmp_path / "v.mp4", tmp_path / "new.mp4", notes, 22_050)
    heard = read_audio(tmp_path / "new.mp4", 22_050, 0.0, 2.0)
    middle = slice(2000, 42_000)
    error = rms_db(heard[middle] - notes[middle]) - rms_db(notes[middle])
    assert error < -30

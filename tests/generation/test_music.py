"""Music is as long as the pictures, a seed decides it, and an edit leaves what it is to leave."""

import av
import numpy as np
import pytest
import torch

from pipeline.generation.dances import PoseSource
from pipeline.generation.drawing import FREE, loosened
from pipeline.generation.music import window_places
from pipeline.generation.opening import open_model
from pipeline.media.audio import read_audio, write_wav
from pipeline.media.video import probe
from pipeline.runtime.errors import UserError
from tests.generation.conftest import MARKERS
from tests.helpers.small_models import HOP, LENGTH, RATE, dance_files, write_dance, write_openpose


@pytest.mark.parametrize(("seconds", "fps"), [(0.6, 24), (1.0, 50), (1.55, 29.97), (2.3, 59.94)])
def test_music_is_as_long_as_the_pictures(music, tmp_path, seconds, fps):
    dance = write_dance(tmp_path / "dance.mp4", seconds, fps)
    made = music.generate(dance, pose=MARKERS)
    pictures_s = probe(dance).duration_s
    assert made.waveforms.shape == (1, round(pictures_s * RATE))
    assert np.abs(made.waveforms).max() > 0
    (film,) = made.save(tmp_path / "made.mp4")
    with av.open(str(film)) as container:
        lengths = [float(s.duration * s.time_base) for s in container.streams]
    assert abs(lengths[0] - lengths[1]) <= 0.02
    assert abs(len(read_audio(film, RATE)) / RATE - pictures_s) <= 0.02


def test_a_seed_gives_the_same_bytes_alone_and_among_others(music, tmp_path):
    dance = write_dance(tmp_path / "dance.mp4", 1.4)
    many = music.generate(dance, seeds=[0, 1, 2], pose=MARKERS)
    alone = music.generate(dance, seeds=[1], pose=MARKERS)
    assert many.tokens[1].tobytes() == alone.tokens[0].tobytes()
    assert many.waveforms[1].tobytes() == alone.waveforms[0].tobytes()
    assert len({row.tobytes() for row in many.waveforms}) == 3
    for run in ("first", "second"):
        files = [alone.save(tmp_path / run / f"m{end}")[0] for end in (".mp4", ".wav", ".flac")]
        assert all(file.stat().st_size > 1000 for file in files)
    for end in (".mp4", ".wav", ".flac"):
        one, two = (tmp_path / run / f"m{end}" for run in ("first", "second"))
        assert one.read_bytes() == two.read_bytes()


def test_another_dance_gives_other_music_and_what_is_drawn_follows_the_settings(music, tmp_path):
    dances = [write_dance(tmp_path / f"{seed}.mp4", 1.0, seed=seed) for seed in (0, 3)]
    first, second = (music.generate(dance, pose=MARKERS).tokens for dance in dances)
    assert (first != second).any()
    calm = music.generate(dances[0], pose=MARKERS, truncation=1e-6, steps=6).tokens
    assert (calm != first).any()


def test_several_seeds_are_saved_beside_each_other(music, tmp_path):
    made = music.generate(write_dance(tmp_path / "d.mp4", 1.0), seeds=[4, 7], pose=MARKERS)
    saved = made.save(tmp_path / "out.mp3")
    assert [file.name for file in saved] == ["out_seed4.mp3", "out_seed7.mp3"]
    sounds = [read_audio(file, RATE) for file in saved]
    assert [len(sound) for sound in sounds] == [RATE, RATE]
    with pytest.raises(UserError, match="saved as .mp4"):
        made.save(tmp_path / "out.ogg")


@pytest.mark.parametrize(("n_tokens", "length"), [(50, 50), (51, 50), (75, 50), (260, 50)])
def test_windows_overlap_and_cover_everything(n_tokens, length):
    places = window_places(n_tokens, length)
    assert places[0] == 0
    assert places[-1] + length == n_tokens
    assert all(0 < b - a <= length // 2 for a, b in zip(places, places[1:]))


def test_a_window_keeps_what_the_last_one_played(music, tmp_path, monkeypatch):
    asked = []

    def remembered(network, condition, sampling, generator, tokens, on_step):
        asked.append(tokens.copy())
        return np.where(tokens == FREE, len(asked), tokens)

    monkeypatch.setattr("pipeline.generation.music.drawn", remembered)
    made = music.generate(write_dance(tmp_path / "d.mp4", 2.2), pose=MARKERS)
    assert (asked[0] == FREE).all()
    for number, window in enumerate(asked[1:], start=1):
        known = window != FREE
        assert known.sum() >= LENGTH // 2
        assert set(window[known]) <= set(range(1, number + 1))
    assert set(made.tokens[0]) == set(range(1, len(asked) + 1))


@pytest.fixture
def song(music, tmp_path):
    """Music of the model's own: what it makes for a dance of two seconds."""
    dance = write_dance(tmp_path / "song.mp4", 2.0)
    return music.generate(dance, pose=MARKERS, seeds=[5]).save(tmp_path / "song.wav")[0]


def test_an_edit_leaves_the_other_tokens_and_their_sound(music, song, tmp_path):
    other = write_dance(tmp_path / "other.mp4", 2.0, seed=2)
    made = music.edit(song, dance=other, span=(0.8, 1.4), pose=MARKERS, seeds=[0, 1])
    heard = read_audio(song, RATE)
    gain = np.abs(heard).max() / 0.95
    whole = music.codec.encode(torch.from_numpy(heard / np.float32(gain))[None])
    first, last = round(0.8 * RATE / HOP), round(1.4 * RATE / HOP)
    for row in made.tokens:
        np.testing.assert_array_equal(row[:first], whole[0, :first])
        np.testing.assert_array_equal(row[last:], whole[0, last:])
    changed = made.tokens[:, first:last]
    assert (changed != whole[0, first:last].numpy()).mean() > 0.5
    assert (changed[0] != changed[1]).any()
    far = music.codec._reach(1) + 8  # tokens that the decoder looks to either side
    through = gain * music.codec.decode(whole)[0].numpy()
    for waveform in made.waveforms:
        before, after = slice(0, (first - far) * HOP), slice((last + far) * HOP, None)
        np.testing.assert_allclose(waveform[before], through[before], atol=1e-5)
        np.testing.assert_allclose(waveform[after], through[after], atol=1e-5)
        between = slice(first * HOP, last * HOP)
        assert np.abs(waveform[between] - through[between]).max() > 1e-3


def test_music_goes_on_where_the_dance_is_longer(music, song, tmp_path):
    dance = write_dance(tmp_path / "long.mp4", 3.1)
    made = music.edit(song, dance=dance, span=(3.0, 3.1), pose=MARKERS)
    assert made.waveforms.shape[1] == round(3.1 * RATE)
    again = music.edit(song, dance=dance, span=(3.0, 3.1), pose=MARKERS, seeds=[1])
    whole = 2 * RATE // HOP
    np.testing.assert_array_equal(made.tokens[0, :whole], again.tokens[0, :whole])
    assert (made.tokens[0, whole:] != again.tokens[0, whole:]).any()


def test_a_variation_changes_no_more_than_its_share(music, song, tmp_path):
    dance = write_dance(tmp_path / "d.mp4", 2.0)
    whole = music.edit(song, dance=dance, span=(0, 0.001), strength=1e-9, pose=MARKERS).tokens[0]
    varied = music.edit(song, dance=dance, strength=0.3, pose=MARKERS).tokens[0]
    assert 0.1 < (varied != whole).mean() <= 0.31


def test_what_is_loosened_lies_in_the_region():
    tokens, region = np.arange(100), np.arange(100) >= 60
    loose = loosened(tokens, region, 0.5, np.random.default_rng(0)) == FREE
    assert loose.sum() == 20
    assert not loose[:60].any()


def test_bad_clips_are_one_sentence(music, song, tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    flash = write_dance(tmp_path / "flash.mp4", 0.1)
    long = write_dance(tmp_path / "long.mp4", 2.5)
    for file, words in [
        (tmp_path / "text.mp4", "cannot be decoded"),
        (tmp_path / "nothing.mp4", "does not exist"),
        (flash, "lasts 0.10 s"),
    ]:
        with pytest.raises(UserError, match=words):
            music.generate(file, pose=MARKERS)
    with pytest.raises(UserError, match="unless asked"):
        music.generate(long, pose=MARKERS, longest_s=2.0)
    write_wav(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(UserError, match="is silent"):
        music.edit(tmp_path / "silent.wav", dance=long, pose=MARKERS)
    for span in [(1.0, 1.0), (-1, 1), (1.0, 4.0)]:
        with pytest.raises(UserError, match="does not lie in"):
            music.edit(song, dance=long, span=span, pose=MARKERS)
    for strength in (0, 1.5, -1):
        with pytest.raises(UserError, match="strength"):
            music.edit(song, dance=long, strength=strength, pose=MARKERS)


def test_nobody_in_the_picture_is_one_sentence(music, tmp_path, monkeypatch):
    dance = write_dance(tmp_path / "empty.mp4", 1.0)
    clips = music._reader(MARKERS)
    monkeypatch.setattr(clips.pose, "_markers", lambda frames: np.zeros((len(frames), 17, 3)))
    with pytest.raises(UserError, match="no visible dancer"):
        music.generate(dance, pose=MARKERS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"steps": 99}, "99"),
        ({"truncation": 0.0}, "truncation is 0.0"),
        ({"order": "sideways"}, "order is 'sideways'"),
        ({"temprature": 1.0}, "temprature is no way of drawing"),
        ({"seeds": []}, "seeds are"),
        ({"seeds": [1, 1]}, "seeds are"),
        ({"genre": "BR"}, "hears of no genre"),
    ],
)
def test_settings_out_of_range_are_one_sentence(music, tmp_path, given, words):
    dance = write_dance(tmp_path / "d.mp4", 1.0)
    with pytest.raises(UserError, match=words):
        music.generate(dance, pose=MARKERS, **given)


@pytest.mark.parametrize(("told", "lacks"), [("motion", "visual"), ("visual", "motion")])
def test_a_model_that_cannot_do_without_says_so(music, tmp_path, told, lacks):
    dance = write_dance(tmp_path / "d.mp4", 1.0)
    with pytest.raises(UserError, match=f"reads `{lacks}`, which is not among the inputs"):
        music.generate(dance, pose=MARKERS, condition=told)


def test_a_model_that_learned_to_do_without_plays_from_either(tmp_path):
    model = open_model(dance_files(tmp_path, dropout={"motion": 0.2, "visual": 0.2}))
    dance = write_dance(tmp_path / "d.mp4", 1.0)
    made = {
        told: model.generate(dance, pose=MARKERS, condition=told).tokens.tobytes()
        for told in ("both", "motion", "visual")
    }
    assert len(set(made.values())) == 3
    nobody = PoseSource("openpose")  # whoever sees the pictures alone needs no dancer
    assert model.generate(dance, pose=nobody, condition="visual").tokens.tobytes() == made["visual"]


def test_a_model_that_takes_the_genre_asks_for_it(tmp_path):
    model = open_model(dance_files(tmp_path, genre_input=True))
    dance = write_dance(tmp_path / "d.mp4", 1.0)
    for genre in (None, "polka"):
        with pytest.raises(UserError, match="give one of BR, PO"):
            model.generate(dance, pose=MARKERS, genre=genre)
    first, second = (model.generate(dance, pose=MARKERS, genre=g).tokens for g in ("BR", "PO"))
    assert (first != second).any()


def test_poses_that_do_not_fit_are_one_sentence(tmp_path):
    model = open_model(dance_files(tmp_path, kind="smpl219"))
    dance = write_dance(tmp_path / "d.mp4", 1.0)
    with pytest.raises(UserError, match="small_dance, which reads smpl219 poses"):
        model.generate(dance)
    with pytest.raises(UserError, match="give their file or folder"):
        model.generate(dance, pose=PoseSource("aist_smpl"))
    with pytest.raises(UserError, match="holds no poses of d.mp4"):
        (tmp_path / "poses").mkdir()
        model.generate(dance, pose=PoseSource("aist_smpl", poses=tmp_path / "poses"))


def test_annotated_poses_take_the_place_of_a_reader(tmp_path):
    model = open_model(dance_files(tmp_path, kind="body25"))
    dance = write_dance(tmp_path / "d.mp4", 1.0, fps=20)
    write_openpose(tmp_path / "poses" / "d", 20)
    made = model.generate(dance, pose=PoseSource("openpose", poses=tmp_path / "poses"))
    assert made.waveforms.shape == (1, RATE)

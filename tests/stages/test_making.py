"""Results never replace what a person has; what cannot be used is told, and the rest is done."""

import os

import numpy as np
import pytest

from pipeline.generation.results import Pictures
from pipeline.generation.timings import Timings
from pipeline.runtime.errors import UserError
from stages.generate import generate, named_videos, named_words
from stages.making import Job, asked_task, check_targets, sound_endings


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "here.mp4"
    path.write_bytes(b"somebody's only copy")
    return path


def test_a_clip_is_not_written_over(clip, monkeypatch):
    monkeypatch.chdir(clip.parent)
    with pytest.raises(UserError, match="is one of your files"):
        generate([clip], out=clip.parent, force=True)
    assert clip.read_bytes() == b"somebody's only copy"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_nor_through_a_link(clip, tmp_path, link):
    out = tmp_path / "out"
    out.mkdir()
    link(clip, out / "here.mp4")
    with pytest.raises(UserError, match="is one of your files"):
        check_targets([clip], [out / "here.mp4"], force=True)


def test_earlier_results_stay_unless_force(clip, tmp_path):
    target = tmp_path / "out" / "here.wav"
    target.parent.mkdir()
    target.write_bytes(b"liked it")
    with pytest.raises(UserError, match="--force"):
        check_targets([clip], [target], force=False)
    check_targets([clip], [target], force=True)
    assert target.read_bytes() == b"liked it"  # only the writing itself replaces it


def test_two_clips_of_one_name_are_told(tmp_path):
    with pytest.raises(UserError, match="would both become"):
        check_targets([], [tmp_path / "a_b.mp4"] * 2, force=False)


def test_an_unusable_folder_is_told_before_the_work(clip):
    with pytest.raises(UserError, match="cannot be written to"):
        check_targets([clip], [clip / "inside" / "here.mp4"], force=False)


def test_names_of_results(tmp_path):
    for file in ("a/one.mp4", "a/b/two.MOV", "a/notes.txt", "three.mp4"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    named = named_videos([tmp_path / "a", tmp_path / "three.mp4"])
    assert list(named) == ["b_two", "one", "three"]
    with pytest.raises(UserError, match="both become one"):
        named_videos([tmp_path / "a", tmp_path / "a" / "one.mp4"])
    with pytest.raises(UserError, match="folder without videos"):
        (tmp_path / "empty").mkdir()
        named_videos([tmp_path / "empty"])
    words = named_words(["A red  circle!", "a/../b", "A red circle", "", "x" * 99])
    assert list(words) == ["A_red_circle", "a_b", "A_red_circle_", "nothing", "x" * 60]


def test_exactly_one_kind_of_thing_is_asked_for():
    assert asked_task(None, ["words"], None) == "caption"
    assert asked_task(None, [""], None) == "caption"
    for given in ((None, None, None), (["a"], ["b"], None), ([], None, [])):
        with pytest.raises(UserError, match="one of the three"):
            asked_task(*given)


def test_formats_of_sound():
    assert sound_endings("mp3", sound_only=False) == [".mp4", ".mp3"]
    assert sound_endings(".FLAC", sound_only=True) == [".flac"]
    with pytest.raises(UserError, match="choose one of wav, mp3, flac"):
        sound_endings("ogg", sound_only=False)


def a_picture(words):
    if words == "bad":
        raise UserError("it is bad.")
    return Pictures(np.zeros((1, 4), int), np.zeros((1, 3, 8, 8), np.float32), (0,))


def test_what_cannot_be_used_is_told_and_the_rest_is_done(tmp_path, capsys):
    job = Job(tmp_path, [".png"], [0], verbose=True)
    with pytest.raises(UserError, match="1 of 3 could not be used"):
        job.make({"a": "good", "b": "bad", "c": "better"}, a_picture, Timings())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "c.png"]
    told = capsys.readouterr()
    assert told.err == "bad left out: it is bad.\n"
    assert "together" in told.out
    with pytest.raises(UserError, match="it is bad"):
        job.make({"b": "bad"}, a_picture, Timings())


def test_every_seed_has_its_target(tmp_path):
    (tmp_path / "a_seed1.png").touch()
    with pytest.raises(UserError, match="a_seed1.png exist"):
        Job(tmp_path, [".png"], [0, 1]).check(["a"], [])
    Job(tmp_path, [".png"], [0]).check(["a"], [])

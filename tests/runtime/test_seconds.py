"""Seconds of stages are kept line by line, and never stop a stage."""

import subprocess
import sys

import stages.__main__ as command
from pipeline.runtime.seconds import last_seconds, note_seconds, seconds_file


def test_the_last_run_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    assert last_seconds() == {}
    note_seconds("digits", "train", 90.04)
    note_seconds("digits", "sample", 3)
    note_seconds("digits", "train", 80)
    assert last_seconds() == {("digits", "train"): 80.0, ("digits", "sample"): 3.0}
    with open(seconds_file(), "a") as lines:
        lines.write("digits,tra")  # a kill while writing
    assert len(last_seconds()) == 2


def test_a_home_that_cannot_be_written_is_no_mistake(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "file" / "home"))
    note_seconds("digits", "train", 1)
    assert last_seconds() == {}


def test_only_stages_of_a_data_set_are_noted(monkeypatch, tmp_path):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    for words in (["train", "--help"], ["report"], ["generate", "x"], ["train", "a"]):
        command._note(words, 1.0)
    assert last_seconds() == {("a", "train"): 1.0}


def test_a_stage_that_fails_is_not_noted(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "stages", "train", "nothing"],
        env={"CDCD_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
    )
    assert done.returncode
    assert not (tmp_path / "seconds.csv").exists()

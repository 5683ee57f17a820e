"""Data sets side by side: so many at a time, all of them, and none after a failure."""

import sys
import time

import pytest

from pipeline.runtime.files import read_json
from pipeline.runtime.threads import own_threads, physical_cores
from stages import repro
from stages.repro import dvc_repro, environment, side_by_side

NOTE = """
import json, os, sys, time
name, seconds, code = sys.argv[1:]
began = time.monotonic()
time.sleep(float(seconds))
told = {"began": began, "ended": time.monotonic(), "threads": os.environ["OMP_NUM_THREADS"]}
json.dump(told, open(name, "w"))
sys.exit(int(code))
"""


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch):
    monkeypatch.setattr(repro, "PAUSE_S", 0.02)


def noting(folder, *seconds, failing=()):
    return [
        [sys.executable, "-c", NOTE, str(folder / str(i)), str(s), "3" if i in failing else "0"]
        for i, s in enumerate(seconds)
    ]


def test_two_lanes_take_three_in_turn_and_share_the_cores(tmp_path):
    assert side_by_side(noting(tmp_path, 0.8, 0.8, 0.1), 2, 4) == 0
    first, second, third = (read_json(tmp_path / str(i)) for i in range(3))
    assert second["began"] < first["ended"]
    assert third["began"] >= min(first["ended"], second["ended"])
    assert {one["threads"] for one in (first, second, third)} == {"2"}


def test_after_a_failure_those_at_work_end_and_no_other_begins(tmp_path):
    assert side_by_side(noting(tmp_path, 0.6, 0.0, 0.0, failing=[1]), 2, 2) == 3
    assert (tmp_path / "0").exists()
    assert not (tmp_path / "2").exists()


def test_an_interruption_ends_what_runs(tmp_path, monkeypatch):
    def interrupted(_seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(repro.time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            side_by_side(noting(tmp_path, 60), 1, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.soak
def test_two_of_dvc_write_one_lock_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  evaluate:\n    matrix: {dataset: [a, b, c]}\n"
        "    cmd: sleep 1 && echo ${item.dataset} > ${item.dataset}\n"
        "    outs: ['${item.dataset}']\n"
    )
    start = [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"]
    assert side_by_side([start], 1, 1) == 0
    began = time.monotonic()
    assert side_by_side([dvc_repro(f"evaluate@{name}") for name in "abc"], 3, 3) == 0
    assert time.monotonic() - began < 300
    locked = (tmp_path / "dvc.lock").read_text()
    assert all(f"evaluate@{name}:" in locked for name in "abc")
    assert (tmp_path / "c").read_text() == "c\n"


def test_threads_and_path_of_a_command():
    found = environment(3)
    assert found["OMP_NUM_THREADS"] == "3"
    assert found["PATH"].startswith(sys.prefix) or sys.executable.startswith(
        found["PATH"].partition(":")[0]
    )


@pytest.mark.parametrize(("asked", "threads"), [("3", 3), ("4,2", 4), ("0", None), ("many", None)])
def test_the_threads_to_share_are_the_users_or_the_physical_cores(asked, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert own_threads() == (threads or physical_cores())

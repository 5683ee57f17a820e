"""Other processes make the same, in the same order; a lost one costs a piece, a killer is set
aside.
"""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.runtime.errors import UserError
from pipeline.runtime.shards import MOST, shards


def squares(folder: Path | None, once: frozenset, always: frozenset):
    """Work that squares numbers, and is killed by some: by those of `once` the first time."""

    def work(numbers: list[int]) -> dict:
        for number in numbers:
            died = folder is not None and (folder / f"{number}").exists()
            if number in always or (number in once and not died):
                assert folder is not None
                (folder / f"{number}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if number < 0:
                raise UserError(f"{number} is negative.")
        return {"x": np.array(numbers) ** 2, "process": np.array([os.getpid()])}

    return work


def made(folder, work, once=(), always=(), sets_aside=False):
    (folder / "shards").mkdir(exist_ok=True)
    opener = partial(squares, folder, frozenset(once), frozenset(always))
    return list(shards(folder / "shards", work, opener, "squares", sets_aside))


WORK = [[3 * n, 3 * n + 1, 3 * n + 2] for n in range(5)]


def test_two_processes_make_what_one_makes(tmp_path, run_yaml):
    alone = made(tmp_path, WORK)
    (tmp_path / "other").mkdir()
    run_yaml(processes=2)
    together = made(tmp_path / "other", WORK, once=[7])
    assert [part["x"].tolist() for part in together] == [part["x"].tolist() for part in alone]
    assert {int(part["process"][0]) for part in alone} == {os.getpid()}
    assert os.getpid() not in {int(part["process"][0]) for part in together}
    assert (tmp_path / "other" / "7").exists()


def test_what_kills_twice_is_set_aside_or_an_error(tmp_path, run_yaml):
    run_yaml(processes=1)
    parts = made(tmp_path, WORK[:3], always=[4], sets_aside=True)
    assert [part["x"].tolist() for part in parts] == [[0, 1, 4], [9, 25], [36, 49, 64]]
    assert [part.get("set_aside", np.array([])).tolist() for part in parts] == [[], [1], []]
    again = made(tmp_path, WORK[:3], sets_aside=True)
    assert again[1]["set_aside"].tolist() == [1]
    with pytest.raises(UserError, match="squares: an item kills"):
        made(tmp_path, [[1], [4]], always=[4])


def test_an_error_of_the_work_comes_through(tmp_path, run_yaml):
    run_yaml(processes=1)
    with pytest.raises(UserError, match="-1 is negative"):
        made(tmp_path, [[1], [-1]])


def test_the_number_of_shards_is_bounded_and_they_are_taken_up(tmp_path):
    work = [[number] for number in range(MOST * 2 + 5)]
    opened = []

    def opener():
        opened.append(1)
        return squares(None, frozenset(), frozenset())

    def run():
        return [int(part["x"][0]) for part in shards(tmp_path, work, opener, "many")]

    first = run()
    assert first == [number**2 for number in range(len(work))]
    files = sorted(tmp_path.iterdir())
    assert len(files) <= MOST
    assert run() == first
    assert len(opened) == 1
    files[3].unlink()
    files[5].write_bytes(files[5].read_bytes()[:90])
    assert run() == first
    assert sorted(tmp_path.iterdir()) == files

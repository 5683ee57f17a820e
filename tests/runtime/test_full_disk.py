"""However a disk says that it is full, and whatever was being written: one sentence, the earlier
file as it was, nothing half-written left.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, is_full
from tests.helpers.full_disk import can_mount
from tests.helpers.full_disk_kinds import WRITERS

ROOT = Path(__file__).resolve().parents[2]


def tried(mode, folder, *before):
    words = [*before, sys.executable, "-m", "tests.helpers.full_disk_kinds", mode, str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """What came of every writer where a file may have 64 KiB (as under a quota of files)."""
    return tried("limit", tmp_path_factory.mktemp("limit") / "place")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """What came of every writer on a file system in memory with 64 KiB left."""
    if not can_mount():
        pytest.skip("this machine lets nobody mount a file system")
    place = tmp_path_factory.mktemp("full") / "place"
    return tried("disk", place, "unshare", "--map-root-user", "--mount")


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_may_not_grow_is_one_sentence(limited, name):
    assert limited[name].startswith("No space left on the disk")
    assert "Changed" not in limited[name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_sentence(full, name):
    assert full[name].startswith("No space left on the disk")
    assert "Changed" not in full[name]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "x"),
        OSError(122, "x"),
        OSError(27, "x"),
        RuntimeError("unable to write: errno = 28, error message = 'No space left on device'"),
        RuntimeError("file write failed: error message = 'Disk quota exceeded'"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_every_form_is_known(error, tmp_path):
    assert is_full(error)
    (tmp_path / "a").write_text("earlier")
    with (
        pytest.raises(UserError, match="No space left on the disk while writing .*a; free"),
        atomic(tmp_path / "a") as temporary,
    ):
        temporary.write_text("half")
        raise error
    assert [file.read_text() for file in tmp_path.iterdir()] == ["earlier"]


def test_other_errors_are_not_taken_for_it():
    assert not is_full(OSError(13, "Permission denied"))
    assert not is_full(RuntimeError("No space for doubt"))

"""Only what nobody works on any more is taken for litter."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

from pipeline.runtime.files import atomic
from pipeline.runtime.litter import orphans, remove_orphan, sweep, temporaries
from pipeline.runtime.scratch import scratch


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_temporary_files_of_dead_processes_go_and_others_stay(tmp_path, dead):
    (tmp_path / "data" / "toy" / "samples").mkdir(parents=True)
    gone = [
        tmp_path / "data" / "toy" / f".tokens.h5.{dead}.tmp",
        tmp_path / "data" / "toy" / "samples" / f".a.png.{dead}.tmp",
    ]
    folder = tmp_path / "data" / f".toy.{dead}.tmp"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(1000))
    kept = [
        tmp_path / "data" / "toy" / f".tokens.h5.{os.getpid()}.tmp",
        tmp_path / "data" / "toy" / "tokens.h5",
        tmp_path / "data" / "toy" / f"notes.{dead}.tmp",
        tmp_path / "data" / "toy" / ".vqvae.pth.tar.0.part",
    ]
    for path in [*gone, *kept]:
        path.write_bytes(b"x")
    assert {found.path for found in temporaries(tmp_path)} == {*gone, folder}
    assert next(f.size for f in temporaries(tmp_path) if f.path == folder) == 1000
    assert len(sweep(tmp_path, tmp_path / "missing")) == 3
    assert not any(path.exists() for path in [*gone, folder])
    assert all(path.exists() for path in kept)


def test_a_number_that_another_process_bears_now_protects_nothing(tmp_path):
    path = tmp_path / f".tokens.h5.{os.getpid()}.tmp"
    path.write_bytes(b"x")
    assert temporaries(tmp_path) == []
    long_ago = time.time() - 30 * 86400
    os.utime(path, (long_ago, long_ago))
    assert [found.path for found in temporaries(tmp_path)] == [path]


def test_a_killed_write_leaves_what_the_next_stage_removes(tmp_path):
    code = f"""
        import os, signal
        from pathlib import Path
        from pipeline.runtime.files import atomic
        with atomic(Path({str(tmp_path / "model")!r})) as temporary:
            temporary.mkdir()
            (temporary / "part").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": "."},
        check=False,
    )
    assert len(list(tmp_path.iterdir())) == 1
    with atomic(tmp_path / "tokens.h5") as temporary:
        temporary.write_text("in the making")
        assert len(sweep(tmp_path)) == 1
        assert temporary.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.h5"]


def test_scratch_folders_are_orphans_only_when_no_process_holds_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    left = tmp_path / "scratch" / "left"
    left.mkdir(parents=True)
    (left / "000000.npz").write_bytes(bytes(500))
    (tmp_path / "scratch" / "left.lock").touch()
    with scratch("held"):
        assert [(found.path, found.size) for found in orphans()] == [(left, 500)]
    (found,) = orphans()
    with scratch("left"):
        assert orphans() == []
        assert not remove_orphan(found)
        assert left.exists()
        (left / "000001.npz").write_bytes(b"")
    left.mkdir()
    (found,) = orphans()
    assert remove_orphan(found)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_mistake_before_any_work_leaves_no_scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="early"), scratch("early"):
        raise ValueError("early")
    assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(ValueError, match="late"), scratch("late") as folder:
        (folder / "part").touch()
        raise ValueError("late")
    assert (tmp_path / "scratch" / "late" / "part").exists()

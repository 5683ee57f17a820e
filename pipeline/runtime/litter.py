"""What killed processes leave behind: temporary files beside outputs, and scratch folders.

Outputs are made under `.NAME.PID.tmp` and renamed (`pipeline.runtime.files.atomic`). Such a file is
litter when its process, on this machine, is gone, or was started after the file was last changed,
so that another process bears the number now.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.scratch import home

_TEMPORARY = re.compile(r"^\..+\.(\d+)\.tmp$")
_SLACK_S = 2.0  # file systems and process tables do not share a clock to the last digit


@dataclass(frozen=True)
class Leftover:
    """Something nobody works on any more: its path, bytes, and seconds since its last change."""

    path: Path
    size: int
    age_s: float


def temporaries(*roots: Path) -> list[Leftover]:
    """The temporary files and folders of dead processes below `roots`, by path."""
    return [_leftover(path) for root in roots for path in _below(root) if _is_dead(path)]


def orphans() -> list[Leftover]:
    """The scratch folders that no process holds, by path: unfinished work of killed stages, which
    the same stage, on the same inputs and code, would go on from.
    """
    root = home() / "scratch"
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir():
            with _held(folder) as free:
                if free:
                    found.append(_leftover(folder))
    return found


def sweep(*roots: Path) -> list[Leftover]:
    """What was removed: the temporary files of dead processes below `roots`."""
    removed = []
    for leftover in temporaries(*roots):
        try:
            _remove(leftover.path)
        except OSError:
            continue  # another stage swept it, or it is not ours to remove
        removed.append(leftover)
    return removed


def remove_orphan(leftover: Leftover) -> bool:
    """Whether the scratch folder was removed: not when a process has taken it up meanwhile."""
    with _held(leftover.path) as free:
        if free:
            _remove(leftover.path)
            leftover.path.with_suffix(".lock").unlink(missing_ok=True)
    return free


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether the lock of a scratch folder could be had, for the length of the block."""
    lock = folder.with_suffix(".lock")
    if not lock.exists():
        yield True
        return
    with open(lock, "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _below(root: Path) -> Iterator[Path]:
    """Every path that is named as a temporary file is, without looking into such folders."""
    for folder, names, files in os.walk(root):
        for name in sorted([*names, *files]):
            if _TEMPORARY.match(name):
                yield Path(folder) / name
        names[:] = sorted(name for name in names if not _TEMPORARY.match(name))


def _is_dead(path: Path) -> bool:
    """Whether the process that a temporary file is named by is gone."""
    import psutil

    named = _TEMPORARY.match(path.name)
    assert named is not None
    pid = int(named[1])
    try:
        started = psutil.Process(pid).create_time()
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return True
    except psutil.AccessDenied:
        return False
    try:
        return _last_change(path) < started - _SLACK_S
    except OSError:
        return False


def _last_change(path: Path) -> float:
    """When a file, or anything in a folder, was last changed."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return max(file.lstat().st_mtime for file in files)


def _leftover(path: Path) -> Leftover:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    facts = [file.lstat() for file in files if file.exists() or file.is_symlink()]
    size = sum(fact.st_size for file, fact in zip(files, facts) if not file.is_dir())
    age = time.time() - max((fact.st_mtime for fact in facts), default=time.time())
    return Leftover(path, size, max(0.0, age))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

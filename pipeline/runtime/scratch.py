"""Unfinished work that survives a kill: fingerprints, locked scratch folders, shards."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel

from pipeline.runtime.arrays import read_arrays
from pipeline.runtime.errors import DamagedFile
from pipeline.runtime.files import atomic, sha256_file
from pipeline.runtime.progress import progress

T = TypeVar("T")


def fingerprint(*objects: object) -> str:
    """A hex digest of settings (sections, plain values) and of the contents of files and folders
    given as `Path`.
    """
    digest = hashlib.sha256()
    for item in objects:
        digest.update(_canonical(item))
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _canonical(item: object) -> bytes:
    if isinstance(item, Path):
        if item.is_dir():
            files = sorted(
                file
                for file in item.rglob("*")
                if file.is_file() and "__pycache__" not in file.parts
            )
            return b"".join(
                str(file.relative_to(item)).encode() + sha256_file(file).encode() for file in files
            )
        return sha256_file(item).encode()
    if isinstance(item, BaseModel):
        item = item.model_dump(mode="json")
    return json.dumps(item, sort_keys=True).encode()


def home() -> Path:
    """The absolute folder for weights and scratch work: `CDCD_HOME`, or ~/.cache/cdcd."""
    return Path(os.environ.get("CDCD_HOME", Path.home() / ".cache" / "cdcd")).absolute()


@contextmanager
def scratch(mark: str) -> Iterator[Path]:
    """A locked folder for unfinished work named by the fingerprint `mark`: kept when killed,
    removed when all went well.

    It lies outside the checkout and is named by everything that determines the result, so neither
    another variant nor another copy of the repository can resume what is not its own. A second
    process with the same mark waits.
    """
    folder = home() / "scratch" / mark
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        try:
            yield folder
        except BaseException:
            if not any(folder.iterdir()):  # a mistake before any work
                folder.rmdir()
                folder.with_suffix(".lock").unlink(missing_ok=True)
            raise
        shutil.rmtree(folder)
        folder.with_suffix(".lock").unlink(missing_ok=True)


def shards(
    folder: Path, work: list[T], make: Callable[[T], dict[str, np.ndarray]], title: str
) -> Iterator[dict[str, np.ndarray]]:
    """The arrays that `make` gives for each piece of work, in order; pieces that `folder` already
    holds are read instead.

    Killed in the middle, the same call goes on after the last whole piece; pieces that are damaged,
    or were cut otherwise (the batch of run.yaml has changed), are made again.
    """
    for number, item in enumerate(progress(work, title)):
        path = folder / f"{number:06d}_{fingerprint(repr(item))}.npz"
        arrays = _read_shard(path)
        if arrays is None:
            made = make(item)
            with atomic(path) as temporary, open(temporary, "wb") as handle:
                np.savez(handle, allow_pickle=False, **made)
            arrays = {name: np.asarray(value) for name, value in made.items()}
        yield arrays


def _read_shard(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a finished piece; None where it is missing or damaged."""
    try:
        return read_arrays(path)
    except (FileNotFoundError, DamagedFile):
        return None

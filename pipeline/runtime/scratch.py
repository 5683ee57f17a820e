"""Unfinished work that survives a kill: fingerprints, locked scratch folders."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from pipeline.runtime.files import sha256_file


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

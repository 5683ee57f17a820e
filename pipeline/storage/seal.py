"""A seal after the last byte of a file: the SHA-256 of everything before it.

Readers of formats that tolerate bytes after their end (HDF5 does) need not know of it, and it can
be verified without trusting anything that the file says.
"""

import hashlib
import os
from pathlib import Path

from pipeline.runtime.errors import DamagedFile

MARK = b"\ncdcd sha256 "
LENGTH = len(MARK) + 64 + 1
_PIECE = 2**20


def seal(path: Path) -> None:
    """Appends the seal to a finished file."""
    digest = _digest(path, path.stat().st_size)
    with open(path, "ab") as file:
        file.write(MARK + digest.encode() + b"\n")


def is_sealed(path: Path) -> bool:
    """Whether the file ends with a seal, right or wrong."""
    return stated_digest(path) is not None


def verify_seal(path: Path) -> bool:
    """Whether the file ends with a seal; raises DamagedFile when it does not match the content."""
    stated = stated_digest(path)
    if stated is None:
        return False
    if stated != _digest(path, path.stat().st_size - LENGTH):
        raise DamagedFile(path, "its content does not match its seal")
    return True


def stated_digest(path: Path) -> str | None:
    """The digest that the file's seal states; None without a seal."""
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) < LENGTH:
            return None
        file.seek(-LENGTH, os.SEEK_END)
        end = file.read()
    if not end.startswith(MARK):
        return None
    return end[len(MARK) : -1].decode("latin1")


def _digest(path: Path, length: int) -> str:
    """The hex SHA-256 of the first `length` bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while length > 0 and (piece := file.read(min(_PIECE, length))):
            digest.update(piece)
            length -= len(piece)
    return digest.hexdigest()

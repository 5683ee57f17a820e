"""Files that appear whole or not at all; JSON; digests."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime.errors import DamagedFile, UserError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` (make a file or a folder there) that becomes `path` only when
    the block succeeds.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
        _sync(temporary)
        if path.is_dir():
            _remove(path)
        os.replace(temporary, path)
    except Exception as error:
        if is_full(error):
            raise UserError(no_space(path)) from None
        raise
    finally:
        _remove(temporary)


def is_full(error: BaseException) -> bool:
    """Whether it says that the disk, the quota or the size allowed to a file is used up: by its
    number or, where libraries pass on words alone, in those of HDF5 and safetensors.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(phrase in str(error) for phrase in _FULL_IN_WORDS)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_IN_WORDS = (
    *(os.strerror(number) for number in _FULL),
    *(f"os error {number})" for number in _FULL),
    *(f"errno = {number}," for number in _FULL),
)


def no_space(where: object) -> str:
    """The sentence for a full disk."""
    return f"No space left on the disk while writing {where}; free some and run the command again."


def _sync(path: Path) -> None:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Writes `content` as indented JSON with sorted keys, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict:
    """The content of a JSON file; raises UserError when it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; run the stage that makes it (`dvc repro`) first."
        ) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; a JSON file was expected there.") from None
    except (ValueError, RecursionError):
        raise DamagedFile(path, "it is not JSON") from None


def sha256_file(path: Path) -> str:
    """The hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

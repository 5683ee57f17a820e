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
        if _is_full(error):
            raise UserError(
                f"No space left on the disk while writing {path}; free some and run the command"
                " again."
            ) from None
        raise
    finally:
        _remove(temporary)


def _is_full(error: Exception) -> bool:
    """Whether it says that the disk or the quota is used up: by its number, in the words of HDF5
    and safetensors, or in those of torch.save, which tells a failed write and no reason.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    phrases = ("No space left", "os error 28", "Disk quota exceeded", "PytorchStreamWriter failed")
    return any(phrase in str(error) for phrase in phrases)


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

"""Unpacking archives that came over the network: nothing can leave the folder, grow without bound,
or stay half done.
"""

import errno
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipeline.runtime.errors import DamagedFile, UserError

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    LookupError,
    MemoryError,
    lzma.LZMAError,
    struct.error,
)
_OF_ITS_CONTENT = (  # a place before the start of the file, names that cannot be
    *(errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ),
    *(errno.ENOTEMPTY, None),  # no number: what gzip says
)


def unpack(archive: Path, folder: Path, max_bytes: int) -> None:
    """Unpacks a .zip, .tar, .tgz or .tar.gz into `folder`, merging with what is there.

    Raises UserError, with nothing written into or outside `folder`, when a member has an absolute
    path or `..`, is a link or a device, when the contents exceed `max_bytes`, when a file would
    take the place of a folder (or a folder that of a file), or when the archive is truncated or
    damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ending = f".{os.getpid()}.tmp"  # so that it is known for litter when this process is killed
    with tempfile.TemporaryDirectory(ending, ".unpacking-", folder) as temporary:
        try:
            members = _unzip if zipfile.is_zipfile(archive) else _untar
            for _ in members(archive, Path(temporary), max_bytes):
                pass
        except FileNotFoundError:
            raise UserError(f"{archive} does not exist; download it first.") from None
        except OSError as error:
            if error.errno not in _OF_ITS_CONTENT:
                raise
            raise DamagedFile(archive, str(error), "delete it and download it again") from None
        except _DAMAGED as error:
            reason = str(error).partition("\n")[0].strip() or type(error).__name__
            raise DamagedFile(archive, reason, "delete it and download it again") from None
        _refuse_conflicts(archive, Path(temporary), folder)
        _merge(Path(temporary), folder)


def _unzip(archive: Path, target: Path, max_bytes: int) -> Iterator[None]:
    """Extracts one member a step. Extraction stops at the declared size and checks the CRC, so the
    sum below holds.
    """
    total = 0
    with zipfile.ZipFile(archive) as content:
        for member in content.infolist():
            mode = member.external_attr >> 16
            regular = not mode or not stat.S_IFMT(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)
            total += member.file_size
            _refuse_unsafe(archive, member.filename, regular, total, max_bytes)
            content.extract(member, target)
            yield


def _untar(archive: Path, target: Path, max_bytes: int) -> Iterator[None]:
    """Extracts one member a step through Python's data filter, which also drops owners and odd
    permissions.
    """
    total = 0
    with tarfile.open(archive) as content:
        for member in content:
            total += member.size
            _refuse_unsafe(archive, member.name, member.isreg() or member.isdir(), total, max_bytes)
            content.extract(member, target, filter="data")
            yield
        content.fileobj.seek(content.offset)
        if content.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("the mark at its end is missing")


def _refuse_unsafe(archive: Path, name: str, regular: bool, total: int, max_bytes: int) -> None:
    """Raises UserError for a member that no data set needs."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        raise UserError(
            f"{archive} would write outside its folder ({name!r}); it is not the published file, do"
            " not use it."
        )
    if not regular:
        raise UserError(
            f"{archive} holds a link or a device ({name!r}); the published file has none, do not"
            " use it."
        )
    if total > max_bytes:
        raise UserError(
            f"{archive} unpacks to more than {max_bytes:,} bytes; the published file is smaller, do"
            " not use it."
        )


def _refuse_conflicts(archive: Path, source: Path, target: Path) -> None:
    """Raises UserError, before anything is moved, where a file would take the place of a folder, or
    a folder that of a file.
    """
    for entry in source.rglob("*"):
        place = target / entry.relative_to(source)
        if place.exists() and place.is_dir() != entry.is_dir():
            raise UserError(
                f"{archive} holds {entry.relative_to(source)}, but {place} is a"
                f" {'folder' if place.is_dir() else 'file'} there; move that away first."
            )


def _merge(source: Path, target: Path) -> None:
    """Moves everything in `source` into `target`; folders that exist are filled, files that exist
    are replaced.
    """
    for entry in source.iterdir():
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _merge(entry, place)
        else:
            shutil.move(entry, place)

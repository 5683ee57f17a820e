"""Arrays in .npy files, and in .npz files, where every one is held to its CRC; arrays on disk that
are filled piece by piece.
"""

import os
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic

_DAMAGED = (  # what numpy and zipfile raise for a file that was cut, emptied or altered
    *(OSError, ValueError, TypeError, AttributeError, KeyError, EOFError, SyntaxError),
    *(MemoryError, RuntimeError, OverflowError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error),
)


def read_arrays(path: Path, mend: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a .npz by name, read whole; raises DamagedFile, and FileNotFoundError when
    there is none.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = dict(arrays)
        if not all(isinstance(value, np.ndarray) for value in found.values()):
            raise ValueError("a zip of something else")
        return found
    except FileNotFoundError:
        raise
    except _DAMAGED:
        raise DamagedFile(path, "its arrays cannot be read", mend) from None


def read_array(path: Path) -> np.ndarray:
    """The array in a .npy file that somebody brings along; raises UserError for anything else."""
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} is not a .npy file of numbers ({reason}).") from None
    if not isinstance(values, np.ndarray):
        raise UserError(f"{path} is not a .npy file of numbers (it holds several).")
    return values


def array_on_disk(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> np.memmap:
    """A writable array mapped from a .npy file: as an earlier run left it, or zeros.

    All its space is taken before the first write, because a disk that becomes full under a mapped
    file ends the process without a word.
    """
    try:
        found = np.lib.format.open_memmap(path, "r+")
        if found.shape == shape and found.dtype == dtype:
            return found
    except _DAMAGED:
        pass  # missing, or of a run that was killed as it began
    with atomic(path) as temporary:
        np.lib.format.open_memmap(temporary, "w+", dtype, shape)
        with open(temporary, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return np.lib.format.open_memmap(path, "r+")

"""Arrays in .npz files, every one of them held to its CRC."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from pipeline.runtime.errors import DamagedFile

_DAMAGED = (  # what numpy and zipfile raise for a file that was cut, emptied or altered
    *(OSError, ValueError, TypeError, AttributeError, KeyError, EOFError, SyntaxError),
    *(MemoryError, RuntimeError, OverflowError, zipfile.BadZipFile, zlib.error),
)


def read_arrays(path: Path, mend: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a .npz by name, read whole; raises DamagedFile, and FileNotFoundError when
    there is none.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise
    except _DAMAGED:
        raise DamagedFile(path, "its arrays cannot be read", mend) from None

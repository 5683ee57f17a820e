"""Reading pickles from outside without running what is inside them."""

import pickle
from importlib import import_module
from pathlib import Path

import numpy as np

from pipeline.runtime.errors import DamagedFile, UserError


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """What Python 3 writes for bytes under protocol 2: `_codecs.encode(text, "latin1")`, for that
    encoding alone.
    """
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _numpy_reconstructors() -> dict[tuple[str, str], object]:
    """The callables that arrays pickle as, under the module names of numpy 1 and numpy 2."""
    multiarray, numeric = (
        import_module(f"numpy._core.{name}") for name in ("multiarray", "numeric")
    )
    allowed = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for core in ("numpy.core", "numpy._core"):
        allowed[f"{core}.multiarray", "_reconstruct"] = multiarray._reconstruct
        allowed[f"{core}.multiarray", "scalar"] = multiarray.scalar
        allowed[f"{core}.numeric", "_frombuffer"] = numeric._frombuffer
    return allowed


_CONTAINERS = {kind.__name__: kind for kind in (set, frozenset, bytearray, complex)}
_ALLOWED = _numpy_reconstructors() | {("_codecs", "encode"): _latin1}
_ALLOWED |= {
    (module, name): item
    for module in ("builtins", "__builtin__")
    for name, item in _CONTAINERS.items()
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None


def load_pickle(path: Path, encoding: str = "latin1") -> object:
    """The numbers, strings, containers and numpy arrays in a pickle; everything else in it is
    refused with a UserError.

    `encoding` reads the byte strings of Python 2 (`bytes` keeps them as they are), as in
    `pickle.load`.
    """
    try:
        with open(path, "rb") as handle:
            return _Unpickler(handle, encoding=encoding).load()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0].strip(" ,.")
        raise UserError(
            f"{path} is refused: expected arrays and lists only, but it is damaged or asks for"
            f" {reason}."
        ) from None
    except (
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        KeyError,
        ImportError,
        MemoryError,
        OverflowError,
        RecursionError,
        OSError,
        SyntaxError,
        NotImplementedError,
        AssertionError,
        SystemError,
    ) as error:
        reason = f"it is not a whole pickle ({type(error).__name__})"
        raise DamagedFile(path, reason, "fetch it again") from None

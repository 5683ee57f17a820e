"""What every part leans on: seeds, device, atomic files, fingerprints, scratch folders that survive a kill, progress."""

import ctypes
import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


class Mistake(Exception):
    """Something the user can mend, told in one sentence; the command line prints it and exits with 1."""


def derived_seed(seed: int, *step: int | str) -> int:
    """A 63-bit seed that depends on nothing but its arguments."""
    text = ":".join(str(part) for part in (seed, *step))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(seed: int, *step: int | str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for one (seed, step): resumed work draws what uninterrupted work would have drawn."""
    return torch.Generator(device=device).manual_seed(derived_seed(seed, *step))


def numpy_generator(seed: int, *step: int | str) -> np.random.Generator:
    """A numpy generator for one (seed, step)."""
    return np.random.default_rng(derived_seed(seed, *step))


def device() -> torch.device:
    """The accelerator when there is one, else the CPU; `CDCD_DEVICE` overrides."""
    if name := os.environ.get("CDCD_DEVICE"):
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def keep_memory() -> None:
    """Lets this process hold on to the memory that it frees, instead of giving large arrays back to the system each time.

    Training frees and takes the same large arrays step after step, and the system hands out each page anew, filled with
    zeros. Turns off trimming and mmap in glibc (M_TRIM_THRESHOLD, M_MMAP_MAX of mallopt(3)); elsewhere nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-1, -1)
        libc.mallopt(-4, 0)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` (make a file or a folder there) that becomes `path` only when the block succeeds."""
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
    except OSError as error:
        if error.errno == 28 or "No space left" in str(error):
            raise Mistake(f"No space left on the disk while writing {path}; free some and run the command again.") from None
        raise
    finally:
        _remove(temporary)


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
    """The content of a JSON file; raises Mistake when it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise Mistake(f"{path} does not exist; run the stage that makes it (`dvc repro`) first.") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise Mistake(f"{path} is damaged (not JSON); delete it and run `dvc checkout` or the stage that makes it.") from None


def sha256_file(path: Path) -> str:
    """The hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint(*objects: object) -> str:
    """A hex digest of settings (sections, plain values) and of the contents of files and folders given as `Path`."""
    digest = hashlib.sha256()
    for item in objects:
        digest.update(_canonical(item))
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _canonical(item: object) -> bytes:
    if isinstance(item, Path):
        if item.is_dir():
            files = sorted(file for file in item.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
            return b"".join(str(file.relative_to(item)).encode() + sha256_file(file).encode() for file in files)
        return sha256_file(item).encode()
    if isinstance(item, BaseModel):
        item = item.model_dump(mode="json")
    return json.dumps(item, sort_keys=True).encode()


def home() -> Path:
    """The absolute folder for weights and scratch work: `CDCD_HOME`, or ~/.cache/cdcd."""
    return Path(os.environ.get("CDCD_HOME", Path.home() / ".cache" / "cdcd")).absolute()


@contextmanager
def scratch(mark: str) -> Iterator[Path]:
    """A locked folder for unfinished work named by the fingerprint `mark`: kept when killed, removed when all went well.

    It lies outside the checkout and is named by everything that determines the result, so neither another variant nor
    another copy of the repository can resume what is not its own. A second process with the same mark waits.
    """
    folder = home() / "scratch" / mark
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder)
        folder.with_suffix(".lock").unlink(missing_ok=True)


def progress(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """The items, with a progress bar on a terminal, or a line at every tenth elsewhere (logs, DVC)."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    if not sys.stderr.isatty():
        yield from _logged(items, title, total)
        return
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(items, total=total, description=title)


def _logged(items: Iterable[T], title: str, total: int | None) -> Iterator[T]:
    every = max(1, (total or 1000) // 10)
    for count, item in enumerate(items, start=1):
        yield item
        if count % every == 0 or count == total:
            print(f"{title}: {count}/{total or '?'}", file=sys.stderr, flush=True)


def shards(
    folder: Path, work: list[T], make: Callable[[T], dict[str, np.ndarray]], title: str
) -> Iterator[dict[str, np.ndarray]]:
    """The arrays that `make` gives for each piece of work, in order; pieces that `folder` already holds are read instead.

    Killed in the middle, the same call goes on after the last whole piece.
    """
    for number, item in enumerate(progress(work, title)):
        path = folder / f"{number:06d}.npz"
        if not path.exists():
            arrays = make(item)
            with atomic(path) as temporary, open(temporary, "wb") as handle:
                np.savez(handle, **arrays)
        with np.load(path) as arrays:
            yield dict(arrays)


def in_batches(items: list[T], size: int) -> list[list[T]]:
    """The items in consecutive lists of `size` (the last may be shorter)."""
    return [items[start : start + size] for start in range(0, len(items), size)]

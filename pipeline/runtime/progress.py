"""Progress bars on a terminal, lines in a log; work in batches and in threads."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
R = TypeVar("R")


def progress(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """The items, with a progress bar on a terminal, or a line at every tenth elsewhere (logs,
    DVC).
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not sys.stderr.isatty():
        yield from _logged(items, title, total)
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(items, total=total, description=title)


def _logged(items: Iterable[T], title: str, total: int | None) -> Iterator[T]:
    every = max(1, (total or 1000) // 10)
    for count, item in enumerate(items, start=1):
        yield item
        if count % every == 0 or count == total:
            print(f"{title}: {count}/{total or '?'}", file=sys.stderr, flush=True)


def in_batches(items: list[T], size: int) -> list[list[T]]:
    """The items in consecutive lists of `size` (the last may be shorter)."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results of `work` for the items, in order, done by as many threads as there are cores."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        yield from pool.map(work, items)

"""Progress bars on a terminal, lines in a log, or whoever listens instead; work in batches and in
threads.
"""

import itertools
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
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
Listener = Callable[[str, int, int | None], None]  # hears what is done, how much of it, of how much

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """While the block runs, progress of this thread goes to `listener` in place of the terminal."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(title: str, done: int = 0, total: int | None = None) -> None:
    """Tells a listener, if there is one, how far `title` is."""
    if listener := _listener.get():
        listener(title, done, total)


def steps(title: str, total: int) -> Callable[[], None]:
    """What is to be called after each of `total` small steps, of which only a listener hears."""
    done = itertools.count(1)
    return lambda: tell(title, next(done), total)


def progress(
    items: Iterable[T],
    title: str,
    total: int | None = None,
    told: Callable[[], str] = lambda: "",
) -> Generator[T, None, None]:
    """The items, with a progress bar on a terminal, a line at every tenth elsewhere (logs, DVC), or
    in silence where somebody listens to the steps within (`heard_by`); `told` gives the latest news
    to stand beside.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if _listener.get():
        yield from items
        return
    if not sys.stderr.isatty():
        yield from _logged(items, title, total, told)
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        for item in bar.track(items, total=total, task_id=task):
            yield item
            bar.update(task, description=f"{title} {told()}".strip())


def _logged(
    items: Iterable[T], title: str, total: int | None, told: Callable[[], str]
) -> Iterator[T]:
    every = max(1, (total or 1000) // 10)
    for count, item in enumerate(items, start=1):
        yield item
        if count % every == 0 or count == total:
            news = f" ({told()})" if told() else ""
            print(f"{title}: {count}/{total or '?'}{news}", file=sys.stderr, flush=True)


def in_batches(items: list[T], size: int) -> list[list[T]]:
    """The items in consecutive lists of `size` (the last may be shorter)."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results of `work` for the items, in order, done by as many threads as there are cores."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        yield from pool.map(work, items)

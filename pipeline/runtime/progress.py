"""Progress bars on a terminal, lines in a log; work in batches."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
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


def progress(
    items: Iterable[T],
    title: str,
    total: int | None = None,
    told: Callable[[], str] = lambda: "",
) -> Iterator[T]:
    """The items, with a progress bar on a terminal, or a line at every tenth elsewhere (logs,
    DVC); `told` gives the latest news to stand beside.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
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

"""Batches that are ready when the network is."""

import signal
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils.pin_memory import pin_memory

from pipeline.training.signals import SIGNALS

AHEAD = 3  # batches prepared by the thread while the network works


class _Steps(Dataset):
    """A function of the step as a data set."""

    def __init__(self, batch_at: Callable[[int], object]):
        self.batch_at = batch_at

    def __getitem__(self, step: int) -> object:
        return self.batch_at(step)


def _as_it_is(batch: object) -> object:
    return batch


def _deaf(_worker: int) -> None:
    """Lets a reading process go on when a terminal or a cluster signals the whole group: the
    training ends it, after the step in progress.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def read_ahead(
    batch_at: Callable[[int], object], steps: range, workers: int, pinned: bool = False
) -> Generator[object, None, None]:
    """The batches of the steps in order, a few prepared ahead: by `workers` processes, or else by
    a thread; `pinned` where a GPU can fetch them while the CPU goes on.
    """
    if workers:
        ahead = {"num_workers": workers, "collate_fn": _as_it_is, "worker_init_fn": _deaf}
        ahead["pin_memory"] = pinned
        yield from DataLoader(_Steps(batch_at), batch_size=None, sampler=steps, **ahead)
        return

    def prepared(step: int) -> object:
        return pin_memory(batch_at(step)) if pinned else batch_at(step)

    with ThreadPoolExecutor(1) as thread:
        waiting = [thread.submit(prepared, step) for step in steps[:AHEAD]]
        for step in steps:
            yield waiting.pop(0).result()
            if step + AHEAD in steps:
                waiting.append(thread.submit(prepared, step + AHEAD))

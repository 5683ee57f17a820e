"""A side of a comparison in a process of its own, as its users run it: neither inherits the other's
memory.
"""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch

from benchmarks.measure import Clock, peak_memory, seconds_of
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.memory import keep_memory

Make = Callable[[], dict[str, Callable[[], object]]]


class Worker:
    """A process that makes some runs and takes a turn at one of them when asked; a context manager,
    at whose end it stops.

    `make` returns the runs by their names and must be picklable; `keeps` says whether the process
    keeps the memory that it frees, as our stages do.
    """

    def __init__(self, make: Make, keeps: bool, device: torch.device, clock: Clock) -> None:
        context, (self.pipe, theirs) = get_context("spawn"), get_context("spawn").Pipe()
        given = theirs, make, keeps, device, clock, torch.get_num_threads()
        self.process = context.Process(target=_serve, args=given, daemon=True)
        self.process.start()
        theirs.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.join()

    def seconds(self, name: str) -> float:
        """The seconds of one turn of the run `name`."""
        return self._ask("seconds", name)

    def memory(self, name: str) -> float:
        """The bytes that the run `name` needs at its height, see `peak_memory`."""
        return self._ask("memory", name)

    def _ask(self, what: str, name: str) -> float:
        try:
            self.pipe.send((what, name))
            return self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = f"{self.process.exitcode} (-9: too little memory)"
            raise UserError(
                f"The process that ran {name!r} ended with {code}; try a smaller --batch."
            ) from None


def _serve(
    pipe: Connection, make: Make, keeps: bool, device: torch.device, clock: Clock, threads: int
) -> None:
    torch.set_num_threads(threads)
    choose_products()
    if keeps:
        keep_memory()
    runs = make()
    while True:
        what, name = pipe.recv()
        pipe.send(
            seconds_of(runs[name], device, clock)
            if what == "seconds"
            else peak_memory(runs[name], device)
        )

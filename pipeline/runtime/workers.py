"""Pieces of work done by processes of this machine."""

import os
import pickle
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

from pipeline.runtime.pieces import DIED, Piece, Work, opened
from pipeline.runtime.run import run_settings
from pipeline.runtime.threads import own_threads, physical_cores


def by_processes(
    open_work: Callable[[], Work], offered: Iterator[Piece | None]
) -> Generator[tuple[Piece, Any], None, None]:
    """(piece, outcome) as the processes of this machine finish."""
    context, opener = get_context("spawn"), pickle.dumps(open_work)
    count = max(1, run_settings().processes)
    # No more than this process's, as their number moves the last digits of sums.
    threads = max(1, min(own_threads(), physical_cores() // count))
    busy: dict[Any, tuple] = {}
    idle: list[tuple] = []

    def start(number: int) -> tuple:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, opener), daemon=True)
        with _environment(OMP_NUM_THREADS=str(threads), **_card(number)):
            process.start()
        theirs.close()
        return ours, process, number

    waiting = list(range(count))
    try:
        while True:
            while (idle or waiting) and (piece := next(offered)) is not None:
                worker = idle.pop() if idle else start(waiting.pop(0))
                busy[worker[0]] = (worker, piece)
                with suppress(ConnectionError):  # it died idle: that shows as the answer is read
                    worker[0].send(piece)
            if not busy:
                return
            connection: Any
            for connection in wait(list(busy)):
                worker, piece = busy.pop(connection)
                try:
                    outcome = connection.recv()
                    idle.append(worker)
                except (EOFError, ConnectionError):
                    outcome = DIED
                    worker[1].join()
                    waiting.append(worker[2])
                if isinstance(outcome, BaseException):
                    raise outcome
                yield piece, outcome
    finally:
        for _, process, _ in [*idle, *(worker for worker, _ in busy.values())]:
            process.terminate()
            process.join()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables that processes started in this block see."""
    before = {name: os.environ.pop(name, None) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _card(number: int) -> dict[str, str]:
    """Which of several GPUs process `number` sees; all that there are where there is one at
    most.
    """
    from torch.cuda import device_count

    cards = device_count()
    return {"CUDA_VISIBLE_DEVICES": str(number % cards)} if cards > 1 else {}


def _serve(connection: Any, opener: bytes) -> None:
    """Works on the pieces that come, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started this ends it
    while True:
        try:
            piece = connection.recv()
        except EOFError:
            return
        try:
            outcome = piece.done_by(opened(opener))
        except Exception as error:
            outcome = error
        connection.send(outcome)

"""SIGINT and SIGTERM, taken as the wish to stop after the step in progress."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import EX_TEMPFAIL

STOPPED = EX_TEMPFAIL  # 75: the exit code of a training that was asked to stop and can go on
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Wish:
    """The name of the signal that came; empty while none has."""

    signal: str = ""


@contextmanager
def wish_to_stop() -> Iterator[Wish]:
    """Notes the first signal; a second one acts as if nobody listened, at once."""
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: object) -> None:
        wish.signal = signal.Signals(number).name
        restore()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield wish
    finally:
        restore()

"""Where the time goes: seconds by the name of what was done, which a listener hears of as it
begins.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.runtime.progress import tell


class Timings:
    """Seconds by name, added up over repeated use, in the order of first use."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Adds what the block takes to `name`."""
        tell(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def lines(self) -> list[str]:
        """One line for each name, and their sum."""
        rows = [*self.seconds.items(), ("together", sum(self.seconds.values()))]
        return [f"  {spent:7.2f} s  {name}" for name, spent in rows]

"""A piece of the work over files, as it goes to whichever process does it."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

Work = Callable[[list], dict]
DIED = object()  # what came of a piece whose process died


@dataclass(frozen=True)
class Piece:
    """Batches of items that one process works on at a time, without the items set aside."""

    number: int
    batches: tuple[list, ...]
    aside: frozenset = frozenset()

    def done_by(self, work: Work) -> list[dict]:
        """What `work` makes of each batch, and as `set_aside` the places of what it was not
        given.
        """
        return [self._batch(work, batch) for batch in self.batches]

    def _batch(self, work: Work, batch: list) -> dict:
        if not self.aside:
            return work(batch)
        kept = [item for item in batch if item not in self.aside]
        places = [place for place, item in enumerate(batch) if item in self.aside]
        return (work(kept) if kept else {}) | ({"set_aside": places} if places else {})


@lru_cache(maxsize=1)
def opened(opener: bytes) -> Work:
    """The work that a pickled function opens, once in each process."""
    return pickle.loads(opener)()

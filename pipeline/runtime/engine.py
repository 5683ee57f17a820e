"""Work over files by one process, by several on this machine, or by a Ray cluster: the same
functions, the same results in the same order.

What does the work is opened once in each process, from something that can be pickled. A process
that dies while it works costs the piece it had: it is done again. Where that kills a second process
as well, the items of the piece are tried one by one; one that kills two processes by itself is set
aside.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, repeat

from pipeline.runtime.cluster import by_ray
from pipeline.runtime.errors import UserError
from pipeline.runtime.pieces import DIED, Piece, Work
from pipeline.runtime.run import run_settings
from pipeline.runtime.threads import physical_cores
from pipeline.runtime.workers import by_processes

_AHEAD = 2  # pieces a process that may be finished before their turn


def results(
    open_work: Callable[[], Work], pieces: Iterable[tuple[list, ...]]
) -> Iterator[list[dict]]:
    """What the work that `open_work` opens makes of the batches of each piece, in order.

    Raises what the work raises, and UserError where a piece kills its process again and again.
    """
    settings = run_settings()
    fresh = (Piece(number, piece) for number, piece in enumerate(pieces))
    if settings.engine == "local" and settings.processes == 0:
        work = None
        for piece in fresh:
            work = work or open_work()
            yield piece.done_by(work)
        return
    attempt = partial(by_ray if settings.engine == "ray" else by_processes, open_work)
    most = _AHEAD * max(1, settings.processes or physical_cores())
    again: deque[Piece] = deque()
    given, finished, deaths = 0, {}, Counter()
    next_one = 0

    def offered() -> Iterator[Piece | None]:
        nonlocal given
        while True:
            if again:
                yield again.popleft()
            elif given < next_one + most and (piece := next(fresh, None)) is not None:
                given += 1
                yield piece
            else:
                yield None

    attempts = attempt(offered())
    while True:
        while next_one not in finished:
            if (done := next(attempts, None)) is None:
                return
            piece, outcome = done
            if outcome is not DIED:
                finished[piece.number] = outcome
                continue
            deaths[piece.number] += 1
            again.append(piece if deaths[piece.number] == 1 else _without(attempt, piece))
        yield finished.pop(next_one)
        next_one += 1


def _without(attempt: Callable, piece: Piece) -> Piece:
    """The piece without those of its items that kill two processes by themselves."""
    if piece.aside:
        raise UserError(
            "A process was killed four times over the same piece of work (no memory left?); lower"
            " the batches or `processes` in run.yaml."
        )
    items = [item for batch in piece.batches for item in batch]
    alive = range(len(items))
    for _ in range(2):
        tried = [Piece(at, ([items[at]],)) for at in alive]
        outcomes = attempt(chain(tried, repeat(None)))
        found = [next(outcomes) for _ in alive]
        outcomes.close()
        alive = [one.number for one, outcome in found if outcome is DIED]
    return replace(piece, aside=frozenset(items[at] for at in alive))

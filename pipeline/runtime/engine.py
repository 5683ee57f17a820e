"""Work over files by one process, by several on this machine, or by a Ray cluster: the same
functions, the same results in the same order.

What does the work is opened once in each process, from something that can be pickled. A process
that dies while it works costs the piece it had: it is done again. Where that kills a second process
as well, the items of the piece are tried one by one; one that kills two processes by itself is set
aside.
"""

import os
import pickle
import signal
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain, repeat
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

from pipeline.runtime.errors import UserError
from pipeline.runtime.run import run_settings
from pipeline.runtime.threads import physical_cores

Work = Callable[[list], dict]
DIED = object()  # what came of a piece whose process died
_SEEN = {"CDCD_HOME", "CDCD_DEVICE"}  # what a cluster's processes must be told
_AHEAD = 2  # pieces a process that may be finished before their turn


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
    attempt = partial(_by_ray if settings.engine == "ray" else _by_processes, open_work)
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


def _by_processes(
    open_work: Callable[[], Work], offered: Iterator[Piece | None]
) -> Generator[tuple[Piece, Any], None, None]:
    """(piece, outcome) as the processes of this machine finish."""
    context, opener = get_context("spawn"), pickle.dumps(open_work)
    count = max(1, run_settings().processes)
    threads = max(1, physical_cores() // count)
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
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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
            outcome = piece.done_by(_opened(opener))
        except Exception as error:
            outcome = error
        connection.send(outcome)


@lru_cache(maxsize=1)
def _opened(opener: bytes) -> Work:
    return pickle.loads(opener)()


def _by_ray(
    open_work: Callable[[], Work], offered: Iterator[Piece | None]
) -> Generator[tuple[Piece, Any], None, None]:
    """(piece, outcome) as the processes of a Ray cluster finish."""
    ray = _ray()
    settings, opener = run_settings(), ray.put(pickle.dumps(open_work))
    remote = ray.remote(num_cpus=1, num_gpus=settings.gpus_a_process, max_retries=0)(_ray_task)
    waiting, place = {}, (os.getcwd(), {name: os.environ[name] for name in _SEEN & set(os.environ)})
    count = settings.processes or max(1, int(ray.cluster_resources().get("CPU", 1)))
    gone = (ray.exceptions.WorkerCrashedError, ray.exceptions.ObjectLostError)
    gone += (ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError)
    try:
        while True:
            while len(waiting) < count and (piece := next(offered)) is not None:
                waiting[remote.remote(opener, piece, place)] = piece
            if not waiting:
                return
            (done, *_), _ = ray.wait(list(waiting), num_returns=1)
            piece = waiting.pop(done)
            try:
                outcome = ray.get(done)
            except gone:
                outcome = DIED
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            yield piece, outcome
    finally:
        for task in waiting:
            ray.cancel(task, force=True)


def _ray_task(opener: bytes, piece: Piece, place: tuple[str, dict[str, str]]) -> list[dict]:
    folder, environment = place
    os.chdir(folder)
    os.environ.update(environment)
    return piece.done_by(_opened(opener))


def _ray() -> Any:
    """Ray, joined to the cluster that `RAY_ADDRESS` names, or else to one on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "run.yaml: engine is ray, which is not installed; `pip install 'cdcd[scale]'` does it."
        ) from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS")
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    return ray

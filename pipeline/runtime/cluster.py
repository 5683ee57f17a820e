"""Pieces of work done by the processes of a Ray cluster."""

import os
import pickle
from collections.abc import Callable, Generator, Iterator
from typing import Any

from pipeline.runtime.errors import UserError
from pipeline.runtime.pieces import DIED, Piece, Work, opened
from pipeline.runtime.run import run_settings

_SEEN = {"CDCD_HOME", "CDCD_DEVICE"}  # what a cluster's processes must be told


def by_ray(
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
    return piece.done_by(opened(opener))


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

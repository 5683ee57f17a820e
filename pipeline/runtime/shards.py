"""Work over files in a bounded number of pieces that survive a kill, whoever does it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.runtime.arrays import read_arrays
from pipeline.runtime.engine import results
from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.pieces import Work
from pipeline.runtime.progress import in_batches, progress
from pipeline.runtime.scratch import fingerprint

MOST = 1000  # pieces of one work; above, each holds several batches
Arrays = dict[str, np.ndarray]


def shards(
    folder: Path,
    work: list[list],
    open_work: Callable[[], Work],
    title: str,
    sets_aside: bool = False,
) -> Iterator[Arrays]:
    """The arrays that the work opened by `open_work` makes of each batch, in order; pieces that
    `folder` already holds are read instead.

    Killed in the middle, the same call goes on after the last whole piece; pieces that are damaged,
    or were cut otherwise (the batch of run.yaml has changed), are made again. With `sets_aside`,
    the places in a batch of items that kill their process stand in its arrays as `set_aside`;
    otherwise such an item is an error. `open_work` must be picklable where other processes work.
    """
    pieces = [tuple(piece) for piece in in_batches(work, -(-len(work) // MOST) or 1)]
    paths = [
        folder / f"{number:06d}_{fingerprint(repr(piece[0] if len(piece) == 1 else piece))}.npz"
        for number, piece in enumerate(pieces)
    ]
    missing = {path for path in paths if not path.exists()}
    made = results(open_work, [piece for piece, path in zip(pieces, paths) if path in missing])
    for piece, path in zip(progress(pieces, title), paths):
        batches = None if path in missing else _read(path, len(piece))
        if batches is None:
            source = made if path in missing else results(open_work, [piece])
            batches = [_checked(arrays, title, sets_aside) for arrays in next(source)]
            _write(path, batches)
        yield from batches


def _checked(arrays: dict, title: str, sets_aside: bool) -> Arrays:
    if "set_aside" in arrays and not sets_aside:
        raise UserError(
            f"{title}: an item kills whatever process works on it; take its file out of the data"
            " set."
        )
    return {name: np.asarray(value) for name, value in arrays.items()}


def _write(path: Path, batches: list[Arrays]) -> None:
    with atomic(path) as temporary, open(temporary, "wb") as handle:
        if len(batches) == 1:
            np.savez(handle, allow_pickle=False, **batches[0])
            return
        named = {
            f"{number}:{name}": value
            for number, arrays in enumerate(batches)
            for name, value in arrays.items()
        }
        np.savez(handle, allow_pickle=False, **named)


def _read(path: Path, count: int) -> list[Arrays] | None:
    """The batches of a finished piece; None where it is damaged."""
    try:
        found = read_arrays(path)
    except (FileNotFoundError, DamagedFile):
        return None
    if count == 1:
        return [found]
    batches: list[Arrays] = [{} for _ in range(count)]
    for name, value in found.items():
        number, _, own = name.partition(":")
        batches[int(number)][own] = value
    return batches

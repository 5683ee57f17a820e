"""Tool `verify`: whether the files of a data set are still what was written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.datasets.listing import verify_listing
from pipeline.datasets.probe import picture_trouble, sound_trouble, video_trouble
from pipeline.metrics.results import read_results
from pipeline.runtime.arrays import read_arrays
from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import read_json
from pipeline.runtime.progress import progress
from pipeline.storage.curves import read_curves
from pipeline.storage.manifest import read_manifest
from pipeline.storage.recorded import differences, recorded
from pipeline.storage.seal import verify_seal
from pipeline.storage.store import Store
from pipeline.storage.tensors import read_tensors
from stages.config import read_dataset, read_params
from stages.paths import Paths

LOCK, CACHE = Path("dvc.lock"), Path(".dvc/cache")
ROWS = 256  # of a store that are read at once
SHOWN = 10  # troubles of one output; the others are counted


@dataclass
class Found:
    """What was found of one output: how many files and bytes, and what is wrong with them."""

    out: Path
    files: int = 0
    size: int = 0
    troubles: list[str] = field(default_factory=list)


def verify(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATASET]",
            help="A section of params.yaml. Default: all that `datasets` lists.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Read every file of a data set whole and hold it to its digests.

    In: data/DATASET and reports of DATASET. Weights and stores are held to the digests in them,
    tables, pictures, sound and videos are read to their end, and everything to what dvc.lock
    records, where DVC made it. Out: a table, and exit code 1 if anything is damaged or differs.

    Example: cdcd verify toy_dance
    """
    names = [dataset] if dataset else read_params().datasets
    known, bad = recorded(LOCK), False
    for name in names:
        found = list(_outputs(name, known))
        _print(name, found)
        bad |= any(output.troubles for output in found)
    if bad:
        raise typer.Exit(1)


def _outputs(dataset: str, known: dict[str, str]) -> Iterator[Found]:
    """What was found of each output of a data set, in the order of the stages."""
    settings, paths = read_dataset(dataset), Paths(dataset)
    for out in (
        *(paths.raw, paths.conditions, paths.extractor, paths.codec, paths.tokens),
        *(paths.negatives, paths.judge, paths.model, paths.samples, paths.examples, paths.metrics),
    ):
        if not out.exists():
            continue
        files = sorted(file for file in out.rglob("*") if file.is_file()) or [out]
        found = Found(out, len(files), sum(file.stat().st_size for file in files))
        for file in progress(files, f"{dataset}: {out.name}"):
            if trouble := _trouble(file):
                found.troubles.append(trouble)
        if out == paths.raw and settings.media_root and not found.troubles:
            found.troubles += verify_listing(out, Path(settings.media_root).expanduser())
        told = " ".join(found.troubles)
        found.troubles += [
            f"{out / name} differs from what dvc.lock records; restore it with `dvc checkout"
            f" --force {out / name}`, or, if you ran its stage yourself since, record it with `dvc"
            " commit`."
            for name in (differences(out, known[str(out)], CACHE) if str(out) in known else [])
            if str(out / name) not in told
        ]
        yield found


def _trouble(file: Path) -> str | None:
    """What is wrong with a file, as a sentence; None when it can be read whole."""
    check = _CHECKS.get(file.name) or _CHECKS.get(file.suffix)
    try:
        said = check(file) if check else None
    except DamagedFile as error:
        return str(error)
    except UserError as error:
        said = str(error).removesuffix(".")
    return str(DamagedFile(file, said)) if isinstance(said, str) else None


def _store(path: Path) -> None:
    """Reads a store whole; raises UserError when a digest does not match."""
    verify_seal(path)
    store = Store(path, path.stem)
    for name in store.fields:
        for start in range(0, len(store[name]), ROWS):
            store[name][start : start + ROWS]


_CHECKS: dict[str, Callable[[Path], object]] = {
    "manifest.csv": read_manifest,
    "history.csv": read_curves,
    "table.csv": read_results,
    ".safetensors": read_tensors,
    ".h5": _store,
    ".npz": read_arrays,
    ".json": read_json,
    ".mp4": lambda path: video_trouble(path, needs_sound=False),
    ".wav": sound_trouble,
    ".m4a": sound_trouble,
    ".png": picture_trouble,
}


def _print(dataset: str, found: list[Found]) -> None:
    """The table of one data set, and below it what is wrong."""
    if not found:
        print(f"{dataset}: nothing is here yet.")
        return
    table = Table("output", "files", "MB", "state", title=dataset)
    for output in found:
        state = f"{len(output.troubles)} damaged" if output.troubles else "whole"
        table.add_row(str(output.out), f"{output.files:,}", f"{output.size / 1e6:,.1f}", state)
    Console().print(table)
    for output in found:
        for trouble in output.troubles[:SHOWN]:
            print(trouble)
        if len(output.troubles) > SHOWN:
            print(f"... and {len(output.troubles) - SHOWN} more below {output.out}.")

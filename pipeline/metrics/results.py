"""The lines of an evaluation, and the three files they are written to: one shape for sound and for
pictures.

An evaluation is a list of `Result` (a line of the table: one row, such as `model` or `metronome`,
under one metric and one protocol) and a list of `ClipResult` (the same figures clip by clip).
`metrics.json` holds the means alone, for `dvc metrics`.
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic, write_json


@dataclass(frozen=True)
class Result:
    """One line: `mean` over items and seeds, `std` over seeds, and a bootstrap interval over songs
    (or images, or classes).

    NaN stands for a figure that is not defined (silence has no tempo; one seed has no spread).
    """

    row: str
    metric: str
    protocol: str
    mean: float
    std: float
    low: float
    high: float
    n_clips: int
    n_songs: int
    n_seeds: int


@dataclass(frozen=True)
class ClipResult:
    """One figure of one clip, the mean over sampling seeds."""

    clip: str
    row: str
    metric: str
    protocol: str
    value: float


@dataclass(frozen=True)
class Evaluation:
    """All lines of one data set, and the remarks a reader needs to interpret them (counts, weights,
    settings).
    """

    results: list[Result]
    clips: list[ClipResult]
    remarks: dict[str, object]


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Fills `folder` with table.csv, clips.csv, metrics.json (flat name -> number) and
    remarks.json.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        write_table(temporary / "table.csv", Result, evaluation.results)
        write_table(temporary / "clips.csv", ClipResult, evaluation.clips)
        write_json(temporary / "metrics.json", flat_metrics(evaluation.results))
        write_json(temporary / "remarks.json", evaluation.remarks)


def flat_metrics(results: Iterable[Result]) -> dict[str, float]:
    """The defined means by name: `f1_5hz` for the model, `<row>/f1_5hz` for the other rows."""
    named = {}
    for result in results:
        name = f"{result.metric}_{result.protocol}" if result.protocol else result.metric
        if math.isfinite(result.mean):
            named[name if result.row == "model" else f"{result.row}/{name}"] = round(result.mean, 6)
    return named


def write_table(path: Path, kind: type, lines: Iterable) -> None:
    """Writes `lines`, all of the dataclass `kind`, as CSV with a column for each field."""
    with open(path, "w", newline="") as handle:
        writer = csv.DictWriter(handle, [field.name for field in fields(kind)], lineterminator="\n")
        writer.writeheader()
        for line in lines:
            writer.writerow({name: _cell(value) for name, value in asdict(line).items()})


def _cell(value: object) -> object:
    """Six significant digits: enough for every use, and the same bytes on every machine."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return value


def read_results(path: Path) -> list[Result]:
    """The lines of a table.csv; raises UserError when it is missing or not such a table."""
    try:
        with open(path, newline="") as handle:
            return parse_results(handle)
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; run `cdcd evaluate` for this data set first."
        ) from None
    except (KeyError, ValueError, TypeError, csv.Error):
        raise DamagedFile(path, "it is not a table of results") from None


def parse_results(lines: Iterable[str]) -> list[Result]:
    """The `Result`s in the lines of a table.csv."""
    return [
        Result(
            row=row["row"],
            metric=row["metric"],
            protocol=row["protocol"],
            **{name: float(row[name] or "nan") for name in ("mean", "std", "low", "high")},
            **{name: int(row[name]) for name in ("n_clips", "n_songs", "n_seeds")},
        )
        for row in csv.DictReader(lines)
    ]

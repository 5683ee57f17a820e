"""Tool `watch`: the curves of a training, while it goes on and afterwards."""

import csv
import math
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.reporting.terminal import plot
from pipeline.runtime.errors import UserError
from pipeline.training.following import Unfinished, unfinished
from stages.config import MODULES, DatasetArgument
from stages.paths import Paths

Rows = list[dict[str, float]]
LOOK_S = 1.0
DRAWN = ("main", "validation")
SIZE = (100, 16)  # most columns, and lines, of the plot


def watch(
    dataset: DatasetArgument,
    once: Annotated[bool, typer.Option("--once", help="One look, then end.")] = False,
    show: Annotated[
        list[str] | None,
        typer.Option(help="A column of the history to draw; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Look on while a model is trained, or at its finished curves.

    In: the history of the training of DATASET that goes on (or was interrupted) here, in
    CDCD_HOME/scratch, or else data/DATASET/model/history.csv. Out: on the terminal the curves, the
    last figures, tokens a second, memory and the time that is left; it ends with the training, or
    with Ctrl-C, which the training does not notice.

    Example: cdcd watch toy_dance --show main --show kl_1_of_5
    """
    if dataset not in MODULES:
        raise UserError(f"{dataset!r} is not a data set; there are {', '.join(MODULES)}.")
    console, drawn = Console(), tuple(show or DRAWN)
    running = unfinished(dataset)
    if once or running is None:
        console.print(look(dataset, running, drawn, console.width))
        return
    with Live(console=console, refresh_per_second=4) as live:
        while running is not None and running.folder.is_dir():
            live.update(look(dataset, running, drawn, console.width))
            time.sleep(LOOK_S)
            running = unfinished(dataset)
        live.update(look(dataset, None, drawn, console.width))


def look(dataset: str, running: Unfinished | None, drawn: tuple[str, ...], width: int) -> Group:
    """What there is to see now; raises UserError where nothing was trained, or a column that is to
    be drawn does not exist.
    """
    finished = Paths(dataset).model / "history.csv"
    file = finished if running is None else running.folder / "history.csv"
    rows = read(file)
    if running is None and not rows:
        raise UserError(f"{file} does not exist; run `cdcd train {dataset}` first.")
    known = list(dict.fromkeys(name for row in rows for name in row))
    if rows and (unknown := [name for name in drawn if name not in {*known, *DRAWN}]):
        raise UserError(f"{file} has no column {unknown[0]!r}; it has {', '.join(known)}.")
    curves = {
        name: [(row["step"], row[name]) for row in rows if name in row]
        for name in drawn
        if any(name in row for row in rows)
    }
    heading = f"{dataset}: finished" if running is None else _heading(dataset, running, rows)
    return Group(Text(heading, "bold"), plot(curves, min(width, SIZE[0]), SIZE[1]), _table(rows))


def read(file: Path) -> Rows:
    """The rows of a table of numbers that may be growing; what is not there is left out."""
    if not file.exists():
        return []
    with open(file, newline="") as handle:
        lines = [row for row in csv.DictReader(handle) if None not in row.values()]
    return [{name: float(value) for name, value in row.items() if value} for row in lines]


def _heading(dataset: str, running: Unfinished, rows: Rows) -> str:
    step, pace = int(rows[-1]["step"]) if rows else 0, read(running.folder / "pace.csv")
    told = [f"{dataset}: step {step} of {running.steps}"]
    if pace:
        last = pace[-1]
        told += [f"{last['tokens_per_s']:.0f} tokens/s", f"{last['memory_mb']:.0f} MB"]
        told.append(f"{math.ceil(last['left_s'] / 60)} min left at that pace")
    return ", ".join(told)


def _table(rows: Rows) -> Table:
    """The last value of every column."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    last = {name: value for row in rows for name, value in row.items()}
    pairs = [(name, f"{value:.5g}") for name, value in last.items()]
    for start in range(0, len(pairs), 3):
        table.add_row(*(word for pair in pairs[start : start + 3] for word in pair))
    return table

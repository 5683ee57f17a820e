"""Tool `study`: what contrastive training buys, over training seeds."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.reporting.study import write_study
from pipeline.runtime.memory import keep_memory
from pipeline.study.cost import hours, seconds_left
from pipeline.study.grid import SPLITS, Grid, Planned, Split, plan, read_grid
from pipeline.study.rows import is_done, read_rows, write_row
from stages.config import DatasetArgument, read_dataset
from stages.paths import REPORTS, STUDY
from stages.study_marks import Marks, marks_of, world_of
from stages.studying import (
    commit_here,
    measured,
    tidy_room,
    trained_house,
)


def study(
    dataset: DatasetArgument,
    only: Annotated[
        str | None,
        typer.Option(help="Runs or rows, with * and ?, separated by commas. Default: all."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Training seeds, such as 0,1,2. Default: the grid's.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="val, or test: once, for the settings that were chosen.")
    ] = "val",
    listed: Annotated[
        bool, typer.Option("--list", help="Only say which rows there are and what is left.")
    ] = False,
) -> None:
    """Train, sample and measure the grid of a data set, row by row.

    In: params/study/DATASET.yaml, and the stores, codec and judge of data/DATASET, which stays as
    it is. Out: reports/study/DATASET, a file a row, and reports/study/README.md. Rows that are
    there are skipped, a killed training goes on, and models are kept in CDCD_HOME/study for further
    samplings. All choices are made on the validation split; `--split test` confirms them.

    Example: cdcd study digits --only vanilla,inter* --seeds 0
    """
    keep_memory()
    read_dataset(dataset)
    grid, folder = read_grid(STUDY / f"{dataset}.yaml"), REPORTS / "study" / dataset
    rows = plan(dataset, grid, _split(split), only, _numbers(seeds))
    marks, world, known = marks_of(rows, dataset), world_of(dataset), read_rows(folder)
    left = [row for row in rows if not is_done(folder, row, marks[row.name].row, world)]
    if listed:
        for row in rows:
            print(f"{'to do' if row in left else 'there':6} {row.name}")
    trainings = {(row.run, row.seed) for row in left}
    print(
        f"{dataset}: {len(rows)} rows, {len(rows) - len(left)} are there, {len(left)} to do"
        f" ({len(trainings)} trainings), about {hours(seconds_left(left, grid, known))}."
    )
    if not listed:
        _make(left, marks, grid, folder, world)
        print(f"Read {write_tables()}.")


def write_tables() -> Path:
    """Rebuilds tables and curves of all data sets from their rows, and returns the page."""
    grids = {file.stem: read_grid(file) for file in sorted(STUDY.glob("*.yaml"))}
    write_study(REPORTS / "study", grids)
    return REPORTS / "study" / "README.md"


def _make(
    rows: list[Planned], marks: dict[str, Marks], grid: Grid, folder: Path, world: str
) -> None:
    """Makes the rows one after the other, each written as soon as it is there."""
    commit = commit_here()
    for number, row in enumerate(rows, start=1):
        print(f"{number} of {len(rows)}: {row.name}", flush=True)
        house = trained_house(row, marks[row.name], world, grid)
        with tidy_room(house, row):
            made = measured(row, house, marks[row.name], world, grid, commit)
            print(f"{write_row(folder, made)}", flush=True)


def _split(name: str) -> Split:
    for split in SPLITS:
        if split == name:
            return split
    raise typer.BadParameter("val or test", param_hint="--split")


def _numbers(text: str | None) -> tuple[int, ...] | None:
    """The numbers in `0,1,2`."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter("numbers such as 0,1,2", param_hint="--seeds") from None

"""Tool `compare`: DVC experiments as a table and a figure."""

import re
from pathlib import Path
from typing import Annotated

import typer

from pipeline.reporting.comparison import write_comparison
from pipeline.reporting.experiments import collect
from pipeline.study.luck import read_luck
from stages.config import DatasetArgument
from stages.paths import REPORTS


def compare(
    dataset: DatasetArgument,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "A key of params/DATASET.yaml, or contrast; repeat the option. Default: contrast."
            )
        ),
    ] = None,
    title: Annotated[
        str | None,
        typer.Option(help="Heading, for example 'Table 6'; it also picks the published rows."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = REPORTS / "compare",
    commits: Annotated[
        int, typer.Option(help="From how many of the last commits experiments are taken; -1: all.")
    ] = 1,
) -> None:
    """Compare experiments: runs that differ in the given settings and in nothing else, with their
    controls; below the luck of training, which reports/study knows, no difference is called one.

    In: the experiments that DVC knows (`dvc exp show`), with their settings and reports/metrics.
    Out: OUT/NAME.md, .csv and .png. `make table6` and its like queue the runs that a table of the
    paper needs and end with this command.

    Example: cdcd compare toy_dance --by contrast --title "Table 6"
    """
    keys = by or ["contrast"]
    runs = collect(dataset, keys, commits)
    name = re.sub(r"\W+", "_", f"{dataset} {title or ' '.join(keys)}").lower()
    heading = (
        f"{title}: {dataset} by {', '.join(keys)}" if title else f"{dataset} by {', '.join(keys)}"
    )
    left_out = write_comparison(
        out / name, heading, dataset, keys, runs, title, read_luck(REPORTS / "study", dataset)
    )
    print(f"{len(runs) - len(left_out)} runs compared in {out / name}.md, .csv and .png.")
    if left_out:
        print(
            "Left out, for they differ in other settings too:"
            f" {', '.join(run.name for run in left_out)}."
        )

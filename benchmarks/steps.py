"""`python -m benchmarks.steps DATASET`: how few steps a trained model needs, order by order.

The default model of a data set, as `dvc repro` left it, is sampled for the validation split in
every order with every number of steps, and each is measured and timed. The table goes into
docs/times.md; the default is the fewest steps whose main figure lies within the bootstrap interval
of the best.
"""

import tempfile
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.page import TIMES, told
from pipeline.metrics.results import Result, write_table
from pipeline.reporting.glossary import metric as glossary
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import write_json
from pipeline.runtime.memory import keep_memory
from pipeline.study.grid import Planned, read_grid
from pipeline.study.rows import Row
from stages.config import read_contrast, read_dataset
from stages.paths import MODEL_FILE, STUDY, Paths
from stages.study_marks import marks_of
from stages.studying import ADHERENCE, commit_here, machine, measured

app = typer.Typer(add_completion=False)
ORDERS = {"random": {}, "confidence": {"choice_temperature": 4.5}, "purity": {}, "halton": {}}
STEPS = (5, 10, 20, 40)


@app.command()
def main(
    dataset: Annotated[str, typer.Argument(help="toy_dance, toy_shapes or digits, built.")],
    steps: Annotated[str, typer.Option(help="Numbers of steps, separated by commas.")] = ",".join(
        map(str, STEPS)
    ),
    orders: Annotated[str, typer.Option(help="Orders, separated by commas.")] = ",".join(ORDERS),
    seeds: Annotated[int, typer.Option(min=1, help="Sampling seeds.")] = 1,
    write: Annotated[
        bool, typer.Option("--write", help="Put the table into docs/times.md.")
    ] = False,
) -> None:
    """Measures the validation figures and seconds of a trained model under orders and steps."""
    keep_memory()
    choose_products()
    try:
        counts = [int(part) for part in steps.split(",")]
    except ValueError:
        raise typer.BadParameter("numbers such as 5,10,20", param_hint="--steps") from None
    names = orders.split(",")
    if unknown := [name for name in names if name not in ORDERS]:
        raise typer.BadParameter(
            f"{unknown[0]!r} is none of {', '.join(ORDERS)}.", param_hint="--orders"
        )
    with told(TIMES, write) as say:
        tabulate(dataset, [*product(names, counts)], seeds, say)


def tabulate(dataset: str, ways: list[tuple[str, int]], seeds: int, say) -> None:
    """Says one line a way (order, steps), and at the end which would do."""
    settings = read_dataset(dataset)
    grid = read_grid(STUDY / f"{dataset}.yaml")
    metrics = [name for name in grid.metrics if not name.startswith("adherence/")]
    heads = [f"{name}{_arrow(name)}" for name in metrics]
    found: dict[tuple[str, int], Row] = {}
    say(f"### steps and orders of {dataset}: validation, {seeds} sampling seed(s)\n")
    say(
        f"{machine()}; guidance {settings.sample.sampling.guidance:g}; seconds of the stage"
        " `sample`, own and shuffled conditions alike; brackets are 95 % bootstrap intervals.\n"
    )
    say(f"| order | steps | seconds | {' | '.join(heads)} |")
    say("|---|---|---|" + "---|" * len(heads))
    with tempfile.TemporaryDirectory() as temporary:
        house = _house_of(dataset, Path(temporary))
        for way in ways:
            row = found[way] = _row(dataset, house, way, seeds, grid)
            cells = [_cell(row.result(name)) for name in metrics]
            say(f"| {way[0]} | {way[1]} | {row.seconds['sample']:.0f} | {' | '.join(cells)} |")
    order, count = fewest(
        {way: row.result(metrics[0]) for way, row in found.items()},
        _arrow(metrics[0]) == " ↑",
    )
    say(f"\nThe fewest steps within the interval of the best {metrics[0]}: {order}, {count}.\n")


def fewest(found: dict[tuple[str, int], Result | None], more_is_better: bool) -> tuple[str, int]:
    """The (order, steps) with the fewest steps whose figure lies within the interval of the best,
    the better one of several.
    """
    sign = 1 if more_is_better else -1
    known = {way: one for way, one in found.items() if one is not None}
    best = max(known.values(), key=lambda one: sign * one.mean)
    enough = [way for way, one in known.items() if best.low <= one.mean <= best.high]
    return min(enough, key=lambda way: (way[1], -sign * known[way].mean))


def _house_of(dataset: str, folder: Path) -> Path:
    """A folder such as the study keeps for a model, which borrows the default one."""
    own, paths = folder / "data" / dataset, Paths(dataset)
    if not (paths.model / MODEL_FILE).exists():
        raise UserError(f"{paths.model} holds no model; run `dvc repro train@{dataset}` first.")
    own.mkdir(parents=True)
    (own / "model").symlink_to(paths.model.absolute())
    write_table(own / ADHERENCE, Result, [])
    write_json(own / "seconds.json", {})
    return folder


def _row(dataset: str, house: Path, way: tuple[str, int], seeds: int, grid) -> Row:
    order, count = way
    drawn = {"order": order, "steps": count, "choice_temperature": 0.0, **ORDERS[order]}
    difference: dict[str, object] = {f"sample.sampling.{key}": one for key, one in drawn.items()}
    difference["sample.seeds"] = [*range(seeds)]
    contrast = read_contrast(dataset)
    name = f"{order}-{count}"
    planned = Planned(dataset, "default", 0, name, "val", contrast, difference, None)
    marks = marks_of([planned], dataset)[planned.name]
    return measured(planned, house, marks, "", grid, commit_here())


def _cell(result: Result | None) -> str:
    return "–" if result is None else f"{result.mean:.1f} [{result.low:.1f}, {result.high:.1f}]"


def _arrow(name: str) -> str:
    better = glossary(name.partition("/")[0]).more_is_better
    return {True: " ↑", False: " ↓", None: ""}[better]


if __name__ == "__main__":
    app()

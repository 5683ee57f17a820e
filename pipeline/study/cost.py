"""How long the rest of a study will take, from what its finished rows took."""

from statistics import mean

from pipeline.study.grid import Grid, Planned
from pipeline.study.rows import Row


def seconds_left(left: list[Planned], grid: Grid, known: list[Row]) -> float:
    """The seconds that the rows of `left` will take, one after the other."""
    trainings = {(row.run, row.seed): row for row in left}.values()
    return sum(_training(row, grid, known) for row in trainings) + sum(
        _measuring(row, grid, known) for row in left
    )


def _training(row: Planned, grid: Grid, known: list[Row]) -> float:
    """As long as the same run took; else as runs of the same contrast; else the grid's guess."""
    for alike in (
        [one for one in known if one.run == row.run],
        [one for one in known if one.contrast == row.contrast],
    ):
        if alike:
            return mean(one.seconds["train"] for one in alike)
    return grid.seconds["train"]


def _measuring(row: Planned, grid: Grid, known: list[Row]) -> float:
    """Sampling and evaluation, as long as rows of the same sampling took."""
    alike = [one for one in known if one.sampling == row.sampling]
    if alike:
        return mean(one.seconds["sample"] + one.seconds["evaluate"] for one in alike)
    return grid.seconds["sample"]


def hours(seconds: float) -> str:
    """A length for readers."""
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} minutes"
    return f"{seconds / 3600:.1f} hours"

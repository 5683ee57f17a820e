"""The study written out: reports/study/README.md with its tables, verdicts and curves, from the
rows alone.
"""

import math
from pathlib import Path

from pipeline.reporting.glossary import metric
from pipeline.reporting.study_figures import draw_plane
from pipeline.reporting.study_sweeps import digits_of, heading, spread, sweep_table
from pipeline.reporting.tables import markdown_table
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from pipeline.study.differences import (
    Difference,
    Settings,
    difference,
    settings_of,
    settle,
)
from pipeline.study.grid import SPLITS, Claim, Grid
from pipeline.study.rows import Row, of_one_world, read_rows

INTRODUCTION = """# The study: what contrastive training buys

Written by `cdcd study` from the rows in the folders beside this page, one small file for each
trained and sampled model; do not edit. The commands stand with each data set. What it comes to, in
words: [docs/results.md](../../docs/results.md).

How to read a table: *mean ± standard deviation over training seeds*; every row is the mean over its
sampling seeds. Differences are paired by training seed and by item (song, caption, picture): *mean
[95 % interval]*, Student's over training seeds and the bootstrap over items together, so that an
interval holds the luck of training. With one training seed there is none, and nothing is concluded.
Many settings are looked at: of twenty differences that are nothing, one lies outside of its
interval all the same.
"""
NAMES = {"val": "validation", "test": "test"}


def write_study(study: Path, grids: dict[str, Grid]) -> None:
    """Writes README.md and figures below `study`, over all data sets that have rows and a grid."""
    parts = [INTRODUCTION]
    with atomic(study / "figures") as drawings:
        drawings.mkdir()
        for dataset, grid in grids.items():
            if rows := read_rows(study / dataset):
                parts += _of_dataset(dataset, grid, rows, drawings)
    with atomic(study / "README.md") as temporary:
        temporary.write_text("\n".join(parts))


def _of_dataset(dataset: str, grid: Grid, every: list[Row], drawings: Path) -> list[str]:
    rows, others = of_one_world(every)
    hours = _seconds(rows) / 3600
    commits = ", ".join(sorted({row.commit for row in rows}))
    parts = [
        f"\n## {dataset}\n",
        f"{len(rows)} rows of {len({(r.run, r.seed) for r in rows})} trainings, {hours:.1f} hours,"
        f" at {commits}. `cdcd study {dataset}` makes what is missing, `--list` says what that"
        " is.\n",
    ]
    if others:
        parts.append(
            f"{len(others)} rows rest on other data or other basic settings, and are left out:"
            f" {', '.join(row.name for row in others)}.\n"
        )
    for split in SPLITS:
        settings = settings_of([row for row in rows if row.split == split])
        if settings:
            parts += _of_split(dataset, grid, split, settings, drawings)
    return parts


def _of_split(
    dataset: str, grid: Grid, split: str, settings: Settings, drawings: Path
) -> list[str]:
    settings = {key: settings[key] for key in _in_order(grid, settings)}
    columns = measured(grid, settings, split)
    parts = [f"### {dataset}, {NAMES[split]}\n", _means(settings, columns)]
    parts += ["Differences under the same sampling:\n", _differences(grid, settings, columns)]
    if grid.claims:
        parts += ["Verdicts:\n", verdicts(grid, settings, split)]
    parts += _planes(dataset, grid, split, settings, drawings)
    for number, sweep in enumerate(grid.sweeps):
        picture = f"{dataset}_{split}_{number}.png"
        parts += sweep_table(sweep, settings, columns, drawings / picture)
    return parts


def _planes(dataset: str, grid: Grid, split: str, settings: Settings, drawings: Path) -> list[str]:
    """Pictures of quality against adherence, those that have two settings."""
    axes = (of_split(grid.curve.quality, split), of_split(grid.curve.adherence, split))
    planes = grid.curve.planes or {f"{dataset}, {NAMES[split]}": tuple(grid.runs)}
    parts = []
    for number, (title, runs) in enumerate(planes.items()):
        curves = {
            f"{run}/{sampling}": settings[f"{run}/{sampling}"]
            for run in runs
            for sampling in grid.curve.samplings
            if f"{run}/{sampling}" in settings
        }
        picture = f"{dataset}_{split}_plane_{number}.png"
        if draw_plane(drawings / picture, curves, axes):
            parts.append(f"![Quality against adherence, {title}](figures/{picture})\n")
    return parts


def measured(grid: Grid, settings: Settings, split: str) -> list[str]:
    """The grid's metrics that any row has, with the split's own distances."""
    names = dict.fromkeys(of_split(one, split) for one in grid.metrics)
    return [
        name
        for name in names
        if any(math.isfinite(row.value(name)) for rows in settings.values() for row in rows)
    ]


def of_split(name: str, split: str) -> str:
    """A metric's name with `val` replaced by the split: distances are measured to its pictures."""
    return name.removesuffix(", val") + f", {split}" if name.endswith(", val") else name


def _in_order(grid: Grid, settings: Settings) -> list[str]:
    """The settings in the grid's order."""
    runs, samplings = list(grid.runs), list(grid.samplings)
    known = [key for key in settings if key.split("/")[0] in grid.runs]
    return sorted(
        known, key=lambda key: (runs.index(key.split("/")[0]), samplings.index(key.split("/")[1]))
    )


def _means(settings: Settings, columns: list[str]) -> str:
    lines = [
        [name, *(spread(rows, column) for column in columns), str(len(rows))]
        for name, rows in settings.items()
    ]
    return markdown_table(["", *map(heading, columns), "training seeds"], lines)


def _differences(grid: Grid, settings: Settings, columns: list[str]) -> str:
    lines = []
    for name, rows in settings.items():
        run, _, sampling = name.partition("/")
        against = grid.against(run)
        than = settings.get(f"{against}/{sampling}")
        if run != against and than:
            found = [difference(rows, than, column) for column in columns]
            told = [_told(one, column) for one, column in zip(found, columns)]
            seeds = str(max(one.n_seeds for one in found))
            lines.append([f"{name} − {against}", *told, seeds])
    if not lines:
        return "None yet.\n"
    return markdown_table(["", *map(heading, columns), "pairs of trainings"], lines)


def _told(found: Difference, column: str) -> str:
    digits = digits_of(column)
    if not math.isfinite(found.mean):
        return "–"
    text = f"{found.mean:+.{digits}f}"
    if math.isfinite(found.low):
        text += f" [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"
        text = f"**{text}**" if found.low > 0 or found.high < 0 else text
    return text


def verdicts(grid: Grid, settings: Settings, split: str) -> str:
    """A table of the claims: the difference that decides each, on how many trainings, and the
    verdict; `not run` where a side has no rows yet, which the test split, on which few settings are
    drawn, does not list.
    """
    lines = []
    for claim in grid.claims:
        if not _has_rows(claim, settings):
            if split == "val":
                lines.append([claim.says, "not run", "–", f"{claim.better} − {claim.than}", "0"])
            continue
        column = of_split(claim.metric, split)
        own = claim.model_copy(update={"metric": column})
        found, said = settle(own, settings, grid.curve.samplings, _more_is_better(claim))
        at = f", at equal {heading(claim.at_equal)}" if claim.at_equal else ""
        compared = f"{claim.better} − {claim.than}, {heading(column)}{at}"
        lines.append(
            [claim.says, f"**{said}**", _told(found, column), compared, str(found.n_seeds)]
        )
    head = ["claim", "verdict", "difference", "of", "pairs of trainings"]
    return markdown_table(head, lines)


def _more_is_better(claim: Claim) -> bool:
    """Which side is claimed; raises UserError where neither claim nor metric has one."""
    own = metric(claim.metric.partition("/")[0]).more_is_better
    side = own if claim.more is None else claim.more
    if side is None:
        raise UserError(
            f"The claim {claim.says!r} needs `more: true` or `more: false`: {claim.metric} has no"
            " better side of its own."
        )
    return side


def _has_rows(claim: Claim, settings: Settings) -> bool:
    """Whether both sides of a claim have rows; a curve is a run alone, under any sampling."""
    sides = (claim.better, claim.than)
    return all(
        any(name == side or name.startswith(f"{side}/") for name in settings) for side in sides
    )


def _seconds(rows: list[Row]) -> float:
    trainings = {(row.run, row.seed): row.seconds["train"] for row in rows}
    return sum(trainings.values()) + sum(
        row.seconds["sample"] + row.seconds["evaluate"] for row in rows
    )

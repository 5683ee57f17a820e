"""`python -m benchmarks.pose_simulated`: the last table of docs/poses.md, how far the joints of the
embedded dances are off beside what was measured of BlazePose and MoveNet.
"""

from dataclasses import fields
from typing import Annotated

import numpy as np
import typer

from benchmarks.page import write_results
from benchmarks.pose_errors import KEPT_FPS, PAGE, tables
from benchmarks.pose_measures import Errors, measured
from pipeline.datasets.toy_dance.camera import set_up
from pipeline.datasets.toy_dance.dancer import Noise, dance
from pipeline.datasets.toy_dance.songs import GENRES, Title, compose
from pipeline.features.tracking import READERS, misread
from pipeline.runtime.seeds import numpy_generator

NAMES = {"MoveNet": "movenet", "BlazePose": "blazepose"}
FPS = 60.0  # the rate at which the readers were measured
SECONDS, START_S = 9.6, 5.0  # as long as the sequence they were measured on
TITLE = "Simulated beside measured"
Rows = dict[tuple[str, str], dict[str, str]]  # (section, row) -> reader -> cells


def main(
    clips: Annotated[int, typer.Option(help="Performances, genres in turn.")] = 20,
    write: Annotated[bool, typer.Option("--write", help="Into docs/poses.md.")] = False,
) -> None:
    """Prints how the simulated joints err beside the readers that they imitate."""
    found, kept = simulated(clips)
    lines = side_by_side(rows_of(PAGE.read_text()), rows_of(sections(found, kept)), clips)
    typer.echo("\n".join(lines))
    if write:
        write_results(PAGE, lines)


def simulated(clips: int) -> tuple[dict[str, Errors], dict[str, Errors]]:
    """The errors of both simulated readers on so many performances: of all frames, and of those
    that are kept.
    """
    found: dict[str, list[Errors]] = {name: [] for name in NAMES}
    kept: dict[str, list[Errors]] = {name: [] for name in NAMES}
    every = round(FPS / KEPT_FPS)
    for number in range(clips):
        truth = performance(number)
        exact = np.concatenate([truth, np.ones_like(truth[..., :1])], axis=-1)
        for name, reader in NAMES.items():
            rng = numpy_generator(number, "benchmark", reader)
            joints = misread(exact, FPS, READERS[reader], 1.0, rng)
            joints[joints[..., 2] == 0] = np.nan
            found[name].append(measured(joints, truth, FPS))
            kept[name].append(measured(joints[::every], truth[::every], KEPT_FPS))
    return (
        {name: pooled(each) for name, each in found.items()},
        {name: pooled(each) for name, each in kept.items()},
    )


def performance(number: int) -> np.ndarray:
    """The true pixels [T, 17, 2] of one performance as a camera of toy_dance sees it."""
    rng = numpy_generator(number, "performance")
    song = compose(Title(GENRES[number % len(GENRES)], "val", number), 0)
    joints = dance(song, START_S, SECONDS, FPS, Noise.of_level(0.3), rng)
    return set_up(np.arange(len(joints)) / FPS, 128, 1.0, rng).project(joints)[0]


def pooled(each: list[Errors]) -> Errors:
    """The mean of every figure over clips; the stretches of all of them."""

    def together(values: list):
        match values[0]:
            case dict():
                return {key: together([value[key] for value in values]) for key in values[0]}
            case list():
                return [number for value in values for number in value]
            case _:
                means = np.nanmean(np.array(values, dtype=float), axis=0)
                return float(means) if means.ndim == 0 else tuple(means.tolist())

    names = [field.name for field in fields(Errors)]
    return Errors(**{name: together([getattr(one, name) for one in each]) for name in names})


def sections(found: dict[str, Errors], kept: dict[str, Errors]) -> str:
    """The tables of simulated errors, in the form of the measured ones."""
    return "\n".join(tables(found, kept, "simulated", FPS, KEPT_FPS))


def rows_of(page: str) -> Rows:
    """The rows of the tables of errors in a page, by section and name."""
    rows: Rows = {}
    for section in page.split("### ")[1:]:
        title, _, rest = section.partition(":")
        lines = [line for line in rest.splitlines() if line.startswith("|")]
        if title == TITLE or len(lines) < 2:
            continue
        header, *body = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
        for name, *cells in body[1:]:
            readers = rows.setdefault((title, name), {})
            for column, cell in zip(header[1:], cells, strict=True):
                reader = column.split()[0]
                readers[reader] = f"{readers[reader]}, {cell}" if reader in readers else cell
    return rows


def side_by_side(measured_rows: Rows, simulated_rows: Rows, clips: int) -> list[str]:
    """Lines of Markdown: one table of all figures of both readers, measured and simulated."""
    lines = [
        f"### {TITLE}: {clips} performances of toy_dance, {SECONDS:g} s each\n",
        "| | " + " | ".join(f"{name}, measured | simulated" for name in NAMES) + " |",
        "|---" * (1 + 2 * len(NAMES)) + "|",
    ]
    section = None
    for (title, name), cells in simulated_rows.items():
        if title != section:
            lines.append(f"| **{title}** " + "| " * (2 * len(NAMES)) + "|")
            section = title
        pairs = [(measured_rows[title, name][reader], cells[reader]) for reader in NAMES]
        lines.append(f"| {name} | " + " | ".join(f"{a} | {b}" for a, b in pairs) + " |")
    return lines


if __name__ == "__main__":
    typer.run(main)

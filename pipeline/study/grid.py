"""The grid of a study, params/study/<dataset>.yaml: which trainings and samplings it consists of,
and which claims they are to settle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Positive, Section, Seed, read_yaml, validate

Split = Literal["val", "test"]
SPLITS: tuple[Split, ...] = ("val", "test")


class Training(Section):
    """One line of the grid: a training, and how its model is sampled.

    `contrast` is the setting, `set` what differs from params/<dataset>.yaml (dotted keys), `seeds`
    the training seeds (null: those of the whole grid), `samplings` names from the grid's. `start`
    names another run of the grid: training begins with the weights that it ended with under the
    same seed (the frozen reference of the form `cca`). `against` names the run that this one is
    compared with, and whose `set` it goes on from, so that nothing but its own `set` and `contrast`
    differ (null: the grid's baseline, and params/<dataset>.yaml).
    """

    contrast: str
    set: dict[str, object] = {}
    seeds: tuple[Seed, ...] | None = None
    samplings: tuple[str, ...] = Field(min_length=1)
    start: str | None = None
    against: str | None = None


class Claim(Section):
    """Something the study is to settle: `better` is better than `than` in `metric`, beyond the luck
    of training. Both name a setting, RUN/SAMPLING.

    `matters` is the least difference that counts. `at_equal` names another metric: the figures are
    then compared with the curve of `than` (a run alone) over the grid's samplings for curves, at an
    equal value of that one. `more`: whether more of a metric that has no better side of its own,
    such as adherence, is what is claimed (null: as the tables' arrows say).
    """

    says: str
    better: str
    than: str
    metric: str
    matters: Positive
    at_equal: str | None = None
    more: bool | None = None


class Sweep(Section):
    """A table or figure in the paper's shape: `lines` of settings (RUN/SAMPLING), under `values` of
    what stands `along` where it is a number.
    """

    title: str
    along: str
    values: tuple[Positive, ...] = ()
    lines: dict[str, tuple[str, ...]]

    @model_validator(mode="after")
    def _as_many_values(self) -> "Sweep":
        if self.values and any(len(line) != len(self.values) for line in self.lines.values()):
            raise ValueError("lines must have as many settings as there are values")
        return self


class Curve(Section):
    """The axes of quality and adherence, as metric/protocol, and the samplings that make a curve of
    a run. `planes`: the runs that share a picture, by its title; all of them in one if empty.
    """

    quality: str
    adherence: str
    samplings: tuple[str, ...] = Field(min_length=1)
    planes: dict[str, tuple[str, ...]] = {}


class Grid(Section):
    """params/study/<dataset>.yaml.

    `seeds`: training seeds of every run. `metrics`: what the tables show, as metric/protocol, the
    main one first; `items`: the metrics whose figures are kept item by item, for pairing.
    `seconds`: a guess at what a training and a sampling take, used until a row tells. `samplings`:
    keys of sample.sampling by name.
    `baseline`: the run that those are compared with that name none in `against`. `shared`: what all
    runs set, such as a shorter training.
    """

    seeds: tuple[Seed, ...] = Field(min_length=1)
    metrics: tuple[str, ...] = Field(min_length=1)
    items: tuple[str, ...]
    curve: Curve
    seconds: dict[Literal["train", "sample"], Positive]
    samplings: dict[str, dict[str, object]]
    baseline: str = "vanilla"
    shared: dict[str, object] = {}
    runs: dict[str, Training]
    sweeps: tuple[Sweep, ...] = ()
    claims: tuple[Claim, ...] = ()

    def against(self, run: str) -> str:
        """The run that `run` is compared with."""
        return self.runs[run].against or self.baseline

    def difference(self, run: str) -> dict[str, object]:
        """What a run sets: what all share, what the run that it is compared with sets, its own."""
        other = self.runs[run].against
        return (self.difference(other) if other else self.shared) | self.runs[run].set

    @model_validator(mode="after")
    def _names_fit(self) -> "Grid":
        for name, run in self.runs.items():
            if unknown := [one for one in run.samplings if one not in self.samplings]:
                raise ValueError(f"runs.{name}.samplings names {unknown[0]!r}, which is not there")
            if run.start is not None and run.start not in self.runs:
                raise ValueError(f"runs.{name}.start names {run.start!r}, which is no run")
            if run.against is not None and run.against not in self.runs:
                raise ValueError(f"runs.{name}.against names {run.against!r}, which is no run")
            if self._comes_back(name):
                raise ValueError(f"runs.{name}.against leads back to {name!r}")
        for setting in self._named():
            if setting.partition("/")[0] not in self.runs:
                raise ValueError(f"runs has no {setting.partition('/')[0]!r}, which is named below")
        return self

    def _comes_back(self, name: str) -> bool:
        seen, at = {name}, self.runs[name].against
        while at in self.runs and at not in seen:
            seen.add(at)
            at = self.runs[at].against
        return at == name

    def _named(self) -> Iterator[str]:
        yield self.baseline
        for claim in self.claims:
            yield from (claim.better, claim.than)
        for sweep in self.sweeps:
            for line in sweep.lines.values():
                yield from line
        for plane in self.curve.planes.values():
            yield from plane


@dataclass(frozen=True)
class Planned:
    """One row to be: a training (run, seed), how its model is sampled, on which split."""

    dataset: str
    run: str
    seed: int
    sampling: str
    split: Split
    contrast: str
    difference: dict[str, object]
    start: str | None

    @property
    def name(self) -> str:
        """The row's file name without its ending."""
        tail = "" if self.split == "val" else f"__{self.split}"
        return f"{self.run}__{self.sampling}__s{self.seed}{tail}"

    @property
    def trained(self) -> dict[str, object]:
        """What of the difference decides the training."""
        return {
            key: value
            for key, value in self.difference.items()
            if not key.startswith(("sample.", "evaluate."))
        }


def read_grid(file: Path) -> Grid:
    """The grid in a file; raises UserError that names the first wrong keys."""
    grid = validate(Grid, read_yaml(file), "", str(file))
    for name in [*grid.runs, *grid.samplings]:
        if not _is_name(name):
            raise UserError(
                f"{file}: {name!r} names files; use small letters, digits and the signs _ . + -"
            )
    return grid


def _is_name(name: str) -> bool:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789_.+-")
    return bool(name) and set(name) <= allowed and name[0] not in ".+-_" and "__" not in name


def plan(
    dataset: str,
    grid: Grid,
    split: Split = "val",
    only: str | None = None,
    seeds: tuple[int, ...] | None = None,
) -> list[Planned]:
    """The rows of a grid in its order: run by run, seed by seed, sampling by sampling.

    `only`: patterns of runs or rows, separated by commas (`vanilla,sample_inter*`); `seeds`: these
    training seeds alone. Raises UserError where nothing is left.
    """
    rows = [
        row for row in _all(dataset, grid, split) if only is None or _matches(row, only.split(","))
    ]
    rows = [row for row in rows if seeds is None or row.seed in seeds]
    if not rows:
        raise UserError(
            f"No row of the study of {dataset} matches; its runs are {', '.join(grid.runs)}."
        )
    return rows


def _all(dataset: str, grid: Grid, split: Split) -> Iterator[Planned]:
    for name, run in grid.runs.items():
        for seed in run.seeds or grid.seeds:
            for sampling in run.samplings:
                drawn = {
                    f"sample.sampling.{key}": value
                    for key, value in grid.samplings[sampling].items()
                }
                yield Planned(
                    *(dataset, name, seed, sampling, split, run.contrast),
                    {**grid.difference(name), "train.seed": seed, **drawn},
                    run.start,
                )


def _matches(row: Planned, patterns: list[str]) -> bool:
    return any(fnmatch(row.run, one) or fnmatch(row.name, one) for one in patterns)

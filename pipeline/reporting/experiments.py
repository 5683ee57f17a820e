"""DVC experiments side by side: runs that differ in the settings under comparison and in nothing
else, as tables and figures.

Every run brings its own controls. Where a control scores the same in all runs it is shown once.
Runs that share the compared settings (other training seeds, say) are averaged: their deviation is
then over trainings, no longer over sampling seeds.
"""

import json
import math
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from pipeline.diffusion.contrast import SETTINGS
from pipeline.metrics.results import Result, parse_results
from pipeline.reporting.glossary import row_title
from pipeline.runtime.errors import UserError

MODEL_ROWS = ("model", "model_shuffled")


@dataclass(frozen=True)
class Run:
    """One finished run: its name, the compared settings, everything else that decides it, and its
    results.
    """

    name: str
    values: tuple
    others: str
    results: list[Result]


def collect(dataset: str, keys: list[str], commits: int = 1) -> list[Run]:
    """The finished experiments of the last `commits` commits and the workspace, oldest first, that
    evaluated `dataset`.

    `keys` are dotted names in the data set's file, or in params.yaml. Raises UserError
    outside a DVC project, for a key that no run has, or when nothing was evaluated.
    """
    from dvc.api import exp_show
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        shown = exp_show(num=commits)
    except (DvcException, SCMError) as error:
        raise UserError(
            f"The experiments cannot be read ({error}); run this in a DVC project that has a"
            " commit."
        ) from None
    found: dict[str, Run] = {}
    unknown = None
    for one in reversed(shown):
        revision = None if one["rev"] == "workspace" else one["rev"]
        try:
            run = _read(one.get("Experiment") or one["rev"], revision, dataset, keys)
        except UserError as mistake:
            unknown, run = mistake, None
        if run is not None:
            found.setdefault(_digest(run), run)
    if unknown and not found:
        raise unknown
    if not found:
        raise UserError(
            f"No experiment has evaluated {dataset}; queue some, for example with `make table6`,"
            " and run them."
        )
    return list(found.values())


def _read(name: str, revision: str | None, dataset: str, keys: list[str]) -> Run | None:
    """The run at a revision (None: the workspace); None when it has no results for the data set
    that are of its own settings.

    A queued or failed experiment holds the results of the commit it started from beside its own
    settings; dvc.lock tells.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    own = f"params/{dataset}.yaml"
    paths = (f"reports/metrics/{dataset}/table.csv", "params.yaml", own, "dvc.lock")
    try:
        if revision is None:
            table, *texts = [Path(path).read_text() for path in paths]
        else:
            files = DVCFileSystem(rev=revision)
            table, *texts = [files.read_text(path) for path in paths]
    except (FileNotFoundError, DvcException):
        return None
    assert isinstance(table, str)
    top, settings, lock = (YAML(typ="safe", pure=True).load(text) for text in texts)
    if not _is_current({"params.yaml": top, own: settings}, lock, dataset):
        return None
    if top.get("contrast", "preset") != "preset":
        settings["contrast"] = top["contrast"]
    values = tuple(_take(settings, dataset, key) for key in keys)
    settings.get("train", {}).pop("seed", None)  # runs that differ in it alone are repetitions
    others = json.dumps(settings, sort_keys=True)
    return Run(name, values, others, parse_results(StringIO(table)))


def _is_current(files: dict[str, dict], lock: dict, dataset: str) -> bool:
    """Whether the stages of the data set last ran with the settings in these files, as dvc.lock
    records.
    """
    stages = [
        stage for name, stage in lock.get("stages", {}).items() if name.endswith(f"@{dataset}")
    ]
    used = [
        (file, key, value)
        for stage in stages
        for file, keys in stage.get("params", {}).items()
        for key, value in keys.items()
    ]
    return bool(used) and all(
        _look_up(files.get(file, {}), key) == value for file, key, value in used
    )


def _look_up(settings: dict, key: str) -> object:
    found: object = settings
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _take(settings: dict, dataset: str, key: str) -> object:
    """Removes the value of a dotted key from the settings and returns it."""
    *path, last = key.split(".")
    place = settings
    for part in path:
        place = place.get(part) if isinstance(place, dict) else None
    if isinstance(place, dict) and last in place:
        return place.pop(last)
    raise UserError(f"params/{dataset}.yaml has no key {key!r}.")


def _digest(run: Run) -> str:
    """Equal for the same results under the same settings: the workspace often repeats an
    experiment.
    """
    return json.dumps(
        [run.values, run.others, [str(result) for result in run.results]], default=str
    )


def comparable(runs: list[Run]) -> tuple[list[Run], list[Run]]:
    """(the runs that agree in everything but the compared settings, the others).

    Of several such sets the one with most combinations of the compared settings is taken, the
    newest of equals.
    """
    sets: dict[str, set[tuple]] = {}
    for run in runs:
        sets.setdefault(run.others, set()).add(run.values)
    last = {run.others: number for number, run in enumerate(runs)}
    chosen = max(sets, key=lambda others: (len(sets[others]), last[others]))
    return [run for run in runs if run.others == chosen], [
        run for run in runs if run.others != chosen
    ]


def merge(runs: list[Run], keys: list[str]) -> tuple[list[Result], dict[tuple, str]]:
    """(results whose rows are named after the compared settings, the row of each combination of
    settings).

    The model's rows and its shuffled ones come first, then the controls.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in sorted(runs, key=lambda run: [_order(value) for value in run.values]):
        groups.setdefault(run.values, []).append(run)
    labels = {
        values: label(keys, values) + (f" ({len(g)} trainings)" if len(g) > 1 else "")
        for values, g in groups.items()
    }
    averaged = {values: _average(group) for values, group in groups.items()}
    results = []
    for row, suffix in zip(MODEL_ROWS, ("", ", shuffled conditions")):
        for values, found in averaged.items():
            results += [
                replace(result, row=labels[values] + suffix)
                for result in found
                if result.row == row
            ]
    controls = dict.fromkeys(
        r.row for found in averaged.values() for r in found if r.row not in MODEL_ROWS
    )
    for row in controls:
        own = {values: [r for r in found if r.row == row] for values, found in averaged.items()}
        if len({str(found) for found in own.values()}) == 1:
            results += [replace(r, row=row_title(row)) for r in next(iter(own.values()))]
        else:
            results += [
                replace(r, row=f"{row_title(row)}, {labels[values]}")
                for values, found in own.items()
                for r in found
            ]
    return results, labels


def _order(value: object) -> tuple:
    """Numbers by size, then the contrastive settings in the paper's order, then words."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number:
        return 0, value, ""
    return (1, SETTINGS.index(value), "") if value in SETTINGS else (2, 0, str(value))


def label(keys: list[str], values: tuple) -> str:
    """The compared settings in words; keys that always go together with the same value are named
    once.
    """
    words = {}
    for key, value in zip(keys, values):
        name = key.rsplit(".", 1)[-1]
        if value not in words.values():
            words[name] = value
    shown = {
        key: f"{value:g}" if isinstance(value, float) else str(value)
        for key, value in words.items()
    }
    return ", ".join(
        value if key == "contrast" else f"{key} {value}" for key, value in shown.items()
    )


def _average(group: list[Run]) -> list[Result]:
    """The results of one run, or the means over several with the deviation over them."""
    if len(group) == 1:
        return group[0].results
    by_key = [{(r.row, r.metric, r.protocol): r for r in run.results} for run in group]
    merged = []
    for key, first in by_key[0].items():
        means = np.array([results[key].mean for results in by_key if key in results])
        deviation = float(means.std(ddof=1)) if len(means) > 1 else math.nan
        merged.append(
            replace(first, mean=float(means.mean()), std=deviation, low=math.nan, high=math.nan)
        )
    return merged

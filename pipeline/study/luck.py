"""The luck of training: how far a figure moves when nothing but the training seed changes."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.study.differences import Spread, over_seeds, settings_of
from pipeline.study.rows import Row, of_one_world, read_rows

OTHER_THAN_HEADLINES = {"train.steps", "sample.without"}


@dataclass(frozen=True)
class Luck:
    """The standard deviation of a figure over training seeds, and the trainings that it rests
    on.
    """

    deviation: float
    n_trainings: int

    def of_difference(self, n: int, m: int) -> float:
        """How large a difference between the means of n and of m trainings the luck of training
        alone gives in one case of twenty.
        """
        return 1.96 * self.deviation * math.sqrt(1 / n + 1 / m)


def read_luck(study: Path, dataset: str) -> dict[str, Luck]:
    """The luck of training by metric/protocol, from the rows of a data set; empty without any that
    share a setting.

    It is the median of the variances of all runs with several training seeds: several deviations of
    three values say more together than each of them alone, and one run that falls apart does not
    speak for the others. The samplings of a run rest on the same trainings, so that their variances
    are averaged. Models that are trained for another time (`train.steps`) or played without a part
    of their condition (`sample.without`) are left out, as no headline is made that way.
    """
    rows, _ = of_one_world([row for row in read_rows(study / dataset) if row.split == "val"])
    return luck_of(rows)


def luck_of(rows: list[Row]) -> dict[str, Luck]:
    """The same of rows at hand."""
    alike = [row for row in rows if not OTHER_THAN_HEADLINES & row.difference.keys()]
    groups = [group for group in settings_of(alike).values() if len(group) > 1]
    metrics = dict.fromkeys(
        f"{one.metric}/{one.protocol}" if one.protocol else one.metric
        for group in groups
        for row in group
        for one in row.results
        if one.row == "model"
    )
    found = {}
    for metric in metrics:
        runs: dict[str, list[Spread]] = {}
        for group in groups:
            spread = over_seeds(group, metric)
            if math.isfinite(spread.deviation):
                runs.setdefault(group[0].run, []).append(spread)
        if runs:
            variances = [
                np.mean([one.deviation**2 for one in spreads]) for spreads in runs.values()
            ]
            trainings = sum(max(one.n_seeds for one in spreads) for spreads in runs.values())
            found[metric] = Luck(math.sqrt(float(np.median(variances))), trainings)
    return found


def luck_for(metric: str, protocol: str, known: dict[str, Luck]) -> Luck | None:
    """The luck of a figure of the report; where it is a distance to the test pictures, that of the
    distance to the validation pictures.
    """
    name = f"{metric}/{protocol}" if protocol else metric
    return known.get(name) or known.get(name.replace(", test", ", val"))

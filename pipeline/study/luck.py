"""The luck of training: how far a figure moves when nothing but the training seed changes."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.study.differences import over_seeds, settings_of
from pipeline.study.rows import Row, of_one_world, read_rows


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

    It is pooled over all settings with several training seeds: three deviations of three values say
    more together than each of them alone.
    """
    rows, _ = of_one_world([row for row in read_rows(study / dataset) if row.split == "val"])
    return luck_of(rows)


def luck_of(rows: list[Row]) -> dict[str, Luck]:
    """The same of rows at hand."""
    groups = [group for group in settings_of(rows).values() if len(group) > 1]
    metrics = dict.fromkeys(
        f"{one.metric}/{one.protocol}" if one.protocol else one.metric
        for group in groups
        for row in group
        for one in row.results
        if one.row == "model"
    )
    found = {}
    for metric in metrics:
        spreads = [over_seeds(group, metric) for group in groups]
        known = [one for one in spreads if math.isfinite(one.deviation)]
        if known:
            freedom = np.array([one.n_seeds - 1 for one in known])
            variances = np.array([one.deviation**2 for one in known])
            pooled = math.sqrt(float(freedom @ variances / freedom.sum()))
            found[metric] = Luck(pooled, int(freedom.sum() + len(known)))
    return found


def luck_for(metric: str, protocol: str, known: dict[str, Luck]) -> Luck | None:
    """The luck of a figure of the report; where it is a distance to the test pictures, that of the
    distance to the validation pictures.
    """
    name = f"{metric}/{protocol}" if protocol else metric
    return known.get(name) or known.get(name.replace(", test", ", val"))

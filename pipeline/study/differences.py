"""What a study's rows say: means and spreads over training seeds, paired differences with
intervals, and verdicts by rule.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.metrics.bootstrap import defined_mean, draw_weights, weighted_mean
from pipeline.runtime.seeds import numpy_generator
from pipeline.study.grid import Claim
from pipeline.study.rows import Row

DRAWS = 1000
Settings = dict[str, list[Row]]  # RUN/SAMPLING -> its rows, one a training seed


@dataclass(frozen=True)
class Spread:
    """The mean over training seeds and the standard deviation over them (NaN for a single one)."""

    mean: float
    deviation: float
    n_seeds: int


@dataclass(frozen=True)
class Difference:
    """A paired difference and its 95 % interval, NaN where one training seed is all there is."""

    mean: float
    low: float
    high: float
    n_seeds: int


def settings_of(rows: list[Row]) -> Settings:
    """The rows by setting, RUN/SAMPLING, those of one setting by training seed."""
    found: Settings = {}
    for row in sorted(rows, key=lambda row: row.seed):
        found.setdefault(f"{row.run}/{row.sampling}", []).append(row)
    return found


def over_seeds(rows: list[Row], metric: str) -> Spread:
    """A metric of one setting over its training seeds."""
    return spread_of([row.value(metric) for row in rows])


def with_shared_seeds(settings: Settings) -> Settings:
    """The same settings with the rows of those training seeds alone that all of them have, so that
    their means are over the same luck; as they are where none is shared.
    """
    shared = set.intersection(*({row.seed for row in rows} for rows in settings.values()))
    if not shared:
        return settings
    return {name: [r for r in rows if r.seed in shared] for name, rows in settings.items()}


def spread_of(values: list[float]) -> Spread:
    """Mean and deviation of what is defined."""
    defined = [value for value in values if math.isfinite(value)]
    deviation = float(np.std(defined, ddof=1)) if len(defined) > 1 else math.nan
    return Spread(defined_mean(defined), deviation, len(defined))


def difference(rows: list[Row], than: list[Row], metric: str) -> Difference:
    """The metric of `rows` minus that of `than`, paired by training seed and, where its items are
    kept, by item.

    The interval holds both lucks: Student's over the seeds' differences, and the bootstrap over
    items (songs as wholes) of their mean, added as squares. Without items it is the first alone.
    """
    pairs = _pairs(rows, than)
    each = np.array([a.value(metric) - b.value(metric) for a, b in pairs])
    of_items = _deviation_over_items(pairs, metric)
    return interval_of(each, of_items)


def interval_of(each: np.ndarray, of_items: float = 0.0) -> Difference:
    """The mean of one difference a training seed, and its interval; `of_items` is the deviation of
    that mean over draws of items.
    """
    each = each[np.isfinite(each)]
    if len(each) < 2:
        return Difference(defined_mean(each), math.nan, math.nan, len(each))
    from scipy.stats import t

    of_seeds = t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / math.sqrt(len(each))
    half = math.hypot(float(of_seeds), 1.96 * of_items)
    return Difference(float(each.mean()), each.mean() - half, each.mean() + half, len(each))


def _pairs(rows: list[Row], than: list[Row]) -> list[tuple[Row, Row]]:
    others = {row.seed: row for row in than}
    return [(row, others[row.seed]) for row in rows if row.seed in others]


def _deviation_over_items(pairs: list[tuple[Row, Row]], metric: str) -> float:
    """The bootstrapped deviation of the mean difference over items; 0 where they are not kept."""
    kept = [(a, b) for a, b in pairs if metric in a.items and metric in b.items and a.ids == b.ids]
    if not kept or len({a.ids for a, _ in kept}) > 1:
        return 0.0
    each = np.array(
        [
            np.array(a.items[metric], dtype=float) - np.array(b.items[metric], dtype=float)
            for a, b in kept
        ]
    )
    first = kept[0][0]
    groups = first.songs or [str(number) for number in range(each.shape[1])]
    weights = draw_weights(groups, DRAWS, numpy_generator(0, "study", metric))
    drawn = np.array([weighted_mean(seed, weights) for seed in each]).mean(axis=0)
    return float(np.nanstd(drawn, ddof=1))


def at_equal(rows: list[Row], curve: list[Row], metric: str, equal: str) -> Difference:
    """The metric of `rows` minus that of the `curve` at the same value of `equal`, seed by seed.

    `curve`: rows of one run under several samplings, between which straight lines are drawn; a seed
    whose value lies outside of its curve says nothing.
    """
    each = []
    for row in rows:
        points = sorted(
            (other.value(equal), other.value(metric)) for other in curve if other.seed == row.seed
        )
        points = [point for point in points if np.isfinite(point).all()]
        x = row.value(equal)
        if len(points) > 1 and points[0][0] <= x <= points[-1][0]:
            places, values = np.array(points).T
            each.append(row.value(metric) - float(np.interp(x, places, values)))
    return interval_of(np.array(each))


def verdict(claim: Claim, found: Difference, up_is_better: bool) -> str:
    """`confirmed`, `not confirmed` or `could not be told`.

    Confirmed: the whole interval lies on the claimed side of zero. Not confirmed: all of it lies
    below the least difference that counts. All else, a single training seed too, cannot be told.
    """
    if not math.isfinite(found.low):
        return "could not be told"
    sides = (found.low, found.high) if up_is_better else (-found.high, -found.low)
    if sides[0] > 0:
        return "confirmed"
    if sides[1] < claim.matters:
        return "not confirmed"
    return "could not be told"


def settle(
    claim: Claim, settings: Settings, samplings: tuple[str, ...], up_is_better: bool
) -> tuple[Difference, str]:
    """(the difference that decides a claim, its verdict); `samplings` make a curve."""
    rows = settings.get(claim.better, [])
    if claim.at_equal is not None:
        names = [f"{claim.than}/{sampling}" for sampling in samplings]
        curve = [row for name in names for row in settings.get(name, [])]
        found = at_equal(rows, curve, claim.metric, claim.at_equal)
    else:
        found = difference(rows, settings.get(claim.than, []), claim.metric)
    return found, verdict(claim, found, up_is_better)

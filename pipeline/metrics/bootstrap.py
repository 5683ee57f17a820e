"""Bootstrap intervals over groups: clips of one song are not independent, so whole songs are drawn,
never clips.
"""

import numpy as np


def draw_weights(groups: list[str], n_draws: int, generator: np.random.Generator) -> np.ndarray:
    """How often each item counts in each draw of groups with replacement, [n_draws, n] float64.

    One array serves every metric and every row, so their draws are paired.
    """
    _, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    n_groups = index.max() + 1
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_draws)[
        :, index
    ].astype(np.float64)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of `values` [n] under each row of `weights` [draws, n], leaving out NaN; NaN where
    nothing is left.
    """
    defined = np.isfinite(values)
    total = weights[:, defined].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights[:, defined] @ values[defined] / total


def defined_mean(values: np.ndarray | list[float]) -> float:
    """The mean of the values that are defined; NaN, and no warning, where none is."""
    defined = np.asarray(values, dtype=float)
    defined = defined[np.isfinite(defined)]
    return float(defined.mean()) if len(defined) else float("nan")


def interval(statistics: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The central percentile interval of bootstrapped `statistics` [draws]; NaN, NaN when none is
    defined.
    """
    defined = statistics[np.isfinite(statistics)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

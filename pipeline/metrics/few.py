"""What few items cannot carry is withheld, with the reason: a number that looks exact misleads more
than a gap.
"""

import math
from dataclasses import replace

from pipeline.metrics.results import Evaluation, Result
from pipeline.storage.manifest import LEAST_TEST_CLIPS, LEAST_TEST_SONGS

DISTANCES = ("fad", "kad", "fid")  # between two whole sets


def withhold(evaluation: Evaluation) -> Evaluation:
    """The evaluation without bootstrap intervals over too few songs (or pictures) and without
    distances between sets of too few; the remark `withheld` says which and why.
    """
    results, reasons = [], {}
    for result in evaluation.results:
        kept, reason = _carried(result)
        results.append(kept)
        if reason:
            reasons[reason] = None
    if not reasons:
        return evaluation
    return replace(
        evaluation,
        results=results,
        remarks={**evaluation.remarks, "withheld": list(reasons)},
    )


def _carried(result: Result) -> tuple[Result, str | None]:
    """A line with only what its items carry, and why it lost something."""
    nothing = math.nan
    if result.metric in DISTANCES and result.n_clips < LEAST_TEST_CLIPS:
        few = f"{result.metric.upper()} (of fewer than {LEAST_TEST_CLIPS} items)"
        return replace(result, mean=nothing, std=nothing, low=nothing, high=nothing), few
    if math.isfinite(result.low) and result.n_songs < LEAST_TEST_SONGS:
        few = f"intervals (over fewer than {LEAST_TEST_SONGS} songs or pictures)"
        return replace(result, low=nothing, high=nothing), few
    return result, None

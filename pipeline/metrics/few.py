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
        remarks={**evaluation.remarks, "withheld": list(reasons)}
        | {"shows": _shows(evaluation.results)},
    )


def _shows(results: list[Result]) -> str:
    """What so few items can show and what they cannot, for the head of a report."""
    clips = max((result.n_clips for result in results), default=0)
    songs = max((result.n_songs for result in results), default=0)
    of = f" of {songs} songs" if songs < clips else ""
    return (
        f"The test split has {clips} items{of}, and a report rests on {LEAST_TEST_CLIPS} of"
        f" {LEAST_TEST_SONGS} at the least. They show that every stage works on these data, and"
        " what the model makes of them: listen and look. They do not show how it does on others,"
        " nor which of two settings is better: a row above another one by a few points, the"
        " model's above its shuffled one included, can be chance."
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

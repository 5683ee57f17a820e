"""The luck of training in the report: headline figures with both of their spreads, over sampling
seeds as measured and over training seeds as the study found it, and which differences exceed it.
"""

import math

from pipeline.metrics.results import Result
from pipeline.reporting.figures import telling
from pipeline.reporting.glossary import metric
from pipeline.reporting.protocols import measured_by
from pipeline.reporting.tables import markdown_table
from pipeline.study.luck import Luck, luck_for

UNKNOWN = "over training seeds unknown for this data set (one training)"


def headlines(results: list[Result], known: dict[str, Luck]) -> list[tuple[str, str]]:
    """(figure, its value with both spreads) for the telling metrics of the model."""
    lines = []
    for name, protocol in telling(results):
        one = next(
            r for r in results if r.row == "model" and (r.metric, r.protocol) == (name, protocol)
        )
        digits = metric(name).digits
        parts = [f"{one.mean:.{digits}f}"]
        if math.isfinite(one.std):
            parts.append(f"± {one.std:.{digits}f} over sampling seeds,")
        luck = luck_for(name, protocol, known)
        parts.append(over_trainings(luck, digits) if luck else UNKNOWN)
        title = (
            f"{metric(name).title} ({measured_by(protocol)})" if protocol else metric(name).title
        )
        lines.append((title, " ".join(parts)))
    return lines


def over_trainings(luck: Luck, digits: int) -> str:
    """The spread over training seeds in words."""
    return (
        f"± {luck.deviation:.{digits}f} over training seeds ({luck.n_trainings} trainings of the"
        " study)"
    )


def called(
    results: list[Result], trainings: dict[str, int], known: dict[str, Luck], dataset: str
) -> str:
    """Which of a comparison's differences are more than the luck of training, as Markdown.

    `trainings`: how many trainings stand behind each row of a model. All are compared with vanilla,
    or with the first. Where the luck is unknown nothing is called a difference.
    """
    pairs = telling(results, set(trainings))
    if len(trainings) < 2 or not pairs:
        return ""
    base = next((row for row in trainings if "vanilla" in row), next(iter(trainings)))
    found = {(one.row, one.metric, one.protocol): one.mean for one in results}
    lines = []
    for row in trainings:
        for name, protocol in pairs if row != base else ():
            here, there = (found.get((one, name, protocol)) for one in (row, base))
            if here is not None and there is not None:
                luck = luck_for(name, protocol, known)
                by = luck.of_difference(trainings[row], trainings[base]) if luck else None
                lines.append([f"{row} − {base}", *_call(name, protocol, here - there, by)])
    head = ["difference", "of", "is", "luck of training gives up to", "so it is"]
    told = (
        "" if any(luck_for(*pair, known) for pair in pairs) else f"\n{_UNKNOWN.format(dataset)}\n"
    )
    return f"## What is more than the luck of training\n\n{markdown_table(head, lines)}{told}"


_UNKNOWN = (
    "How far a figure moves with the training seed alone is unknown here: `cdcd study {}` measures"
    " it. Until then no difference between trainings is called one."
)


def _call(name: str, protocol: str, change: float, by: float | None) -> list[str]:
    """The cells that say what a difference is worth."""
    digits = metric(name).digits
    title = f"{metric(name).title} ({measured_by(protocol)})" if protocol else metric(name).title
    if by is None:
        return [title, f"{change:+.{digits}f}", "unknown", "not called"]
    said = "a difference" if abs(change) > by else "no difference"
    return [title, f"{change:+.{digits}f}", f"{by:.{digits}f}", f"**{said}**"]

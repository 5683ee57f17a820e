"""The headline figures of a data set with both of their spreads: over sampling seeds, as measured,
and over training seeds, as the study found it.
"""

import math

from pipeline.metrics.results import Result
from pipeline.reporting.figures import telling
from pipeline.reporting.glossary import measured_by, metric
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

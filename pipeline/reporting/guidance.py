"""What a stronger adherence buys and costs, as a table: the study's trainings of vanilla, sampled
under rising guidance.
"""

import math
from pathlib import Path

from pipeline.reporting.figures import telling
from pipeline.reporting.glossary import arrow, metric
from pipeline.reporting.protocols import measured_by
from pipeline.study.differences import over_seeds
from pipeline.study.rows import Row, of_one_world, read_rows

BASELINE = "vanilla"
WEIGHT = "sample.sampling.guidance"


def guidance_table(study: Path, dataset: str) -> tuple[list[str], list[list[str]]] | None:
    """(titles of columns, lines of cells), a line a guidance weight; None with fewer than two
    weights of one world in the study of the data set.
    """
    rows, _ = of_one_world([row for row in read_rows(study / dataset) if row.split == "val"])
    by_weight = _by_weight(rows)
    if len(by_weight) < 2:
        return None
    pairs = telling([one for row in rows for one in row.results if one.row == "model"], limit=4)
    names = [f"{name}/{protocol}" if protocol else name for name, protocol in pairs]
    titles = [
        f"{metric(name).title}{f' ({measured_by(protocol)})' if protocol else ''} {arrow(name)}"
        for name, protocol in pairs
    ]
    lines = [
        [
            f"guidance {weight:g}",
            *(_cell(found, *both) for both in zip(names, (pair[0] for pair in pairs))),
            str(len(found)),
        ]
        for weight, found in sorted(by_weight.items())
    ]
    return ["", *titles, "trainings"], lines


def _by_weight(rows: list[Row]) -> dict[float, list[Row]]:
    """The baseline's rows in which nothing but guidance differs: those whose sampling is called by
    its weight alone, g1, g1.3, g2.
    """
    found: dict[float, list[Row]] = {}
    for row in rows:
        weight = row.difference.get(WEIGHT)
        if not isinstance(weight, int | float):
            continue
        if row.run == BASELINE and row.sampling == f"g{weight:g}":
            found.setdefault(float(weight), []).append(row)
    return found


def _cell(rows: list[Row], name: str, of: str) -> str:
    spread, digits = over_seeds(rows, name), metric(of).digits
    told = f"{spread.mean:.{digits}f}" if math.isfinite(spread.mean) else "–"
    return f"{told} ± {spread.deviation:.{digits}f}" if math.isfinite(spread.deviation) else told

"""The tables of the study in the paper's shape, along a weight, a number of steps or a form, and
how a figure over training seeds is written.
"""

import math
from pathlib import Path

from pipeline.reporting.glossary import arrow, metric
from pipeline.reporting.protocols import measured_by
from pipeline.reporting.study_figures import draw_steps
from pipeline.reporting.tables import markdown_table
from pipeline.study.differences import Settings, over_seeds, with_shared_seeds
from pipeline.study.grid import Sweep
from pipeline.study.rows import Row


def sweep_table(sweep: Sweep, settings: Settings, columns: list[str], picture: Path) -> list[str]:
    """One table (and curves, where there are values), over the training seeds that all its settings
    share; nothing while fewer than two settings of it have rows, if it has more than one.
    """
    named = [name for line in sweep.lines.values() for name in line]
    if sum(name in settings for name in named) < min(2, len(named)):
        return []
    settings = with_shared_seeds({name: settings[name] for name in named if name in settings})
    parts = [f"#### {sweep.title}\n"]
    head = ["", *map(heading, columns), "training seeds"]
    lines = []
    for title, line in sweep.lines.items():
        for number, name in enumerate(line):
            rows = settings.get(name, [])
            value = f", {sweep.along} {sweep.values[number]:g}" if sweep.values else f" {name}"
            cells = [spread(rows, column) if rows else "not run" for column in columns]
            lines.append([f"{title}{value}".strip(), *cells, str(len(rows))])
    parts.append(markdown_table(head, lines))
    if len(sweep.values) > 2 and draw_steps(picture, sweep, settings, columns[:2]):
        parts.append(f"![{sweep.title}](figures/{picture.name})\n")
    return parts


def heading(name: str) -> str:
    """A column's heading, with what it was measured by and which way is better."""
    figure, _, protocol = name.partition("/")
    by = f" ({measured_by(protocol)})" if protocol else ""
    return f"{metric(figure).title}{by}{arrow(figure)}"


def spread(rows: list[Row], column: str) -> str:
    """A figure as *mean ± deviation* over training seeds, or a dash where there is none."""
    found = over_seeds(rows, column)
    if not math.isfinite(found.mean):
        return "–"
    digits = digits_of(column)
    text = f"{found.mean:.{digits}f}"
    return f"{text} ± {found.deviation:.{digits}f}" if found.n_seeds > 1 else text


def digits_of(column: str) -> int:
    """How many decimals a figure is written with."""
    return metric(column.partition("/")[0]).digits

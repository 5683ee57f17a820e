"""The tables of metrics, rows and protocols, from the glossary that the reports use."""

from pipeline.reporting.glossary import METRICS, ROWS, arrow
from pipeline.reporting.protocols import PROTOCOLS


def metrics_tables() -> str:
    """What every column, row and protocol of a table means, as Markdown."""
    parts = ["## Columns\n", "| metric | better | what it is |", "|---|---|---|"]
    for name, metric in METRICS.items():
        better = {"": "neither", " ↑": "more ↑", " ↓": "less ↓"}[arrow(name)]
        parts.append(f"| {metric.title} (`{name}`) | {better} | {_cell(metric.meaning)} |")
    parts += ["\n## Protocols\n", "| protocol | what it means |", "|---|---|"]
    parts += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in PROTOCOLS.items()]
    parts += ["\n## Rows\n", "| row | in the files |", "|---|---|"]
    parts += [f"| {title} | `{name}` |" for name, title in ROWS.items()]
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

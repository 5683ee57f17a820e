"""The figures of the literature that travel with the package, each block under its own protocol."""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pipeline.reporting.glossary import arrow, metric
from pipeline.reporting.protocols import PROTOCOLS
from pipeline.reporting.tables import markdown_table
from pipeline.runtime.params import read_yaml


@dataclass(frozen=True)
class Published:
    """One published block. A cell is a number, (mean, deviation) or None."""

    dataset: str | None
    table: str
    title: str
    protocol: str
    source: str
    note: str
    columns: list[str]
    rows: dict[str, list]

    def holds(self, table: str) -> bool:
        """Whether the block is of a table such as "Table 6"; a block may belong to several ("Tables
        1 and 6").
        """
        return set(re.findall(r"\d+", table)) <= set(re.findall(r"\d+", self.table))

    def markdown(self) -> str:
        """The block as a Markdown table with its source and protocol."""
        head = ["Published", *(metric(name).title + arrow(name) for name in self.columns)]
        lines = [
            [row, *(_cell(value, name) for value, name in zip(cells, self.columns))]
            for row, cells in self.rows.items()
        ]
        origin = (
            f"*{self.table}, {self.title}.* Published, not measured here: {self.source};"
            f" {PROTOCOLS[self.protocol]}."
        )
        return "\n".join(
            [origin, *([self.note] if self.note else []), "", markdown_table(head, lines)]
        )


def published() -> list[Published]:
    """All published blocks, in the order of the paper."""
    path = Path(str(files("pipeline.reporting") / "published.yaml"))
    return [Published(**{"note": "", **block}) for block in read_yaml(path)["blocks"]]


def _cell(value, name: str) -> str:
    if value is None:
        return "–"
    digits = metric(name).digits
    if isinstance(value, list):
        return f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}"
    return f"{value:.{digits}f}"

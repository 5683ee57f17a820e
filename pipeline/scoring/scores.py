"""What a scoring gives: the table as figures and as Markdown, and what was said of the files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.metrics.few import withhold
from pipeline.metrics.results import ClipResult, Evaluation, Result
from pipeline.reporting.glossary import ROWS
from pipeline.reporting.tables import blocks, markdown
from pipeline.scoring.outputs import Findings
from pipeline.scoring.page import check_out, write_score


@dataclass(frozen=True)
class Scores:
    """Scored outputs beside their controls.

    `table` has a line for each row and metric, without what so few items cannot carry; `rows` are
    the names of its rows, the outputs' first; `about` says what was scored and how, `notes` what a
    reader should know of files, `mistakes` why something was left out. In a notebook it is shown as
    its tables.
    """

    evaluation: Evaluation
    about: Mapping[str, str]
    notes: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()

    @property
    def table(self) -> list[Result]:
        """Every line: row, metric, protocol, mean, std over outputs, interval, counts."""
        return self.evaluation.results

    @property
    def clips(self) -> list[ClipResult]:
        """The same figures item by item."""
        return self.evaluation.clips

    @property
    def rows(self) -> list[str]:
        """The rows of the table in their order."""
        return list(dict.fromkeys(result.row for result in self.table))

    def row(self, name: str) -> dict[tuple[str, str], Result]:
        """The lines of one row by (metric, protocol)."""
        return {(one.metric, one.protocol): one for one in self.table if one.row == name}

    @property
    def told(self) -> list[str]:
        """Notes and mistakes, one after another."""
        return [*self.notes, *self.mistakes]

    @property
    def titles(self) -> dict[str, str]:
        """The titles of the rows that are called as their folders."""
        return {row: row for row in self.rows if row not in ROWS}

    def markdown(self, *names: str) -> str:
        """The tables as Markdown, one for each protocol; with `names` only those (`own_vs_others`,
        `timing`, `exact`, ...: the names of the files in reports/tables).
        """
        shown = [block for block in blocks(self.table) if not names or block.name in names]
        return "\n".join(markdown(block, self.titles) for block in shown)

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def save(self, folder: Path | str) -> Path:
        """The folder, filled with README.md and index.html to read, table.csv, clips.csv,
        metrics.json and remarks.json; an earlier score in it is replaced. Raises UserError where it
        holds anything else or cannot be written.
        """
        out = Path(folder)
        check_out(out)
        write_score(self.evaluation, self.about, self.told, self.titles, out)
        return out


def scores_of(evaluation: Evaluation, about: Mapping[str, str], findings: Findings) -> Scores:
    """The scores of an evaluation, without what so few items cannot carry."""
    evaluation = withhold(evaluation)
    withheld = evaluation.remarks.get("withheld", [])
    notes = list(findings.notes)
    if isinstance(withheld, list) and withheld:
        notes.append(f"Withheld, for so few cannot carry them: {', '.join(withheld)}.")
    remarks = {name: value for name, value in evaluation.remarks.items() if name != "shows"}
    evaluation = replace(evaluation, remarks=remarks)
    return Scores(evaluation, about, tuple(notes), tuple(findings.mistakes))

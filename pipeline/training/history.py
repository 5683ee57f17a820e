"""The curves of a training as a table that people, DVC's plots and the report read."""

import csv
from pathlib import Path

from pipeline.runtime.files import atomic


def write_history(path: Path, history: list[dict]) -> None:
    """Writes one line a row; the columns are all names that occur, `step` first, empty where a row
    lacks one.
    """
    columns = list(dict.fromkeys(name for row in history for name in row))
    with atomic(path) as temporary, open(temporary, "w", newline="") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)

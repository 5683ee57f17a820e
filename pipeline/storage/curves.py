"""The curves of a training, read from its history.csv."""

import csv
import math
from pathlib import Path

from pipeline.runtime.errors import DamagedFile, UserError


def read_curves(path: Path) -> dict[str, list[tuple[float, float]]]:
    """The curves in a history.csv: column -> [(step, value)], empty and undefined cells left out.

    The first column is the step. Curves of fewer than two points are left out. Raises DamagedFile
    for what is no such table, or was cut short.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        rows = list(csv.reader(text.splitlines()))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage that trains first.") from None
    except (UnicodeDecodeError, csv.Error):
        raise DamagedFile(path, "it is not a table") from None
    if not text.endswith("\n"):
        raise DamagedFile(path, "its last line is cut short")
    head, points = (rows[0], rows[1:]) if rows else ([], [])
    if head and head[0] != "step":
        raise DamagedFile(path, "its first column is not the step")
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in head[1:]}
    last = -math.inf
    for line, row in enumerate(points, start=2):
        step, values = _numbers(path, line, row, len(head))
        if not step > last:
            raise DamagedFile(path, f"line {line}: the steps do not rise")
        last = step
        for name, value in zip(head[1:], values):
            if value is not None and math.isfinite(value):
                curves[name].append((step, value))
    return {name: curve for name, curve in curves.items() if len(curve) > 1}


def _numbers(path: Path, line: int, row: list[str], width: int) -> tuple[float, list[float | None]]:
    """(step, values) of one line, None for an empty cell."""
    if len(row) != width:
        raise DamagedFile(path, f"line {line} has {len(row)} cells instead of {width}")
    try:
        return float(row[0]), [float(cell) if cell else None for cell in row[1:]]
    except ValueError:
        raise DamagedFile(path, f"line {line} holds something else than numbers") from None

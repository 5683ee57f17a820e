"""Curves as characters, for a terminal."""

import math
from collections.abc import Mapping, Sequence

from rich.text import Text

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille character, by row
COLOURS = ("cyan", "yellow", "magenta", "green")
EMPTY = 0x2800
Points = Sequence[tuple[float, float]]


def plot(curves: Mapping[str, Points], width: int, height: int) -> Text:
    """The curves, each [(x, y), ...], in `height` lines of `width` characters, two by four dots a
    character, with the least and the greatest of both axes; the last curve lies on top.
    """
    points = [point for curve in curves.values() for point in curve if math.isfinite(point[1])]
    if not points:
        return Text("no rows yet")
    (left, right), (low, high) = (_ends([point[axis] for point in points]) for axis in (0, 1))
    margin = max(len(_number(low)), len(_number(high))) + 1
    columns = max(8, width - margin)
    cells: dict[tuple[int, int], tuple[int, str]] = {}
    for number, curve in enumerate(curves.values()):
        for x, y in curve:
            if not math.isfinite(y):
                continue
            across = round((x - left) / (right - left) * (2 * columns - 1))
            down = round((high - y) / (high - low) * (4 * height - 1))
            at = (down // 4, across // 2)
            dots = cells.get(at, (0, ""))[0] | DOTS[down % 4][across % 2]
            cells[at] = (dots, COLOURS[number % len(COLOURS)])
    drawn = Text()
    for line in range(height):
        label = _number(high) if line == 0 else _number(low) if line == height - 1 else ""
        drawn.append(label.rjust(margin - 1) + " ", "dim")
        for column in range(columns):
            dots, colour = cells.get((line, column), (0, ""))
            drawn.append(chr(EMPTY + dots) if dots else " ", colour)
        drawn.append("\n")
    first, last = _number(left), _number(right)
    drawn.append(" " * margin + first + last.rjust(columns - len(first)) + "\n", "dim")
    for number, name in enumerate(curves):
        drawn.append(" " * margin if number == 0 else "   ")
        drawn.append(name, COLOURS[number % len(COLOURS)])
    return drawn


def _ends(values: list[float]) -> tuple[float, float]:
    """The least and the greatest, apart from one another."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _number(value: float) -> str:
    return f"{value:.4g}"

"""In which order masked positions open, where that is not left to chance: by purity, by confidence,
or along a Halton path.
"""

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@lru_cache
def halton_path(rows: int, columns: int) -> tuple[int, ...]:
    """For each cell of the grid, row by row, its place in a Halton sequence of bases 2 and 3
    (Besnier et al., 2025).

    The first cells of the path are spread evenly over the grid. A single row or column follows base
    2 alone.
    """
    bases = (2, 2) if 1 in (rows, columns) else (2, 3)
    place: dict[int, int] = {}
    number = 0
    while len(place) < rows * columns:
        cell = int(_van_der_corput(number, bases[0]) * rows) * columns + int(
            _van_der_corput(number, bases[1]) * columns
        )
        place.setdefault(cell, len(place))
        number += 1
    return tuple(place[cell] for cell in range(rows * columns))


def _van_der_corput(number: int, base: int) -> float:
    """The digits of `number` mirrored at the point: evenly spread in [0, 1)."""
    value, unit = 0.0, 1.0
    while number:
        unit /= base
        number, digit = divmod(number, base)
        value += unit * digit
    return value


def first(
    preference: Float[Tensor, "B L"], candidates: Bool[Tensor, "B L"], count: Int[Tensor, " B"]
) -> Bool[Tensor, "B L"]:
    """Bool [B, L]: in each row the `count` [B] candidates [B, L] of highest preference [B, L]."""
    ranked = preference.masked_fill(~candidates, -torch.inf).argsort(
        dim=1, descending=True, stable=True
    )
    place = torch.empty_like(ranked).scatter_(
        1, ranked, torch.arange(ranked.shape[1], device=ranked.device).expand_as(ranked)
    )
    return candidates & (place < count[:, None])

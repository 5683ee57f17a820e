"""How the tokens of a task lie side by side."""

from stages.config import AnyDataset, DanceToMusic


def token_grid(settings: AnyDataset, length: int) -> tuple[int, int]:
    """(rows, columns) of `length` tokens: one row for music, a square for pictures."""
    if isinstance(settings, DanceToMusic):
        return 1, length
    side = round(length**0.5)
    return side, side

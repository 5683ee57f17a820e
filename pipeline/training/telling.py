"""What a training tells while it goes on: its curve, its pace, a line for the terminal, and
TensorBoard where that is wanted. Nothing of it is part of the result but the rows of the curve.
"""

import csv
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from pipeline.runtime.errors import UserError
from pipeline.runtime.run import RunSettings
from pipeline.training.history import LiveHistory

if TYPE_CHECKING:
    from pipeline.training.engine import Plan

PACE = ("step", "seconds", "examples_per_s", "tokens_per_s", "memory_mb", "left_s")


class Telling:
    """The rows so far; with a `folder` the curve grows in history.csv there, and the pace in
    pace.csv.
    """

    def __init__(
        self, plan: "Plan", rhythm: RunSettings, folder: Path | None, rows: list[dict], step: int
    ):
        """`rows` are those up to `step`, from which the training goes on."""
        self.plan, self.step, self.words = plan, step, ""
        self.history = LiveHistory(folder and folder / "history.csv", rows)
        self.pace = folder and folder / "pace.csv"
        self.began = self.last = time.monotonic()
        self.board = None
        if rhythm.tensorboard is not None and folder is not None:
            self.board = _board(Path(rhythm.tensorboard).expanduser(), plan.title, folder, step)
        if self.pace is not None and not self.pace.exists():
            self._write(PACE, "w")

    @property
    def rows(self) -> list[dict]:
        """The curve."""
        return self.history.rows

    def tell(self, row: dict) -> None:
        """Adds a row to the curve, and tells how quickly it came."""
        self.history.append(row)
        pace = self._pace(int(row["step"]))
        shown = {name: row[name] for name in ("main", "validation") if name in row}
        told = [f"{name} {value:.4g}" for name, value in (shown or {"loss": row["loss"]}).items()]
        rate = "tokens_per_s" if self.plan.tokens else "examples_per_s"
        told.append(f"{pace[rate]:.3g} {rate.partition('_')[0]}/s")
        self.words = ", ".join([*told, f"{pace['memory_mb']:.0f} MB", _clock(pace["left_s"])])
        if self.pace is not None:
            self._write([f"{value:.6g}" for value in pace.values()], "a")
        if self.board is not None:
            for name, value in {**row, **pace}.items():
                self.board.add_scalar(name, value, int(row["step"]))
            self.board.flush()

    def close(self) -> None:
        """Ends what was open."""
        if self.board is not None:
            self.board.close()

    def _pace(self, step: int) -> dict[str, float]:
        now = time.monotonic()
        rate = (step - self.step) / max(now - self.last, 1e-9)
        self.step, self.last = step, now
        examples = rate * self.plan.batch_size
        left = (self.plan.steps - step) / max(rate, 1e-9)
        values = (step, now - self.began, examples, examples * self.plan.tokens, _memory_mb(), left)
        return dict(zip(PACE, values))

    def _write(self, line, mode: str) -> None:
        assert self.pace is not None
        with open(self.pace, mode, newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerow(line)


def _memory_mb() -> float:
    """The most that tensors took on the GPU, or what this process takes now."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e6
    return psutil.Process().memory_info().rss / 1e6


def _clock(seconds: float) -> str:
    """The time that is left, for readers."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit} left"
    return f"{seconds:.0f} s left"


def _board(root: Path, title: str, folder: Path, step: int):
    """TensorBoard's writer for this training, in a folder of its own below `root`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "tensorboard of run.yaml needs TensorBoard, which is not installed; `pip install"
            " 'cdcd[log]'` brings it, or leave the key out."
        ) from None
    name = re.sub(r"\W+", "_", f"{title} {folder.name[:8]}").strip("_")
    return SummaryWriter(str(root / name), purge_step=step + 1)

"""The curves of a training as a table that people, DVC's plots and the report read."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.runtime.files import atomic


def write_history(path: Path, history: list[dict]) -> None:
    """Writes one line a row; the columns are all names that occur, `step` first, empty where a row
    lacks one.
    """
    with atomic(path) as temporary, open(temporary, "w", newline="") as handle:
        writer = csv.DictWriter(handle, _columns(history), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_formatted, history))


class LiveHistory:
    """The rows so far, and the same in a file that grows with them: a killed training leaves its
    curve.
    """

    def __init__(self, path: Path | None, rows: list[dict]):
        """Puts `rows`, those of the checkpoint that is gone on from, in place of what is there."""
        self.path, self.rows = path, list(rows)
        if path is not None:
            write_history(path, self.rows)

    def append(self, row: dict) -> None:
        """Adds a row; the file is rewritten only where it brings a new column."""
        known = _columns(self.rows)
        self.rows.append(row)
        if self.path is None:
            return
        if set(row) <= set(known):
            with open(self.path, "a", newline="") as handle:
                csv.DictWriter(handle, known, lineterminator="\n").writerow(_formatted(row))
        else:
            write_history(self.path, self.rows)


def _columns(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _formatted(row: dict) -> dict[str, str]:
    return {name: f"{value:.6g}" for name, value in row.items()}


class Told(Protocol):
    """What a pass tells, by name."""

    @property
    def means(self) -> dict[str, Tensor]:
        """Averaged over examples and steps."""
        ...

    @property
    def counts(self) -> dict[str, Tensor]:
        """Added up."""
        ...


@dataclass
class Tally:
    """What the steps since the last row amount to, on the device until a row is written.

    `sums` and `times` give means, `latest` stands as it is, `counts` are added up.
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    latest: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)

    def add(self, parts: Sequence["Told"]) -> None:
        """Takes in one step, of which one pass or several equal ones tell."""
        for part in parts:
            for name, value in part.means.items():
                self.sums[name] = self.sums.get(name, 0) + value.detach().double() / len(parts)
                self.times[name] = self.times.get(name, 0) + 1 / len(parts)
            for name, value in part.counts.items():
                self.counts[name] = self.counts.get(name, 0) + value.detach()

    def of_all_processes(self) -> "Tally":
        """The same on the CPU, of all processes together: every one must call it."""
        own = {part: _on(values, "cpu") for part, values in vars(self).items()}
        if not (dist.is_available() and dist.is_initialized()):
            return Tally(**own)
        every: list = [None] * dist.get_world_size()
        dist.all_gather_object(every, own)
        means = {
            part: _added([one[part] for one in every], 1 / len(every)) for part in ("sums", "times")
        }
        told = _added([one["latest"] for one in every])
        heard = _added([dict.fromkeys(one["latest"], 1) for one in every])
        return Tally(
            **means,
            latest={name: value / heard[name] for name, value in told.items()},
            counts=_added([one["counts"] for one in every]),
        )

    def take_up(self, saved: dict, device: torch.device, leads: bool) -> None:
        """Goes on from what `of_all_processes` gave: each process from the same means, and the one
        that leads from the counts.
        """
        self.sums, self.times, self.latest = (
            _on(saved[part], device) for part in ("sums", "times", "latest")
        )
        self.counts = _on(saved["counts"], device) if leads else {}

    def columns(self) -> dict[str, float]:
        """Means, and the latest values as they are."""
        means = {name: float(value) / self.times[name] for name, value in self.sums.items()}
        return means | {name: float(value) for name, value in self.latest.items()}


def _on(values: dict, device: str | torch.device) -> dict:
    return {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in values.items()
    }


def _added(parts: list[dict], weight: float = 1) -> dict:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part[name] * weight for part in parts if name in part) for name in names}

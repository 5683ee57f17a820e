"""Trainings that are not finished, for those who look on: where they are, how far, and the weights
of the last snapshot.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.files import read_json, write_json
from pipeline.runtime.scratch import home

SNAPSHOTS = "snapshots"
KEPT = 3  # snapshots, the newest


@dataclass(frozen=True)
class Unfinished:
    """A training that runs or was interrupted: its scratch folder, and its length in steps."""

    folder: Path
    steps: int

    @property
    def snapshots(self) -> list[Path]:
        """The weights that were written on the way, oldest first."""
        return sorted((self.folder / SNAPSHOTS).glob("*.safetensors"))


def announce(folder: Path, dataset: str, steps: int) -> None:
    """Leaves word of the scratch folder in which this checkout trains a data set's model."""
    write_json(_word(dataset), {"folder": str(folder), "steps": steps})


def unfinished(dataset: str) -> Unfinished | None:
    """The training of a data set that this checkout began last, unless it has finished."""
    if not _word(dataset).exists():
        return None
    word = read_json(_word(dataset))
    found = Unfinished(Path(word["folder"]), word["steps"])
    return found if found.folder.is_dir() else None


def _word(dataset: str) -> Path:
    checkout = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:8]
    return home() / "trainings" / f"{dataset}_{checkout}.json"


def snapshot_file(folder: Path, step: int) -> Path:
    """Where the weights of a step go; the oldest of what is there makes room."""
    (folder / SNAPSHOTS).mkdir(exist_ok=True)
    present = sorted((folder / SNAPSHOTS).glob("*.safetensors"))
    for old in present[: max(0, len(present) - KEPT + 1)]:
        old.unlink()
    return folder / SNAPSHOTS / f"{step:08d}.safetensors"

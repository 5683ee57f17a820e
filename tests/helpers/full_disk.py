"""A stage on a disk that becomes full: run by `unshare` in a mount namespace of its own, where the
data set's folder (or the home of scratch work) is a small file system in memory.

`python -m tests.helpers.full_disk PLACE ROOM STAGE DATASET` in a house mounts PLACE (data or
scratch), leaves ROOM bytes free, runs the stage, and prints what came of it as JSON.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE = 48 * 2**20
OUTPUTS = {
    "download": ("raw",),
    "extract": ("conditions.h5", "extractor"),
    "codec": ("codec",),
    "tokenize": ("tokens.h5",),
    "negatives": ("negatives.h5",),
    "judge": ("judge",),
    "train": ("model",),
    "sample": ("samples",),
}


def run_full(house: Path, place: str, room: int, stage: str, dataset: str) -> dict:
    """What `main` prints."""
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, "-m", "tests.helpers.full_disk", place, str(room), stage, dataset]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", *words],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(root), "CDCD_HOME": str(house / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def can_mount() -> bool:
    """Whether this machine lets a user mount a file system in a namespace."""
    words = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def main(place: str, room: str, stage: str, dataset: str) -> None:
    """Mounts, fills, runs, tells."""
    mounted = Path("data", dataset) if place == "data" else Path("home", "scratch")
    with tempfile.TemporaryDirectory() as kept:
        aside = Path(kept) / "aside"
        if mounted.exists() and place == "data":
            shutil.copytree(mounted, aside)
        mounted.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(mounted)]
        subprocess.run(words, check=True)
        if aside.exists():
            shutil.copytree(aside, mounted, dirs_exist_ok=True)
    before = digests(Path("data", dataset))
    _fill(mounted / "filler", int(room))
    done = subprocess.run(
        [sys.executable, "-m", "stages", stage, dataset],
        capture_output=True,
        text=True,
        check=False,
    )
    after = digests(Path("data", dataset))
    said = done.stderr.strip().splitlines()
    print(
        json.dumps(
            {
                "code": done.returncode,
                "said": said[-1] if said else "",
                "traceback": "Traceback" in done.stderr,
                "changed": [name for name in before if after.get(name) != before[name]],
                "litter": [str(path) for path in mounted.rglob(".*.tmp")],
            }
        )
    )


def _fill(filler: Path, room: int) -> None:
    """A file that leaves so many bytes free."""
    free = os.statvfs(filler.parent)
    with open(filler, "wb") as file:
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))


def digests(folder: Path, pattern: str = "*") -> dict[str, str]:
    """The SHA-256 of every file of a folder whose name fits, by path."""
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob(pattern))
        if file.is_file() and file.name != "filler"
    }


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Every way in which files are written, tried where there is no room for them: `python -m
tests.helpers.full_disk_kinds limit | disk FOLDER` prints what came of each as JSON.

`limit` allows 64 KiB to a file; `disk` mounts a file system in memory (run it by `unshare`).
"""

import http.server
import json
import os
import resource
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pipeline.media.audio import write_wav
from pipeline.media.video import mux_sound, write_video
from pipeline.metrics.results import ClipResult, Evaluation, Result, write_evaluation
from pipeline.reporting.audio import write_m4a
from pipeline.reporting.style import figure
from pipeline.runtime.arrays import array_on_disk
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import is_full, write_json
from pipeline.runtime.shards import shards
from pipeline.storage.archive import unpack
from pipeline.storage.download import fetch
from pipeline.storage.manifest import Clip, write_manifest
from pipeline.storage.store import write_store
from pipeline.storage.tensors import write_tensors
from pipeline.training.checkpoint import Checkpoint, Checkpoints
from pipeline.training.history import LiveHistory, write_history

ROOM = 2**16
NOISE = np.random.default_rng(0)


def _frames() -> list[np.ndarray]:
    return list(NOISE.integers(0, 255, (12, 256, 256, 3), np.uint8))


def _store(path: Path) -> None:
    with write_store(path, "tokens", ["a"], {}) as store:
        store.field("tokens", (200_000,), "float32")
        store.write("tokens", 0, NOISE.normal(size=200_000))


def _growing_history(path: Path) -> None:
    history = LiveHistory(path, [])
    for step in range(300):
        history.append({"step": step} | {f"loss{number}": 1 / 3 for number in range(100)})


def _archive(path: Path) -> None:
    unpack(path.with_name("source.zip"), path.with_name("unpacked"), 10**8)


def _download(path: Path) -> None:
    port = int(path.with_name("port").read_text())
    fetch((f"http://127.0.0.1:{port}/big",), path, "By hand: bring it.")


def _results(path: Path) -> None:
    line = Result("model", "f1", "5hz", 50.0, 1.0, 40.0, 60.0, 9, 5, 2)
    clip = ClipResult("clip", "model", "f1", "5hz", 50.0)
    write_evaluation(Evaluation([line] * 10, [clip] * 5000, {}), path)


def _figure(path: Path) -> None:
    with figure(path, 8, 8, colours=None) as canvas:
        canvas.add_subplot().imshow(NOISE.integers(0, 255, (900, 900, 3), np.uint8))


WRITERS: dict[str, Callable[[Path], object]] = {
    "json": lambda path: write_json(path, {"a": list(range(30_000))}),
    "history.csv": lambda path: write_history(path, [{"step": n} for n in range(30_000)]),
    "growing history.csv": _growing_history,
    "manifest.csv": lambda path: write_manifest(
        path, [Clip(f"clip{n}", f"{n}.mp4", "train") for n in range(5000)]
    ),
    "evaluation": _results,
    "safetensors": lambda path: write_tensors(path, {"w": torch.ones(100_000)}, {}),
    "checkpoint": lambda path: Checkpoints(path.parent).save(
        Checkpoint({"w": torch.ones(100_000)}, {"step": 2})
    ),
    "HDF5": _store,
    "shard.npz": lambda path: list(
        shards(path.parent, [0], lambda: lambda _: {"x": np.ones(100_000)}, "making")
    ),
    "array on disk": lambda path: array_on_disk(path, (100_000,), np.float32),
    "wav": lambda path: write_wav(path, NOISE.normal(size=100_000), 22050),
    "m4a": lambda path: write_m4a(path, NOISE.normal(size=900_000) / 4, 22050),
    "mp4": lambda path: write_video(path, _frames(), 12.0),
    "mp4 under new sound": lambda path: mux_sound(
        path.with_name("source.mp4"), path, np.zeros(22050, np.float32), 22050
    ),
    "figure": _figure,
    "archive": _archive,
    "download": _download,
}


def main(mode: str, folder: Path) -> None:
    """Prepares what is read, takes the room away, writes."""
    folder.mkdir(exist_ok=True)
    if mode == "disk":
        words = ["mount", "-t", "tmpfs", "-o", "size=4194304", "none", str(folder)]
        subprocess.run(words, check=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Big)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in WRITERS:
        place = folder / name.replace(" ", "_")
        place.mkdir()
        (place / "target").write_bytes(b"earlier")
        if name == "checkpoint":
            Checkpoints(place).save(Checkpoint({"w": torch.ones(3)}, {"step": 1}))
        if name == "mp4 under new sound":
            write_video(place / "source.mp4", _frames(), 12.0)
        if name == "archive":
            with zipfile.ZipFile(place / "source.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("inside", bytes(3 * 10**6))
        (place / "port").write_text(str(server.server_port))
    before = _listing(folder)
    if mode == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    else:
        with open(folder / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                filler.truncate(filler.tell() // 4096 * 4096 - ROOM)
    told = {name: _try(name, write, folder, before) for name, write in WRITERS.items()}
    print(json.dumps(told), flush=True)
    os._exit(0)  # HDF5 crashes at exit where a file of its own may not grow


def _try(name: str, write: Callable, folder: Path, before: dict[str, bytes]) -> str:
    place = folder / name.replace(" ", "_")
    try:
        write(place / "target")
        return "it was written"
    except UserError as error:
        sentence = str(error)
    except Exception as error:
        if not is_full(error):
            return f"{type(error).__name__}: {error}"
        sentence = "No space left on the disk"  # what `stages` says of it
    after = _listing(place)
    if name == "growing history.csv":
        after.pop(str(place / "target"))
    parts = [path for path in after if path.endswith(".part")]  # what a download goes on from
    lost = [path for path in after if before.get(path) != after[path] and path not in parts]
    return f"{sentence} Changed: {lost}" if lost else sentence


def _listing(folder: Path) -> dict[str, bytes]:
    return {
        str(file): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix != ".lock"
    }


class _Big(http.server.BaseHTTPRequestHandler):
    """A megabyte for whoever asks."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(10**6))
        self.end_headers()
        self.wfile.write(bytes(10**6))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

"""What the work over files costs as a data set grows: `python -m benchmarks.scale`.

Synthetic rows (256 tokens of 1,024 codes, 1,000 classes) go through the code that stages call:
codes into shards and a store, negatives, training batches, the search for copies, features for FID.
Each measurement has a process of its own; time is that of the processor, because the machine may be
shared, and memory is the height of what the process holds itself, beyond its start and the list of
its rows, mapped files aside.
"""

import argparse
import gc
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from pipeline.metrics.copying import FieldRows, nearest_training_item
from pipeline.metrics.fid import Reference
from pipeline.negatives import Negatives
from pipeline.runtime.progress import in_batches
from pipeline.runtime.seeds import numpy_generator
from pipeline.runtime.shards import shards
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import Store, write_store
from pipeline.training.ahead import read_ahead
from pipeline.training.batches import TrainingBatches
from stages.negatives import write_orders, write_partners
from stages.tokenize import write_tokens

LENGTH, CODES, CLASSES, SAMPLES, FEATURES = 256, 1024, 1000, 256, 2048
NEGATIVES = Negatives(intra="sequence", chunks=16, n_intra=10, n_inter=10)
BATCH, STEPS, STEP_SECONDS = 32, 100, 0.05  # of training; a step of the network takes so long
MOST_FEATURES = 10**4  # rows; sums of 2,048 x 2,048 in float64 take as long for each


def main() -> None:
    """Measures every stage at every size and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=None, help="where the stores are made")
    chosen = parser.parse_args()
    print("| rows | stage | processor s | µs a row | peak MB | MB on disk | files |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for rows in chosen.rows:
        with TemporaryDirectory(dir=chosen.folder) as folder:
            for name, stage in STAGES.items():
                if stage is not distances or rows <= MOST_FEATURES:
                    print(_line(rows, name, _apart(stage, Path(folder), rows)), flush=True)


def _line(rows: int, name: str, found: dict) -> str:
    cells = [f"{rows:,}", name, f"{found['seconds']:.2f}", f"{1e6 * found['seconds'] / rows:.1f}"]
    cells += [f"{found['memory'] / 1e6:.0f}"]
    cells += [f"{found.get('bytes', 0) / 1e6:.1f}", str(found.get("files", ""))]
    return "| " + " | ".join(cells) + " |" + found.get("remark", "")


def _apart(stage: Callable, folder: Path, rows: int) -> dict:
    """What a stage measures in a fresh process."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_run, args=(theirs, stage, folder, rows))
    process.start()
    found = ours.recv()
    process.join()
    return found


def _run(pipe, stage: Callable, folder: Path, rows: int) -> None:
    torch.set_num_threads(1)
    pipe.send(stage(folder, rows))


class Measured:
    """Processor seconds and the height of memory over a block."""

    def __enter__(self) -> "Measured":
        gc.collect()
        self._before = self.most = _held()
        self._stop, self._watch = threading.Event(), threading.Thread(target=self._look)
        self._watch.start()
        self._start = time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.process_time() - self._start
        self._stop.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            self.most = max(self.most, _held())

    def found(self, **more: object) -> dict:
        """The measurements."""
        return {"seconds": self.seconds, "memory": self.most - self._before, **more}


def _held() -> int:
    """Bytes of memory that are this process's own: no file stands behind them."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split("RssAnon:")[1].split()[0])


def manifest_of(rows: int) -> Manifest:
    """So many training pictures of a thousand classes."""
    clips = (
        Clip(f"n{row % CLASSES:08d}/{row:08d}", f"{row:08d}.jpg", "train", label=f"{row % CLASSES}")
        for row in range(rows)
    )
    return Manifest(tuple(clips), Path())


def encoder() -> Callable:
    """Work that gives every row tokens."""

    def encode(rows: list[int]) -> dict:
        rng = numpy_generator(0, "tokens", rows[0])
        return {"tokens": rng.integers(0, CODES, (len(rows), LENGTH)).astype(np.uint16)}

    return encode


def tokens(folder: Path, rows: int) -> dict:
    """Shards of codes, and the store made of them."""
    ids = manifest_of(rows).ids
    (folder / "shards").mkdir()
    work = in_batches(list(range(rows)), 32)
    with Measured() as taken, write_store(folder / "tokens.h5", "tokens", ids, {}) as store:
        write_tokens(store, shards(folder / "shards", work, encoder, "tokens"))
    files = len(list((folder / "shards").iterdir()))
    return taken.found(files=files, bytes=(folder / "tokens.h5").stat().st_size)


def negatives(folder: Path, rows: int) -> dict:
    """Partners and orders of every row."""
    manifest, store = manifest_of(rows), Store(folder / "tokens.h5", "tokens")
    path, everyone = folder / "negatives.h5", list(range(rows))
    store.rows_of([])
    about = NEGATIVES.model_dump()
    with Measured() as taken, write_store(path, "negatives", store.ids, about) as out:
        write_partners(out, NEGATIVES, manifest, everyone, store)
        write_orders(out, NEGATIVES, store.ids)
    return taken.found(bytes=path.stat().st_size)


def reads(folder: Path, rows: int) -> dict:
    """Training batches with all negatives; per step, not per row."""
    with write_store(
        folder / "c.h5", "conditions", manifest_of(rows).ids, {"inputs": ["label"]}
    ) as c:
        c.field("label", (), "int64")
        c.write("label", slice(None), np.arange(rows) % CLASSES)
    stores = [Store(folder / f"{name}.h5", kind) for name, kind in _READ]
    batches = TrainingBatches(*stores, stores[0].ids, ("intra", "inter"), BATCH, 0)
    batches.at(0)
    with Measured() as taken:
        for step in range(STEPS):
            batches.at(step)
    start, waited = time.perf_counter(), 0.0
    for _ in read_ahead(batches.at, range(STEPS // 2), 0):
        waited += time.perf_counter() - start
        time.sleep(STEP_SECONDS)
        start = time.perf_counter()
    milliseconds = 1e3 * taken.seconds / STEPS
    share = waited / (STEPS // 2 * STEP_SECONDS + waited)
    return taken.found(remark=f" {milliseconds:.2f} ms a batch of {BATCH}, waits {share:.1%}")


def copies(folder: Path, rows: int) -> dict:
    """The nearest training row of some samples."""
    store = Store(folder / "tokens.h5", "tokens")
    samples = np.random.default_rng(1).integers(0, CODES, (SAMPLES, LENGTH)).astype(np.uint16)
    nearest_training_item(samples[:1], samples[:1])
    training = FieldRows(store["tokens"], np.arange(rows))
    with Measured() as taken:
        nearest_training_item(samples, training)
    return taken.found(remark=f" {1e9 * taken.seconds / rows / SAMPLES:.0f} ns a pair")


def distances(folder: Path, rows: int) -> dict:
    """Features of pictures into the mean and covariance of a reference."""
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(64, FEATURES, generator=generator)
    Reference([one[:, :4]]).distance(one[:, :4])
    with Measured() as taken:
        Reference(one + number for number in range(rows // 64))
    return taken.found()


_READ = (("tokens", "tokens"), ("c", "conditions"), ("negatives", "negatives"))
STAGES = {
    "tokens": tokens,
    "negatives": negatives,
    "training reads": reads,
    f"copies of {SAMPLES} samples": copies,
    f"FID, {FEATURES} features": distances,
}

if __name__ == "__main__":
    main()

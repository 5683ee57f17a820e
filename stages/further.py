"""Part of the stage `sample`: samples for the captions of a picture after its first."""

from functools import partial
from pathlib import Path

import numpy as np

from pipeline.model.network import Network
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.pieces import Work
from pipeline.runtime.progress import in_batches
from pipeline.runtime.run import run_settings
from pipeline.runtime.shards import shards
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.manifest import Manifest
from pipeline.storage.store import Store, write_store
from stages.config import AnyDataset
from stages.drawing import fitting_model, tokens_for
from stages.paths import FURTHER_FILE, Paths


def sample_further(
    network: Network,
    conditions: Store,
    rows: list[int],
    manifest: Manifest,
    settings: AnyDataset,
    paths: Paths,
    folder: Path,
) -> None:
    """Samples for the captions of test pictures after the first, which samples.h5 does not have:
    one row ID#NUMBER a caption.
    """
    if "captions" not in conditions:
        raise UserError("sample.captions is all, but these conditions are no captions; set first.")
    pictures = [manifest.clips[row].id for row in rows]
    places = conditions.rows_of(pictures)
    pairs = [
        (int(place), number, f"{name}#{number}")
        for name, place, count in zip(pictures, places, conditions["captions"][places])
        for number in range(1, count)
    ]
    config = settings.sample
    work = [
        [(seed, position) for position in batch]
        for seed in range(len(config.seeds))
        for batch in in_batches(list(range(len(pairs))), run_settings().sample_batch)
    ]
    names = [name for _, _, name in pairs]
    home = folder / "further"
    home.mkdir(exist_ok=True)
    with write_store(paths.samples / FURTHER_FILE, "samples", names, network.provenance) as store:
        store.field("tokens", (len(config.seeds), network.length), "uint16")
        make = partial(further_drawer, settings, paths, pairs)
        drawn = shards(home, work, make, f"{paths.dataset}: further captions")
        for batch, shard in zip(work, drawn):
            (seed, first), (_, last) = batch[0], batch[-1]
            store.write("tokens", (slice(first, last + 1), seed), shard["tokens"])


def further_drawer(settings: AnyDataset, paths: Paths, pairs: list[tuple[int, int, str]]) -> Work:
    """What draws the samples of (seed, position) under the captions `pairs` (row, number, name),
    opened in the process that does it.
    """
    choose_products()
    conditions = Store(paths.conditions, "conditions")
    network, config = fitting_model(settings, paths, conditions), settings.sample

    def generate(batch: list[tuple[int, int]]) -> dict:
        rows, numbers, names = zip(*(pairs[position] for _, position in batch))
        inputs = condition_inputs(conditions, np.array(rows), caption=np.array(numbers))
        marks = [(config.seeds[seed], "tokens", name) for (seed, _), name in zip(batch, names)]
        return {"tokens": tokens_for(network, inputs, config, marks)}

    return generate

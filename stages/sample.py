"""Stage `sample`: what the model makes of conditions it never saw. It reads conditions and model;
content it cannot get.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.model.network import Network
from pipeline.negatives import inter_rows
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.runtime.pieces import Work
from pipeline.runtime.progress import in_batches
from pipeline.runtime.run import run_settings
from pipeline.runtime.scratch import fingerprint, scratch
from pipeline.runtime.shards import shards
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.manifest import Manifest
from pipeline.storage.store import Store, write_store
from stages.config import AnyDataset, DatasetArgument, Sample, read_dataset
from stages.content import open_codec
from stages.drawing import fitting_model, tokens_for
from stages.further import sample_further
from stages.ladder import sample_ladder
from stages.media import write_media
from stages.paths import MODEL_FILE, Paths, code


def sample(dataset: DatasetArgument) -> None:
    """Draw samples for the conditions of the test split, and of silent clips, from the full mask.

    In: data/DATASET/conditions.h5, model and codec, and of raw the manifest and the frames of the
    videos to write. The true content is no input: tokens.h5 is never opened here. Out:
    data/DATASET/samples with samples.h5 (`tokens` for each seed; `shuffled`: the same under another
    clip's condition), ladder.h5 (a few, at the guidance weights of `sample.ladder`) and media to
    hear or see.

    Example: cdcd sample toy_dance
    """
    choose_products()
    settings, paths = read_dataset(dataset), Paths(dataset)
    manifest, conditions = (
        paths.manifest(settings.media_root),
        Store(paths.conditions, "conditions"),
    )
    network = fitting_model(settings, paths, conditions)
    config, rows = settings.sample, rows_to_sample(manifest, conditions, settings.sample.limit)
    provenance = {
        **network.provenance,
        "model": sha256_file(paths.model / MODEL_FILE),
        **config.model_dump(exclude=_unsaid(config)),
    }
    ids = [manifest.clips[row].id for row in rows]
    sources = code("diffusion", "model", "runtime")
    mark = fingerprint("sample", provenance, conditions.digest, ids, *sources)
    with scratch(mark) as folder:
        sample_rows(network, conditions, rows, manifest, settings, paths, provenance, folder)
        if config.captions == "all":
            sample_further(network, conditions, rows, manifest, settings, paths, folder)
        if config.ladder:
            clips = [manifest.clips[row] for row in rows]
            sample_ladder(network, conditions, clips, config, paths)
        count = write_media(settings, paths, manifest, open_codec(settings, paths))
    print(
        f"{dataset}: {len(rows)} conditions x {len(config.seeds)} seeds; {count} to hear or see in"
        f" {paths.samples}."
    )


def _unsaid(config: Sample) -> set[str]:
    """The keys that samples.h5 does not note: what it does not rest on, and what stands as it did
    before there was a key.
    """
    before = {"captions": "first", "controls": True, "without": None}
    return {"ladder", *(name for name, value in before.items() if getattr(config, name) == value)}


def sample_rows(
    network: Network,
    conditions: Store,
    rows: list[int],
    manifest: Manifest,
    settings: AnyDataset,
    paths: Paths,
    provenance: dict,
    folder: Path,
) -> None:
    """Writes samples.h5: for each row and seed the tokens under its own condition, and with
    `sample.controls` under that of its partner (`shuffled`).
    """
    config = settings.sample
    ids, partners = [manifest.clips[row].id for row in rows], []
    conditioned_on = {"tokens": ids}
    if config.controls:
        partners = shuffled_partners(manifest, conditions, rows, config.seeds[0])
        conditioned_on["shuffled"] = [manifest.clips[row].id for row in partners]
    work = [
        [(kind, seed, position) for position in batch]
        for kind in conditioned_on
        for seed in range(len(config.seeds))
        for batch in in_batches(list(range(len(rows))), run_settings().sample_batch)
    ]
    make = partial(drawer, settings, paths, conditioned_on)
    with write_store(paths.samples / "samples.h5", "samples", ids, provenance) as store:
        for kind in conditioned_on:
            store.field(kind, (len(config.seeds), network.length), "uint16")
        if partners:
            store.field("shuffled_from", (), "int32")
            store.write("shuffled_from", slice(None), np.array(partners))
        drawn = shards(folder, work, make, f"{paths.dataset}: sampling")
        for batch, shard in zip(work, drawn):
            (kind, seed, first), (_, _, last) = batch[0], batch[-1]
            store.write(kind, (slice(first, last + 1), seed), shard["tokens"])


def drawer(settings: AnyDataset, paths: Paths, conditioned_on: dict[str, list[str]]) -> Work:
    """What draws the samples of (kind, seed, position) under the conditions of the ids that each
    kind names, opened in the process that does it.
    """
    choose_products()
    conditions = Store(paths.conditions, "conditions")
    network, config = fitting_model(settings, paths, conditions), settings.sample

    def generate(batch: list[tuple[str, int, int]]) -> dict:
        numbers = conditions.rows_of([conditioned_on[kind][at] for kind, _, at in batch])
        marks = [
            (config.seeds[seed], kind, conditioned_on["tokens"][at]) for kind, seed, at in batch
        ]
        inputs = condition_inputs(conditions, numbers)
        given = {name: value for name, value in inputs.items() if name != config.without}
        return {"tokens": tokens_for(network, given, config, marks)}

    return generate


def rows_to_sample(manifest: Manifest, conditions: Store, limit: int | None) -> list[int]:
    """The manifest rows to sample for: test and infer rows that have conditions, at most `limit` of
    them, evenly spread.
    """
    known = set(conditions.ids)
    rows = [row for row in manifest.of("test", "infer") if manifest.clips[row].id in known]
    if not rows:
        raise UserError(
            "No clip of the splits test and infer has conditions, so there is nothing to sample"
            " for."
        )
    if limit is None or limit >= len(rows):
        return rows
    return [rows[round(place)] for place in np.linspace(0, len(rows) - 1, limit)]


def shuffled_partners(
    manifest: Manifest, conditions: Store, rows: list[int], seed: int
) -> list[int]:
    """For each row another one, of another genre (song, class, image), whose condition the shuffled
    control uses.

    Where all are of one class but have captions, another picture's caption will do.
    """
    known, clips = set(conditions.ids), list(manifest.clips)
    others = [row for row in manifest.of("val", "test", "infer") if clips[row].id in known]
    if len({clips[row].label for row in others}) == 1 and all(
        clips[row].caption_file for row in others
    ):
        clips = [replace(clip, label=None) for clip in clips]
    partners = dict(zip(others, inter_rows(clips, others, 1, seed)[:, 0]))
    return [int(partners[row]) for row in rows]

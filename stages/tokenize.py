"""Stage `tokenize`: every clip or picture as codes."""

import time
from collections.abc import Iterable
from functools import partial

import numpy as np

from pipeline.codecs.vqgan import VQGAN
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.runtime.pieces import Work
from pipeline.runtime.progress import in_batches
from pipeline.runtime.run import run_settings
from pipeline.runtime.scratch import fingerprint, scratch
from pipeline.runtime.shards import shards
from pipeline.storage.store import StoreWriter, write_store
from stages.config import AnyDataset, DatasetArgument, read_dataset
from stages.content import open_codec, open_content
from stages.paths import CODEC_FILE, Paths, code


def tokenize(dataset: DatasetArgument) -> None:
    """Encode every clip or picture with the codec.

    In: data/DATASET/raw and codec. Out: data/DATASET/tokens.h5, one row of codes for each manifest
    row that has content (rows of split `infer`, such as silent videos, have none), and the
    codewords that the codes stand for.

    Example: cdcd tokenize toy_dance
    """
    settings, paths = read_dataset(dataset), Paths(dataset)
    manifest = paths.manifest(settings.media_root)
    rows = manifest.of("train", "val", "test")
    provenance, codewords = facts(settings, paths)
    started, batches = time.perf_counter(), in_batches(rows, run_settings().tokenize_batch)
    mark = fingerprint("tokens", settings.codec, provenance, paths.raw, *code("codecs"))
    with scratch(mark) as folder:
        title = f"{dataset}: tokenising"
        made = partial(shards, folder, batches, partial(encoder, settings, paths), title, True)
        aside = {
            batch[place]
            for batch, part in zip(batches, made())
            for place in part.get("set_aside", ())
        }
        if len(aside) == len(rows):
            raise UserError(f"{dataset}: every file kills whatever process decodes it.")
        ids = [manifest.clips[row].id for row in rows if row not in aside]
        if aside:
            provenance["set_aside"] = sorted(manifest.clips[row].id for row in aside)
        with write_store(paths.tokens, "tokens", ids, provenance) as store:
            store.table("codewords", codewords)
            length = write_tokens(store, made())
    seconds = time.perf_counter() - started
    print(f"{dataset}: {len(ids)} rows of {length} codes; {len(ids) / seconds:.1f} a second.")
    for name in provenance.get("set_aside", [])[:10]:
        print(f"{dataset}: {name} kills whatever process decodes it; it has no tokens.")


def facts(settings: AnyDataset, paths: Paths) -> tuple[dict, np.ndarray]:
    """What the store says of the codec, and the codewords that the codes stand for."""
    codec = open_codec(settings, paths)
    provenance = {"codec": sha256_file(paths.codec / CODEC_FILE), "n_codes": codec.n_codes}
    if not isinstance(codec, VQGAN):
        provenance |= {"sample_rate": codec.sample_rate, "hop": codec.hop}
    return provenance, codec.codewords.float().cpu().numpy()


def encoder(settings: AnyDataset, paths: Paths) -> Work:
    """What turns manifest rows into codes, opened in the process that does it."""
    codec = open_codec(settings, paths)
    content = open_content(settings, paths.manifest(settings.media_root))
    return lambda rows: {"tokens": codec.encode(content.read(rows).to(device())).cpu().numpy()}


def write_tokens(store: StoreWriter, parts: Iterable[dict[str, np.ndarray]]) -> int:
    """Writes the codes of all batches one after another; returns how many a row has."""
    first, length = 0, 0
    for part in parts:
        tokens = part.get("tokens", np.empty(0))
        if first == 0 and len(tokens):
            length = tokens.shape[1]
            store.field("tokens", tokens.shape[1:], "uint16")
        if len(tokens):
            store.write("tokens", slice(first, first + len(tokens)), tokens)
        first += len(tokens)
    return length

"""Stage `negatives`: for each training row, what the contrastive loss pushes away."""

from functools import partial

import numpy as np
import torch

from pipeline.negatives import (
    Negatives,
    check_chunks,
    derangements,
    inter_rows,
    reorder_picture,
    reorder_sequence,
)
from pipeline.runtime.device import device
from pipeline.runtime.files import sha256_file
from pipeline.runtime.pieces import Work
from pipeline.runtime.progress import in_batches
from pipeline.runtime.run import run_settings
from pipeline.runtime.scratch import fingerprint, scratch
from pipeline.runtime.seeds import numpy_generator
from pipeline.runtime.shards import shards
from pipeline.storage.manifest import Manifest
from pipeline.storage.store import Store, StoreWriter, write_store
from stages.config import AnyDataset, DanceToMusic, DatasetArgument, read_dataset
from stages.content import open_codec, open_content
from stages.grid import token_grid
from stages.paths import CODEC_FILE, Paths, code

_ORDERS = 10_000  # rows whose orders are written at once


def negatives(dataset: DatasetArgument) -> None:
    """Make intra and inter negatives of every training row.

    In: data/DATASET/raw, codec and tokens.h5. Out: data/DATASET/negatives.h5 with `intra` (codes of
    the same waveform or picture with its chunks out of order, or only the orders, as
    `negatives.intra` says) and `inter` (row numbers in tokens.h5: another genre, song, class
    or picture).

    Example: cdcd negatives toy_dance
    """
    settings, paths = read_dataset(dataset), Paths(dataset)
    manifest, tokens, config = (
        paths.manifest(settings.media_root),
        Store(paths.tokens, "tokens"),
        settings.negatives,
    )
    tokens.expect(codec=sha256_file(paths.codec / CODEC_FILE))
    known = set(tokens.ids)
    rows = [row for row in manifest.of("train") if manifest.clips[row].id in known]
    ids = [manifest.clips[row].id for row in rows]
    of_codes = config.n_intra > 0 and config.intra in ("tokens", "sequence")
    provenance = {**tokens.provenance, **config.model_dump()}
    if of_codes:
        grid = token_grid(settings, tokens["tokens"].shape[1])
        provenance["grid"] = list(grid)
        check_chunks(config, grid)
    with write_store(paths.negatives, "negatives", ids, provenance) as store:
        if config.n_inter:
            write_partners(store, config, manifest, rows, tokens)
        if of_codes:
            write_orders(store, config, ids)
        elif config.n_intra:
            write_reordered(store, settings, paths, rows, tokens)


def orders_of(config: Negatives, name: str) -> np.ndarray:
    """[n_intra, chunks]: the orders in which the chunks of an item are laid out."""
    generator = numpy_generator(config.seed, "intra", name)
    return derangements(generator, config.n_intra, config.chunks)


def write_orders(store: StoreWriter, config: Negatives, ids: list[str]) -> None:
    """Writes `intra`: the orders alone, in which the reader lays out the codes."""
    store.field("intra", (config.n_intra, config.chunks), "uint16")
    for first in range(0, len(ids), _ORDERS):
        orders = [orders_of(config, name) for name in ids[first : first + _ORDERS]]
        store.write("intra", slice(first, first + len(orders)), np.stack(orders))


def write_partners(
    store: StoreWriter, config: Negatives, manifest: Manifest, rows: list[int], tokens: Store
) -> None:
    """Writes `inter`: for each training row others' row numbers in tokens.h5."""
    inter = inter_rows(list(manifest.clips), rows, config.n_inter, config.seed)
    row_in_tokens = np.full(len(manifest.clips), -1, np.int32)
    row_in_tokens[rows] = tokens.rows_of([manifest.clips[row].id for row in rows])
    store.field("inter", (config.n_inter,), "int32")
    store.write("inter", slice(None), row_in_tokens[inter])


def write_reordered(
    store: StoreWriter, settings: AnyDataset, paths: Paths, rows: list[int], tokens: Store
) -> None:
    """Writes `intra`: the codes of each row's waveform or picture with its chunks out of order."""
    config = settings.negatives
    store.field("intra", (config.n_intra, *tokens["tokens"].shape[1:]), "uint16")
    batches = in_batches(rows, max(1, run_settings().tokenize_batch // config.n_intra))
    mark = fingerprint(
        "intra", config, settings.codec, tokens.provenance, paths.raw, *code("codecs")
    )
    with scratch(mark) as folder:
        make = partial(reorderer, settings, paths)
        first = 0
        for part in shards(folder, batches, make, f"{paths.dataset}: intra negatives"):
            store.write("intra", slice(first, first + len(part["intra"])), part["intra"])
            first += len(part["intra"])


def reorderer(settings: AnyDataset, paths: Paths) -> Work:
    """What turns manifest rows into the codes of their re-ordered signals, opened in the process
    that does it.
    """
    manifest, config = paths.manifest(settings.media_root), settings.negatives
    codec, content = open_codec(settings, paths), open_content(settings, manifest)
    reorder = reorder_sequence if isinstance(settings, DanceToMusic) else reorder_picture

    def encode(batch: list[int]) -> dict:
        orders = [orders_of(config, manifest.clips[row].id) for row in batch]
        moved = [
            reorder(signal, torch.from_numpy(order))
            for signal, order in zip(content.read(batch), orders)
        ]
        codes = codec.encode(torch.cat(moved).to(device())).cpu()
        return {"intra": codes.unflatten(0, (len(batch), config.n_intra)).numpy()}

    return encode

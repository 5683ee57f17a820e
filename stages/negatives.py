"""Stage `negatives`: for each training row, what the contrastive loss pushes away."""

import numpy as np
import torch

from pipeline.negatives import (
    check_chunks,
    derangements,
    inter_rows,
    reorder_picture,
    reorder_sequence,
)
from pipeline.runtime.device import device
from pipeline.runtime.files import sha256_file
from pipeline.runtime.progress import in_batches
from pipeline.runtime.run import run_settings
from pipeline.runtime.scratch import fingerprint, scratch, shards
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Manifest
from pipeline.storage.store import Store, StoreWriter, write_store
from stages.config import AnyDataset, DanceToMusic, DatasetArgument, read_dataset
from stages.content import open_codec, open_content
from stages.grid import token_grid
from stages.paths import CODEC_FILE, Paths, code


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
    rows = manifest.of("train")
    ids = [manifest.clips[row].id for row in rows]
    inter = inter_rows(list(manifest.clips), rows, config.n_inter, config.seed)
    row_in_tokens = {row: number for row, number in zip(rows, tokens.rows_of(ids))}
    orders = [
        derangements(numpy_generator(config.seed, "intra", name), config.n_intra, config.chunks)
        for name in ids
    ]
    of_codes = config.intra in ("tokens", "sequence")
    provenance = {**tokens.provenance, **config.model_dump()}
    if of_codes:
        grid = token_grid(settings, tokens["tokens"].shape[1])
        provenance["grid"] = list(grid)
        check_chunks(config, grid)
    with write_store(paths.negatives, "negatives", ids, provenance) as store:
        if config.n_inter:
            store.field("inter", (config.n_inter,), "int32")
            store.write(
                "inter", slice(None), np.vectorize(row_in_tokens.get, otypes=[np.int32])(inter)
            )
        if config.n_intra and of_codes:
            store.field("intra", (config.n_intra, config.chunks), "uint16")
            store.write("intra", slice(None), np.stack(orders))
        elif config.n_intra:
            write_reordered(store, settings, paths, manifest, rows, orders)


def write_reordered(
    store: StoreWriter,
    settings: AnyDataset,
    paths: Paths,
    manifest: Manifest,
    rows: list[int],
    orders: list[np.ndarray],
) -> None:
    """Writes `intra`: the codes of each row's waveform or picture with its chunks in the `orders`
    [n, chunks] of that row.
    """
    config, tokens = settings.negatives, Store(paths.tokens, "tokens")
    codec, content = open_codec(settings, paths), open_content(settings, manifest)
    reorder = reorder_sequence if isinstance(settings, DanceToMusic) else reorder_picture

    def encode(batch: list[int]) -> dict:
        signals = content.read([rows[position] for position in batch])
        moved = [
            reorder(signal, torch.from_numpy(orders[position]))
            for signal, position in zip(signals, batch)
        ]
        codes = codec.encode(torch.cat(moved).to(device())).cpu()
        return {"intra": codes.unflatten(0, (len(batch), config.n_intra)).numpy()}

    store.field("intra", (config.n_intra, *tokens["tokens"].shape[1:]), "uint16")
    batches = in_batches(
        list(range(len(rows))), max(1, run_settings().tokenize_batch // config.n_intra)
    )
    mark = fingerprint(
        "intra", config, settings.codec, tokens.provenance, paths.raw, *code("codecs")
    )
    with scratch(mark) as folder:
        made = shards(folder, batches, encode, f"{paths.dataset}: intra negatives")
        for batch, shard in zip(batches, made):
            store.write("intra", slice(batch[0], batch[-1] + 1), shard["intra"])

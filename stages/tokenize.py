"""Stage `tokenize`: every clip or picture as codes."""

import time

from pipeline.codecs.vqgan import VQGAN
from pipeline.runtime.device import device
from pipeline.runtime.files import sha256_file
from pipeline.runtime.progress import in_batches
from pipeline.runtime.run import run_settings
from pipeline.runtime.scratch import fingerprint, scratch, shards
from pipeline.storage.store import write_store
from stages.config import DatasetArgument, read_dataset
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
    codec, content = open_codec(settings, paths), open_content(settings, manifest)
    rows = manifest.of("train", "val", "test")
    provenance = {"codec": sha256_file(paths.codec / CODEC_FILE), "n_codes": codec.n_codes}
    if not isinstance(codec, VQGAN):
        provenance |= {"sample_rate": codec.sample_rate, "hop": codec.hop}
    started, batches = time.perf_counter(), in_batches(rows, run_settings().tokenize_batch)
    ids = [manifest.clips[row].id for row in rows]
    with (
        scratch(
            fingerprint("tokens", settings.codec, provenance, paths.raw, *code("codecs"))
        ) as folder,
        write_store(paths.tokens, "tokens", ids, provenance) as store,
    ):

        def encode(batch: list[int]) -> dict:
            return {"tokens": codec.encode(content.read(batch).to(device())).cpu().numpy()}

        store.table("codewords", codec.codewords.float().cpu().numpy())
        first, length = 0, 0
        for shard in shards(folder, batches, encode, f"{dataset}: tokenising"):
            tokens = shard["tokens"]
            if first == 0:
                length = tokens.shape[1]
                store.field("tokens", tokens.shape[1:], "uint16")
            store.write("tokens", slice(first, first + len(tokens)), tokens)
            first += len(tokens)
    seconds = time.perf_counter() - started
    print(f"{dataset}: {len(rows)} rows of {length} codes; {len(rows) / seconds:.1f} a second.")

"""Stage `judge`: the networks and embeddings that judge samples, apart from any model of them."""

import numpy as np
import torch

from pipeline.metrics.genre import build_gallery
from pipeline.metrics.judges import build_judge
from pipeline.runtime.device import device
from pipeline.runtime.progress import in_batches
from pipeline.runtime.scratch import fingerprint, scratch
from pipeline.storage.manifest import Manifest
from pipeline.storage.store import Store
from stages.config import DanceToMusic, DatasetArgument, read_dataset
from stages.content import Codec, open_codec
from stages.paths import Paths, code

DECODE_BATCH = 16


def judge(dataset: DatasetArgument) -> None:
    """Make the judge of a data set: it does not depend on `contrast`, and sees no sample.

    In: data/DATASET/raw; for dances also codec and tokens.h5. Out: data/DATASET/judge: for dances
    the embeddings of the training music after the codec (a gallery for genre retrieval), for
    pictures a classifier or an image-text matcher trained on real pictures, or the published
    networks that `judge` names; with their own held-out accuracy.

    Example: cdcd judge digits
    """
    settings, paths = read_dataset(dataset), Paths(dataset)
    manifest = paths.manifest(settings.media_root)
    if not isinstance(settings, DanceToMusic):
        mark = fingerprint("judge", settings.judge, paths.raw, *code("metrics", "training"))
        with scratch(mark) as folder:
            facts = build_judge(settings.judge, manifest, paths.raw, paths.judge, folder)
        for split, found in facts.get("held_out", {}).items():
            print(
                f"{dataset}: the judge on real pictures of {split}:",
                ", ".join(f"{key} {found[key]:.4g}" for key in found),
            )
        return
    accuracy, n_held_out = _build_gallery(settings, paths, manifest)
    if accuracy is not None:
        print(
            f"{dataset}: the judge finds the genre of {accuracy:.1f} % of {n_held_out}"
            " held-out clips."
        )


def _build_gallery(
    settings: DanceToMusic, paths: Paths, manifest: Manifest
) -> tuple[float | None, int]:
    """The gallery's own accuracy in percent (None: no genres), and on how many held-out clips;
    writes the gallery to `paths.judge`.
    """
    tokens, codec = Store(paths.tokens, "tokens"), open_codec(settings, paths)
    known = set(tokens.ids)
    heard = {
        split: [row for row in manifest.of(split) if manifest.clips[row].id in known]
        for split in ("train", "val")
    }

    def reconstructions(rows: list[int]):
        for batch in in_batches(rows, DECODE_BATCH):
            codes = tokens["tokens"][tokens.rows_of([manifest.clips[row].id for row in batch])]
            yield from decode(codec, codes)

    genres = {
        split: [manifest.clips[row].genre or "" for row in rows] for split, rows in heard.items()
    }
    accuracy = build_gallery(
        paths.judge,
        settings.judge,
        reconstructions(heard["train"]),
        genres["train"],
        reconstructions(heard["val"]),
        genres["val"],
        codec.sample_rate,
    )
    return accuracy, len(heard["val"])


def decode(codec: Codec, codes: np.ndarray) -> np.ndarray:
    """Waveforms [B, T] of codes [B, L]."""
    with torch.inference_mode():
        return (
            codec.decode(torch.from_numpy(codes.astype(np.int64)).to(device()))
            .float()
            .cpu()
            .numpy()
        )

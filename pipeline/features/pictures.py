"""The conditions of pictures as numbers in conditions.h5: captions as CLIP's tokens or features,
classes as numbers.
"""

from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from pipeline.datasets.captions import captions_of
from pipeline.features.text import CONTEXT, END, ClipText, tokenise
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.runtime.params import Section, Width
from pipeline.runtime.pieces import Work
from pipeline.runtime.progress import in_batches
from pipeline.runtime.run import run_settings
from pipeline.runtime.shards import shards
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import write_store
from pipeline.storage.weights import weights_file

STORED_FEATURES = 2**30  # bytes of CLIP's features that are stored; COCO's would be 68 GB


class ExtractCaptions(Section):
    """Captions as `bpe` tokens (for a text encoder learned with the model) or as frozen `clip`
    features.

    `weights`: CLIP's ViT-B/32 file for `clip` (null for `bpe`). `per_picture`: at most so many
    captions of a picture are kept.
    """

    text: Literal["bpe", "clip"]
    weights: str | None = None
    per_picture: Width


class ExtractLabels(Section):
    """Class numbers: the training classes in alphabetical order."""

    order: Literal["alphabetical"] = "alphabetical"


def extract_captions(
    config: ExtractCaptions, manifest: Manifest, raw: Path, path: Path, scratch: Path
) -> dict:
    """Writes `text` [n, C, 77] tokens and `captions` [n], how many of the C are real; returns the
    store's provenance.

    For `clip`, `clip_text` [n, C, 77, 512] float16 as well, unless that were more than
    STORED_FEATURES bytes: then whoever needs features has CLIP's tower at hand (`clip_features`),
    and `clip_size` says what to expect. `scratch` keeps what is done when killed. Raises UserError
    when CLIP's weights are asked for and absent.
    """
    weights, size = None, None
    if config.text == "clip":
        if config.weights is None:
            raise UserError(
                "extract.text is clip, but extract.weights is null; fetch them with `cdcd weights"
                " get clip`."
            )
        weights = weights_file(config.weights)
        size = (CONTEXT, ClipText.load(weights).width)
    work = in_batches(list(manifest.clips), run_settings().extract_batch)
    read = partial(_tokens_of, raw, config.per_picture)
    seen = _Seen()
    for batch, part in zip(work, shards(scratch, work, read, "captions")):
        seen.add([clip.split for clip in batch], part)
    shape = (len(manifest.clips), max(seen.counts), *(size or ()))
    stored = size is not None and 2 * int(np.prod(shape)) <= STORED_FEATURES
    provenance = {
        "task": "caption",
        "inputs": ["clip_text" if size else "text"],
        "extractor": "clip ViT-B/32" if size else "clip bpe",
        "weights": sha256_file(weights) if weights else None,
        "captions_cut": seen.n_cut,
        "longest_caption": seen.longest,
        "vocabulary": sorted(seen.vocabulary),
    }
    if size and not stored:
        provenance["clip_size"] = list(size)
    texts, features = shards(scratch, work, read, "writing"), repeat({})
    if stored and weights is not None:
        own = scratch / "features"
        own.mkdir(exist_ok=True)
        tower = partial(_features_of, weights, raw, config.per_picture)
        features = shards(own, work, tower, "features of captions")
    with write_store(path, "conditions", manifest.ids, provenance) as store:
        store.field("captions", (), "int32")
        store.field("text", (shape[1], CONTEXT), "int32")
        if stored:
            store.field("clip_text", shape[1:], "float16")
        first = 0
        for text, feature in zip(texts, features):
            rows = slice(first, first + len(text["counts"]))
            store.write("captions", rows, text["counts"])
            store.write("text", rows, _padded(text["text"], text["counts"], shape[1]))
            if stored:
                values = _padded(feature["clip_text"], text["counts"], shape[1])
                store.write("clip_text", rows, values)
            first = rows.stop
    return provenance


class _Seen:
    """What is to be said of all captions."""

    def __init__(self):
        self.counts, self.n_cut, self.longest = [], 0, 0
        self.vocabulary: set[int] = set()

    def add(self, splits: list[str], part: dict[str, np.ndarray]) -> None:
        self.counts += part["counts"].tolist()
        self.n_cut += int(part["n_cut"])
        self.longest = max(self.longest, int((part["text"] == END).argmax(1).max()) + 1)
        training = np.repeat([split == "train" for split in splits], part["counts"])
        self.vocabulary |= set(np.unique(part["text"][training]).tolist()) - {0}


def _tokens_of(raw: Path, per_picture: int) -> Work:
    """What turns clips into the tokens of their captions."""

    def read(clips: list[Clip]) -> dict:
        captions = [captions_of(clip, raw)[:per_picture] for clip in clips]
        found = tokenise([caption for several in captions for caption in several])
        counts = np.array([len(several) for several in captions], np.int32)
        text = found.tokens.numpy().astype(np.int32)
        return {"counts": counts, "text": text, "n_cut": np.array(found.n_cut)}

    return read


def _features_of(weights: Path, raw: Path, per_picture: int) -> Work:
    """What turns clips into CLIP's features of their captions."""
    tower, read = ClipText.load(weights).to(device()), _tokens_of(raw, per_picture)

    def features(clips: list[Clip]) -> dict:
        tokens = torch.from_numpy(read(clips)["text"]).long().to(device())
        return {"clip_text": tower.features(tokens).half().cpu().numpy()}

    return features


def _padded(values: np.ndarray, counts: np.ndarray, most: int) -> np.ndarray:
    """[b, most, ...]: the values of all captions, picture by picture, with zeros behind."""
    padded = np.zeros((len(counts), most, *values.shape[1:]), values.dtype)
    padded[np.arange(most) < counts[:, None]] = values
    return padded


def extract_labels(config: ExtractLabels, manifest: Manifest, path: Path) -> dict:
    """Writes `label` [n], the number of each picture's class; returns the provenance, which names
    the classes in order.
    """
    if missing := next((clip.id for clip in manifest.clips if not clip.label), None):
        raise UserError(f"{missing} has no label in the manifest, but the class is the condition.")
    labels = [clip.label or "" for clip in manifest.clips]
    classes = sorted({labels[row] for row in manifest.of("train")})
    numbers = {label: number for number, label in enumerate(classes)}
    if stray := next((clip for clip in manifest.clips if clip.label not in numbers), None):
        raise UserError(
            f"{stray.id} is of class {stray.label!r}, of which the training split has no picture."
        )
    provenance = {"task": "class", "inputs": ["label"], "extractor": "labels", "classes": classes}
    with write_store(path, "conditions", manifest.ids, provenance) as store:
        store.field("label", (), "int64")
        store.write("label", slice(None), np.array([numbers[label] for label in labels]))
    return provenance

"""The conditions of pictures as numbers in conditions.h5: captions as CLIP's tokens or features,
classes as numbers.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.datasets.captions import captions_of
from pipeline.features.text import END, ClipText, tokenise
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.runtime.params import Section, Width
from pipeline.runtime.progress import progress
from pipeline.storage.manifest import Manifest
from pipeline.storage.store import write_store
from pipeline.storage.weights import weights_file


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


def extract_captions(config: ExtractCaptions, manifest: Manifest, raw: Path, path: Path) -> dict:
    """Writes `text` [n, C, 77] tokens (and `clip_text` [n, C, 77, 512] float16) and `captions` [n],
    how many of the C are real.

    Returns the store's provenance. Raises UserError when CLIP's weights are asked for and absent.
    """
    captions = [captions_of(clip, raw)[: config.per_picture] for clip in manifest.clips]
    most = max(map(len, captions))
    tower, weights = None, None
    if config.text == "clip":
        if config.weights is None:
            raise UserError(
                "extract.text is clip, but extract.weights is null; fetch them with `cdcd weights"
                " get clip`."
            )
        weights = weights_file(config.weights)
        tower = ClipText.load(weights).to(device())
    texts = tokenise([caption for several in captions for caption in several])
    in_training = np.repeat(
        [clip.split == "train" for clip in manifest.clips], [len(several) for several in captions]
    )
    provenance = {
        "task": "caption",
        "inputs": ["clip_text" if tower else "text"],
        "extractor": "clip ViT-B/32" if tower else "clip bpe",
        "weights": sha256_file(weights) if weights else None,
        "captions_cut": texts.n_cut,
        "longest_caption": int((texts.tokens == END).int().argmax(1).max()) + 1,
        "vocabulary": sorted(set(texts.tokens[in_training].unique().tolist()) - {0}),
    }
    with write_store(path, "conditions", manifest.ids, provenance) as store:
        store.field("captions", (), "int32")
        store.field("text", (most, 77), "int32")
        if tower:
            store.field("clip_text", (most, 77, tower.width), "float16")
        first = 0
        for row, several in enumerate(progress(captions, "captions")):
            tokens = texts.tokens[first : first + len(several)]
            first += len(several)
            padding = [(0, most - len(several)), (0, 0)]
            store.write("captions", row, np.array(len(several)))
            store.write("text", row, np.pad(tokens.numpy(), padding))
            if tower:
                store.write(
                    "clip_text",
                    row,
                    np.pad(tower.features(tokens.to(device())).cpu().numpy(), [*padding, (0, 0)]),
                )
    return provenance


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

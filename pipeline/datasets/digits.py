"""`digits`: the 1797 scans of handwritten digits that ship with scikit-learn, as class-conditional
pictures.

The scans are 8x8 with 17 grey levels. They are enlarged to 16x16: a codec that halves the sides
then has an 8x8 grid of 64 tokens to model, and nothing larger would add detail, only work.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from pipeline.runtime.params import Section, Seed
from pipeline.runtime.progress import progress
from pipeline.storage.manifest import Clip, write_manifest


class Digits(Section):
    """The size of the pictures and of the held-out splits, drawn by class from a seed."""

    image_size: int = Field(strict=True, ge=8, le=256, multiple_of=8)
    val: int = Field(strict=True, ge=10, le=800)
    test: int = Field(strict=True, ge=10, le=800)
    seed: Seed


def check(config: Digits) -> list[str]:
    """What is missing before `prepare` can run: nothing, scikit-learn brings the scans."""
    return []


def prepare(config: Digits, raw: Path) -> list[tuple[str, str]]:
    """The files left out (none); writes the scans as grey PNG files, white ink on black, and the
    manifest into `raw`.
    """
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    splits = _splits(np.asarray(labels), config)
    (raw / "images").mkdir(parents=True, exist_ok=True)
    clips = []
    for number, (scan, label) in enumerate(
        progress(list(zip(scans, labels, strict=True)), "writing digits")
    ):
        name = f"digit_{number:04d}"
        picture = Image.fromarray(np.round(scan.reshape(8, 8) * 255 / 16).astype(np.uint8))
        picture = picture.resize((config.image_size, config.image_size), Image.Resampling.BICUBIC)
        picture.save(raw / "images" / f"{name}.png")
        clips.append(Clip(name, f"images/{name}.png", splits[number], label=str(label)))
    write_manifest(raw / "manifest.csv", clips)
    return []


def _splits(labels: np.ndarray, config: Digits) -> np.ndarray:
    """The split of each scan, every digit in its share in each."""
    from sklearn.model_selection import train_test_split

    splits = np.full(len(labels), "train", dtype=object)
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=config.test, stratify=labels, random_state=config.seed
    )
    _, val = train_test_split(
        rest, test_size=config.val, stratify=labels[rest], random_state=config.seed
    )
    splits[test], splits[val] = "test", "val"
    return splits

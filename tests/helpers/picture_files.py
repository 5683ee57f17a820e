"""What the tests of picture sets share."""

from collections import Counter

import numpy as np
from PIL import Image

from pipeline.storage.manifest import read_manifest


def splits_of(raw):
    return Counter(clip.split for clip in read_manifest(raw / "manifest.csv").clips)


def write_picture(path, seed=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, "JPEG")

"""A batch of pictures is decoded by threads, and is what one thread would read."""

import threading

import numpy as np
import pytest
from PIL import Image

from pipeline.media import content
from pipeline.media.content import Images
from pipeline.media.image import centre_crop, load_rgb, training_crop
from pipeline.storage.manifest import Clip, Manifest


@pytest.fixture
def images(tmp_path):
    rng, clips = np.random.default_rng(0), []
    for number in range(4):
        pixels = rng.integers(0, 255, (30 + number, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        clips.append(Clip(str(number), f"{number}.png", "train"))
    return Images(Manifest(tuple(clips), tmp_path), 16)


@pytest.mark.parametrize("seed", [None, 3])
def test_pictures_are_read_side_by_side_in_order(images, monkeypatch, seed):
    rows, both = [2, 0, 3, 1], threading.Barrier(2, timeout=20)
    draws = [None if seed is None else np.random.default_rng(seed) for _ in range(2)]

    def crop(picture):
        return centre_crop(picture, 16) if seed is None else training_crop(picture, 16, draws[0])

    one_by_one = [crop(load_rgb(images.manifest.root / f"{row}.png")) for row in rows]

    def together(path):
        both.wait()  # breaks unless two are at it at once
        return load_rgb(path)

    monkeypatch.setattr("pipeline.runtime.progress.cpu_count", lambda: 2)
    monkeypatch.setattr(content, "load_rgb", together)
    found = images.read(rows, draws[1]).permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_allclose(found, np.stack(one_by_one), atol=1e-3)

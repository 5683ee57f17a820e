"""Every kind of image file becomes upright RGB; the crops follow reference 11.6."""

import numpy as np
import pytest
from PIL import Image

from pipeline.media.image import centre_crop, load_rgb, training_crop
from pipeline.runtime.errors import UserError

RAMP = np.arange(256, dtype=np.uint8)[None].repeat(40, 0)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "P", "LA", "RGBA", "1", "I;16"])
def test_modes_become_rgb(tmp_path, mode):
    ramp = Image.fromarray(RAMP.astype(np.uint16) * 257 if mode == "I;16" else RAMP)
    image = ramp if mode == "I;16" else ramp.convert("RGB").convert(mode)
    suffix = "tif" if mode in ("CMYK", "I;16") else "png"
    image.save(tmp_path / f"a.{suffix}")
    got = load_rgb(tmp_path / f"a.{suffix}")
    assert got.shape == (40, 256, 3)
    assert got.dtype == np.uint8
    assert got[:, 230:].mean() > got[:, :26].mean() + 150
    if mode in ("L", "I;16", "RGB", "LA"):
        np.testing.assert_array_equal(got[..., 1], RAMP)


def test_transparency_lies_over_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    got = load_rgb(tmp_path / "a.png")
    assert (got[:2] == 0).all()
    assert (got[2:] == 255).all()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation(tmp_path, orientation):
    image = Image.fromarray(RAMP).convert("RGB")
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    expected = np.rot90(np.asarray(image), upright)
    assert np.abs(load_rgb(tmp_path / "a.jpg").astype(int) - expected).max() < 12


def test_broken_files_are_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        tmp_path / "whole.jpg"
    )
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "page.png").write_text("<html>")
    for name in ("half.jpg", "page.png", "absent.jpg"):
        with pytest.raises(UserError, match=name):
            load_rgb(tmp_path / name)


@pytest.mark.parametrize("shape", [(40, 256), (256, 40), (33, 33), (16, 20)])
def test_crops_have_their_size_and_place(shape):
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)[None]
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    crop = centre_crop(image, 32)
    assert crop.shape == (32, 32, 3)
    assert crop.mean((0, 1))[:2] == pytest.approx([127.5, 127.5], abs=8)
    crops = [training_crop(image, 32, np.random.default_rng(seed)) for seed in range(20)]
    assert {crop.shape for crop in crops} == {(32, 32, 3)}
    np.testing.assert_array_equal(crops[3], training_crop(image, 32, np.random.default_rng(3)))
    middles = np.array([crop.mean((0, 1))[0 if width > height else 1] for crop in crops]) / 255
    if max(shape) > 2 * min(shape):
        slack = 1 - min(shape) / max(shape)
        assert middles.min() > 0.5 - slack / 8 - 0.05
        assert middles.max() < 0.5 + slack / 8 + 0.05
        assert np.ptp(middles) > slack / 16

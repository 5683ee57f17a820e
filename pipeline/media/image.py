"""Pictures: any image file as RGB, and the crops that the original training and evaluation use."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.runtime.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_ENLARGED = 288 / 256  # the largest size from which a training crop is taken, relative to the crop


def load_rgb(path: Path) -> np.ndarray:
    """The picture as RGB [H, W, 3] uint8: turned as its EXIF tag says, transparency laid over
    white, 16 bits cut to 8.

    Greyscale, palette and CMYK files are converted. Raises UserError when the file is missing,
    truncated or no image.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I") or image.mode == "F":
                return _sixteen_bits(np.asarray(image))
            if image.has_transparency_data:
                over_white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(over_white, image.convert("RGBA"))
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        raise UserError(
            f"{path} cannot be read as an image ({error}); fetch it again or remove it."
        ) from None


def _sixteen_bits(values: np.ndarray) -> np.ndarray:
    """Grey values above 8 bits as RGB uint8; 65,535 (or the maximum, where that is larger) becomes
    white.
    """
    grey = values.astype(np.float64) / max(257.0, values.max() / 255)
    return np.repeat(grey.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The central square [size, size, 3] of the image [H, W, 3] uint8 whose short side was scaled
    to `size` (evaluation).
    """
    height, width = image.shape[:2]
    scale = size / min(height, width)
    scaled = _resize(image, max(size, round(height * scale)), max(size, round(width * scale)))
    return _window(scaled, size, (scaled.shape[0] - size) // 2, (scaled.shape[1] - size) // 2)


def training_crop(image: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """A random square [size, size, 3] of the image [H, W, 3] uint8, not flipped (reference 11.6).

    The square of the short side at 3/8 to 5/8 of the slack, scaled to between `size` and 9/8 `size`
    (no more than the short side unless that is below `size`), then a random window.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (
        round(generator.uniform(3 / 8, 5 / 8) * (length - side)) for length in (height, width)
    )
    largest = max(size, min(side, round(size * _ENLARGED)))
    scaled_side = int(generator.integers(size, largest + 1))
    scaled = _resize(_window(image, side, top, left), scaled_side, scaled_side)
    return _window(scaled, size, *generator.integers(0, scaled_side - size + 1, size=2))


def _window(image: np.ndarray, side: int, top: int, left: int) -> np.ndarray:
    return image[top : top + side, left : left + side]


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))

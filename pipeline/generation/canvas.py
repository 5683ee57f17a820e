"""A picture on the grid of tokens: which tokens a rectangle touches, and room around it."""

from math import ceil, floor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.media.image import centre_crop
from pipeline.runtime.errors import UserError

Rectangle = tuple[float, float, float, float]  # left, top, width, height
Margins = tuple[int, int, int, int]  # left, top, right, bottom


def on_canvas(image: np.ndarray, size: int, margins: Margins | None = None) -> Tensor:
    """The square middle of an image [H, W, 3] uint8 as [1, 3, size, size] in [0, 1]; with `margins`
    it is shrunk to what they leave, and its border's pixels are repeated around it.
    """
    picture = centre_crop(image, size)
    if margins is not None:
        left, top, right, bottom = _checked(margins, size)
        inner = (size - left - right, size - top - bottom)
        picture = np.asarray(Image.fromarray(picture).resize(inner, Image.Resampling.BICUBIC))
        picture = np.pad(picture, ((top, bottom), (left, right), (0, 0)), mode="edge")
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def _checked(margins: Margins, size: int) -> Margins:
    """The margins; raises UserError where one is negative, they leave less than a quarter of a
    side, or the picture would change its shape.
    """
    left, top, right, bottom = margins
    wide, high = left + right, top + bottom
    if min(margins) < 0 or wide != high or not 0 < wide <= 0.75 * size:
        raise UserError(
            f"The margins {left},{top},{right},{bottom} (left, top, right, bottom) do not fit: left"
            " and right together are as many pixels as top and bottom together, and at most"
            f" {0.75 * size:g} of the {size} that the result has."
        )
    return margins


def inner_tokens(margins: Margins, side: int, factor: int) -> np.ndarray:
    """Which of side x side tokens [L], each `factor` pixels wide, lie wholly inside the margins."""
    left, top, right, bottom = margins
    columns = _covered(left, side * factor - right, side, factor)
    rows = _covered(top, side * factor - bottom, side, factor)
    return (rows[:, None] & columns[None, :]).ravel()


def _covered(start: int, end: int, side: int, factor: int) -> np.ndarray:
    begins = np.arange(side) * factor
    return (begins >= start) & (begins + factor <= end)


def touched_tokens(rectangle: Rectangle, image: np.ndarray, side: int) -> np.ndarray:
    """Which of side x side tokens [L] over the square middle of an image [H, W, 3] the rectangle
    touches, given in the image's pixels; raises UserError for one that does not lie in the image,
    or lies beside that middle.
    """
    height, width = image.shape[:2]
    left, top, wide, high = rectangle
    if min(left, top) < 0 or min(wide, high) <= 0 or left + wide > width or top + high > height:
        raise UserError(
            f"The rectangle {left:g},{top:g},{wide:g},{high:g} (left, top, width, height) does not"
            f" lie in the picture, which is {width} x {height} pixels."
        )
    square = min(height, width)
    columns = _touched(left - (width - square) / 2, wide, square, side)
    rows = _touched(top - (height - square) / 2, high, square, side)
    touched = (rows[:, None] & columns[None, :]).ravel()
    if not touched.any():
        raise UserError(
            f"The rectangle {left:g},{top:g},{wide:g},{high:g} lies beside the picture's square"
            " middle, which is all that the model sees."
        )
    return touched


def _touched(start: float, length: float, square: int, side: int) -> np.ndarray:
    """Which of `side` tokens along a square's side the stretch touches."""
    first, last = floor(start * side / square), ceil((start + length) * side / square)
    return (np.arange(side) >= first) & (np.arange(side) < last)

"""The world of `toy_shapes`: two coloured shapes on a plain ground, how they are drawn, and how
they are told in words.

Kept small on purpose: three shapes, five colours, two sizes and four relations are enough for
correspondence to be learned in minutes, and to be read off a picture exactly
(`pipeline.metrics.shapes`).
"""

import re
from dataclasses import dataclass

import numpy as np

from pipeline.runtime.errors import UserError

SHAPES = ("circle", "square", "triangle")
COLOURS = {
    "red": (220, 50, 50),
    "green": (40, 180, 70),
    "blue": (50, 90, 230),
    "yellow": (230, 205, 40),
    "purple": (170, 60, 210),
}
SIZES = {
    "small": 1 / 8,
    "large": 3 / 16,
}  # half the height, as a share of the picture: 8 and 12 of 32 pixels
GROUND = (236, 236, 236)
SUPERSAMPLING = 4


@dataclass(frozen=True)
class Thing:
    """A coloured shape: "large red circle"."""

    size: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Two things: `first` is left of `second` (axis "x"), or above it (axis "y")."""

    first: Thing
    second: Thing
    axis: str

    @property
    def kind(self) -> tuple[str, str, str, str, str]:
        """The combination of attributes and relation, sizes aside: what the test split holds
        out.
        """
        return (
            self.first.colour,
            self.first.shape,
            self.axis,
            self.second.colour,
            self.second.shape,
        )


_TEMPLATES = {
    "x": (
        "a {first} to the left of a {second}",
        "a {first} on the left and a {second} on the right",
        "on the left a {first}, on the right a {second}",
        "a {second} to the right of a {first}",
    ),
    "y": (
        "a {first} above a {second}",
        "a {first} at the top and a {second} at the bottom",
        "at the top a {first}, at the bottom a {second}",
        "a {second} below a {first}",
    ),
}
_THING = re.compile(rf"({'|'.join(SIZES)}) ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})")
_FIRST_TOLD_FIRST = {
    "left": ("x", True),
    "right": ("x", False),
    "above": ("y", True),
    "below": ("y", False),
}
_FIRST_TOLD_FIRST |= {"top": ("y", True), "bottom": ("y", False)}
_PLACE = re.compile(rf"\b({'|'.join(_FIRST_TOLD_FIRST)})\b")


def captions(scene: Scene) -> list[str]:
    """The sentences that say the scene; three in four tell it from left to right or from top to
    bottom.
    """
    return [text.format(first=scene.first, second=scene.second) for text in _TEMPLATES[scene.axis]]


def parse(caption: str) -> Scene:
    """The scene a sentence of `captions` tells; raises UserError when it does not name two things
    and their relation.
    """
    things = [Thing(*match) for match in _THING.findall(caption.lower())]
    place = _PLACE.search(caption.lower())
    if len(things) != 2 or not place:
        raise UserError(
            f"The caption {caption!r} does not name two shapes of toy_shapes and how they stand to"
            " each other."
        )
    axis, first_told_first = _FIRST_TOLD_FIRST[place.group(1)]
    first, second = things if first_told_first else things[::-1]
    return Scene(first, second, axis)


def coverage(
    shape: str, height: int, width: int, box: tuple[float, float, float, float]
) -> np.ndarray:
    """The share [height, width] of each pixel that a shape filling `box` (top, left, bottom, right;
    pixels) covers.
    """
    top, left, bottom, right = box
    steps = np.arange(0.5 / SUPERSAMPLING, 1, 1 / SUPERSAMPLING)
    y = (np.arange(height)[:, None] + steps).reshape(-1, 1)
    x = (np.arange(width)[:, None] + steps).reshape(1, -1)
    v = (2 * y - top - bottom) / (bottom - top)  # -1 at the top of the box, 1 at its bottom
    u = (2 * x - left - right) / (right - left)
    inside = {
        "circle": u**2 + v**2 <= 1,
        "square": (np.abs(u) <= 1) & (np.abs(v) <= 1),
        "triangle": (np.abs(v) <= 1) & (np.abs(u) <= (v + 1) / 2),
    }[shape]
    return inside.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING).mean((1, 3))


def draw(scene: Scene, image_size: int, generator: np.random.Generator) -> np.ndarray:
    """The scene as uint8 [image_size, image_size, 3], each thing moved across the axis by
    `generator`.

    Moves are eighths of the side: finer ones would be new patches to a codec, and larger ones would
    blur "left" and "above".
    """
    picture = np.broadcast_to(np.array(GROUND, dtype=float), (image_size, image_size, 3))
    for thing, middle in ((scene.first, 0.25), (scene.second, 0.75)):
        across = 0.5 + generator.integers(-1, 2) / 8
        x, y = (middle, across) if scene.axis == "x" else (across, middle)
        x, y, radius = (value * image_size for value in (x, y, SIZES[thing.size]))
        share = coverage(
            thing.shape, image_size, image_size, (y - radius, x - radius, y + radius, x + radius)
        )[..., None]
        picture = picture * (1 - share) + share * np.array(COLOURS[thing.colour])
    return np.round(picture).astype(np.uint8)

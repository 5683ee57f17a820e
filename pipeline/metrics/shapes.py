"""Exact correspondence for `toy_shapes`, read off a picture by its colours, connected components
and outlines.

No network is involved: the figures cannot be gamed by what a judge happened to learn, and anyone
can check them by eye.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from torch import Tensor

from pipeline.datasets.scenes import COLOURS, SHAPES, SIZES, Scene, Thing, coverage, parse

MIN_AREA = 1 / 85  # of the picture: 12 of 32 x 32 pixels; smaller specks are left to the eye
MIN_OVERLAP = (
    0.6  # intersection over union with the nearest ideal outline; a blob below it is no shape
)


@dataclass(frozen=True)
class Found:
    """A thing seen in a picture, and its centre of mass (y, x) in pixels; shape "none" for an
    unclear outline.
    """

    thing: Thing
    middle: tuple[float, float]


@dataclass(frozen=True)
class ShapeScores:
    """What each picture [n] shows of its caption, 0 to 1.

    `attributes`: the share of the described things (size, colour and shape together) that are
    there. `relation`: things of the described colours and shapes stand as described. `all_correct`:
    both, and there is nothing besides.
    """

    attributes: np.ndarray
    relation: np.ndarray
    all_correct: np.ndarray


def score_shapes(images: Tensor, captions: list[str]) -> ShapeScores:
    """How far pictures [n, 3, H, W] in [0, 1] show what their captions say."""
    pictures = images.detach().cpu().permute(0, 2, 3, 1).double().numpy()
    scores = [
        _score(find_things(picture), parse(caption))
        for picture, caption in zip(pictures, captions, strict=True)
    ]
    return ShapeScores(*np.array(scores, dtype=float).reshape(-1, 3).T)


def find_things(picture: np.ndarray) -> list[Found]:
    """The things in one picture [H, W, 3] in [0, 1], from the top left."""
    from scipy import ndimage

    palette = np.array(list(COLOURS.values())) / 255
    hues = palette - palette.mean(1, keepdims=True)
    strength = np.linalg.norm(hues, axis=1)
    tint = picture - picture.mean(
        2, keepdims=True
    )  # the grey ground, and its share of an edge pixel, drop out
    along = tint @ (hues / strength[:, None]).T
    nearest = along.argmax(2)
    share = np.take_along_axis(along / strength, nearest[..., None], 2)[..., 0].clip(0, 1)
    found = []
    for number, colour in enumerate(COLOURS):
        of_colour = share * (nearest == number)
        labelled: Any = ndimage.label(of_colour > 0.5, structure=np.ones((3, 3)))
        regions, count = labelled
        for region in range(1, count + 1):
            inside = regions == region
            if inside.sum() >= MIN_AREA * inside.size:
                fringe = ndimage.binary_dilation(inside, iterations=2)
                found.append(_describe(of_colour * fringe, colour))
    return sorted(found, key=lambda item: item.middle)


def _describe(share: np.ndarray, colour: str) -> Found:
    """The thing whose ideal drawing, laid on the region's centre of mass, overlaps the region
    best.
    """
    from scipy import ndimage

    height, width = share.shape
    centre: Any = ndimage.center_of_mass(share)
    y, x = (value + 0.5 for value in centre)
    overlaps = {}
    for shape, size in product(SHAPES, SIZES):
        radius = SIZES[size] * height
        middle = y - radius / 3 if shape == "triangle" else y
        ideal = coverage(
            shape, height, width, (middle - radius, x - radius, middle + radius, x + radius)
        )
        overlaps[size, shape] = np.minimum(share, ideal).sum() / np.maximum(share, ideal).sum()
    size, shape = max(overlaps, key=lambda pair: overlaps[pair])
    return Found(
        Thing(size, colour, shape if overlaps[size, shape] >= MIN_OVERLAP else "none"), (y, x)
    )


def _score(found: list[Found], scene: Scene) -> tuple[float, float, float]:
    things = [item.thing for item in found]
    wanted = [scene.first, scene.second]
    attributes = sum(thing in things for thing in wanted) / 2
    first, second = (
        [
            item.middle
            for item in found
            if (item.thing.colour, item.thing.shape) == (thing.colour, thing.shape)
        ]
        for thing in wanted
    )
    relation = any(_stands(a, b, scene.axis) for a in first for b in second)
    return attributes, float(relation), float(attributes == 1 and relation and len(found) == 2)


def _stands(first: tuple[float, float], second: tuple[float, float], axis: str) -> bool:
    """Whether `first` is left of (above) `second`, more clearly than it is above or below (left or
    right of) it.
    """
    down, right = second[0] - first[0], second[1] - first[1]
    return right > abs(down) if axis == "x" else down > abs(right)

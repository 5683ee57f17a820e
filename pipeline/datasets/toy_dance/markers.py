"""The seventeen coloured dots on the toy dancer's joints, and how to read them back from the pixels
of a decoded video.

The colours are evenly spaced along the most saturated hues, and everything else in the pictures is
nearly grey. Compression, 4:2:0 sampling and soft rims make a marker's colour paler or darker but
hardly turn its hue: so a pixel's hue alone says whose it is.
"""

from functools import cache

import cv2
import numpy as np

from pipeline.runtime.errors import UserError

COLOURS = np.array(
    [
        (255, 0, 0),
        (0, 255, 108),
        (221, 0, 255),
        (156, 255, 0),
        (0, 34, 255),  # nose, eyes, ears
        # shoulders, elbows, wrists
        (255, 91, 0),
        (0, 255, 208),
        (255, 0, 198),
        (74, 255, 0),
        (53, 0, 255),
        (255, 183, 0),
        # hips, knees, ankles
        (0, 211, 255),
        (255, 0, 100),
        (0, 255, 10),
        (139, 0, 255),
        (239, 255, 0),
        (0, 119, 255),
    ],
    np.uint8,
)
"""RGB of the markers in COCO order; neighbours on the body are far apart in hue."""

LEAST_CHROMA = 48
MOST_TURNED = np.radians(9)
LEAST_PIXELS = 6
REACH = 3.5  # pixels
LEAST_CLOSE = 0.5  # of a marker's pixels lie within REACH of their middle
_BITS = 6  # per colour channel in the lookup table


def read_markers(frames: np.ndarray) -> np.ndarray:
    """Joints [T, 17, 3] (x and y in pixels, confidence 0 or 1) of the toy's dancer in `frames` [T,
    H, W, 3] uint8 RGB.

    A marker that is hidden, or too small to trust, has x = y = confidence = 0. The centre of the
    first pixel is (0, 0). Raises UserError for pictures without markers: there the vivid pixels lie
    all over (a few per cent of them close to their colour's middle, with markers nine in ten).
    """
    n_frames, height, width, _ = frames.shape
    drop = 8 - _BITS
    code = (frames >> drop).astype(np.int32) @ np.array([1 << 2 * _BITS, 1 << _BITS, 1], np.int32)
    label = _lookup()[code]
    frame, y, x = np.nonzero(label)
    group = frame * 17 + label[frame, y, x] - 1
    points = np.stack([x, y], axis=1).astype(np.float64)

    middle = np.stack(
        [_group_median(points[:, axis], group, n_frames * 17) for axis in (0, 1)], axis=1
    )
    near = np.abs(points - middle[group]).max(axis=1) <= REACH
    count = np.bincount(group[near], minlength=n_frames * 17)
    total = np.stack(
        [np.bincount(group[near], points[near, axis], minlength=n_frames * 17) for axis in (0, 1)],
        axis=1,
    )
    found = count >= LEAST_PIXELS
    if found.any() and near.mean() < LEAST_CLOSE:
        raise UserError(
            "there are no markers in these pictures; only clips of toy_dance have them, so choose"
            " another pose source."
        )
    joints = np.zeros((n_frames * 17, 3))
    joints[found, :2] = total[found] / count[found, None]
    joints[:, 2] = found
    return joints.reshape(n_frames, 17, 3).astype(np.float32)


def _group_median(values: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Median of `values` in each group, 0 for empty groups."""
    order = np.lexsort((values, group))
    count = np.bincount(group, minlength=n_groups)
    start = np.cumsum(count) - count
    middle = np.zeros(n_groups)
    middle[count > 0] = values[order[(start + count // 2)[count > 0]]]
    return middle


@cache
def _lookup() -> np.ndarray:
    """For every coarse RGB colour the number of its marker, 1..17, or 0 where it is too grey or its
    hue is nobody's.
    """
    levels = (np.arange(1 << _BITS) * 255 / ((1 << _BITS) - 1)).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    colour, marker = _chroma(grid), _chroma(COLOURS)
    turned = np.abs(np.angle(colour[:, None] / marker))
    clear = (np.abs(colour) >= LEAST_CHROMA) & (turned.min(axis=1) <= MOST_TURNED)
    return np.where(clear, 1 + turned.argmin(axis=1), 0).astype(np.uint8)


def _chroma(rgb: np.ndarray) -> np.ndarray:
    """Cb + i Cr of RGB colours [n, 3]: grey is 0, the angle is the hue."""
    _, cr, cb = cv2.cvtColor(rgb[None], cv2.COLOR_RGB2YCrCb)[0].T.astype(np.float64) - 128
    return cb + 1j * cr

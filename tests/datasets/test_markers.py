"""Markers are read only where there are some: vivid colours elsewhere are told as none."""

import cv2
import numpy as np
import pytest

from pipeline.datasets.toy_dance import read_markers
from pipeline.runtime.errors import UserError


def test_a_colourful_clip_without_markers_is_told():
    rng = np.random.default_rng(0)
    picture = cv2.resize(
        rng.integers(0, 256, (6, 8, 3), np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC
    )
    with pytest.raises(UserError, match="no markers in these pictures"):
        read_markers(np.stack([picture] * 4))


def test_a_grey_clip_simply_shows_nobody():
    assert read_markers(np.full((4, 96, 96, 3), 90, np.uint8))[..., 2].sum() == 0

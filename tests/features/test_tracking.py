"""Joints that are exact become joints as a reader reports them: from the seed and the clip's name,
as often and as long at any frame rate.
"""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.features.extract import ExtractDance
from pipeline.features.pose import GUESSED, Pose
from pipeline.features.tracking import READERS, Tracking, misread
from pipeline.runtime.seeds import numpy_generator

TORSO = 0.25


def body(n_frames: int) -> np.ndarray:
    """A dancer [T, 17, 3] who stands still, arms and legs apart, all of him seen."""
    points = np.zeros((n_frames, 17, 3))
    points[..., 0] = (
        0.5 + np.array([0, 1, -1, 1, -1, 4, -4, 7, -7, 9, -9, 3, -3, 4, -4, 5, -5]) / 50
    )
    points[..., 1] = np.array([20, 19, 19, 20, 20, 30, 30, 40, 40, 50, 50, 55, 55, 70, 70, 90, 90])
    points[..., 1] /= 100
    points[..., 2] = 1
    return points


def pose(n_frames=60, fps=20.0) -> Pose:
    return Pose("coco17", body(n_frames).astype(np.float32), fps, 0, 0)


TRACKING = Tracking(readers=("blazepose", "movenet"), seed=3)


def test_errors_depend_on_the_seed_and_the_clip_alone():
    one, again = TRACKING.read(pose(), "a"), TRACKING.read(pose(), "a")
    other, seed = TRACKING.read(pose(), "b"), replace_seed(4).read(pose(), "a")
    assert np.array_equal(one.points, again.points)
    assert not np.array_equal(one.points, other.points)
    assert not np.array_equal(one.points, seed.points)
    assert np.isfinite(one.points).all()


def replace_seed(seed: int) -> Tracking:
    return TRACKING.model_copy(update={"seed": seed})


def test_both_readers_get_their_share_of_the_clips():
    scores = [np.median(TRACKING.read(pose(), str(n)).points[..., 2]) for n in range(40)]
    movenet = np.mean(np.array(scores) < 0.9)
    assert 0.25 < movenet < 0.75


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fps", [20.0, 24.0, 60.0])
def test_frame_rates_see_the_same_errors(reader, fps):
    truth = body(round(120 * fps))
    joints = misread(truth, fps, READERS[reader], 1.0, numpy_generator(0, "test"))
    distance = np.linalg.norm(joints[..., :2] - truth[..., :2], axis=-1) / TORSO
    distance = distance[joints[:, 0, 2] > 0]
    assert np.median(distance) == pytest.approx(0.055, rel=0.2)
    assert (distance > 0.5).mean() == pytest.approx(0.03, abs=0.012)


def test_a_higher_level_errs_more():
    truth = body(600)
    errors = [
        np.abs(misread(truth, 20, READERS["movenet"], level, numpy_generator(0, "x")) - truth)
        for level in (0.1, 1.0, 2.0)
    ]
    small, as_measured, large = (np.median(each[..., :2]) for each in errors)
    assert 4 * small < as_measured < 0.7 * large


def test_hidden_joints_stay_doubtful_and_counted():
    hidden = pose()
    points = hidden.points.copy()
    points[10:20, 9, 2] = GUESSED
    read = TRACKING.read(replace(hidden, points=points, filled=10), "a")
    assert (read.points[10:20, 9, 2] <= np.float32(GUESSED)).all()
    assert read.filled >= 10


def test_frames_without_a_dancer_are_filled_and_counted():
    clips = [TRACKING.read(pose(200), str(n)) for n in range(60)]
    lost = [clip for clip in clips if clip.unseen]
    assert 0 < len(lost) < 40
    for clip in lost:
        assert clip.filled >= 17 * clip.unseen
        assert (clip.points[..., 2] <= np.float32(GUESSED)).all(1).sum() >= clip.unseen
        assert (clip.points[..., :2] > -1).all()


def test_only_markers_are_misread_on_purpose():
    visual = {"weights": "a.pt", "fps": 16.0, "size": 64, "width": 0.1, "window": 32}
    markers = {"kind": "coco17", "source": "markers", "fps": 20.0}
    tracking = {"readers": ["movenet"], "seed": 0}
    assert ExtractDance(pose=markers, tracking=tracking, visual=visual).tracking
    seen = {**markers, "source": "blazepose", "weights": "blazepose"}
    with pytest.raises(ValidationError, match="blazepose errs by itself"):
        ExtractDance(pose=seen, tracking=tracking, visual=visual)

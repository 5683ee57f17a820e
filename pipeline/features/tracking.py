"""Joints as a reader of poses would report them, of joints that are known exactly: what BlazePose
and MoveNet do wrong, drawn at random with the sizes and durations that were measured.

docs/poses.md shows the drawn errors beside the measured ones. All lengths are in torsos (shoulders'
to hips' middle, median of the clip).
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.features.pose import GUESSED, Pose, keypoints_pose
from pipeline.runtime.params import Section
from pipeline.runtime.seeds import numpy_generator

RATE = 60.0  # a second, at which errors are drawn: so often they were measured
GROUPS = {
    "nose": (0,),
    "eyes, ears": (1, 2, 3, 4),
    "shoulders": (5, 6),
    "elbows": (7, 8),
    "wrists": (9, 10),
    "hips": (11, 12),
    "knees": (13, 14),
    "ankles": (15, 16),
}
ReaderName = Literal["blazepose", "movenet"]


class Tracking(Section):
    """Errors of a reader of poses, laid over joints that were read from markers; `level` 1 is as
    large as measured. Each clip gets one of `readers`, and draws of its own.
    """

    readers: tuple[ReaderName, ...] = Field(min_length=1)
    level: float = Field(default=1.0, gt=0, le=3)
    seed: int

    def read(self, pose: Pose, clip: str) -> Pose:
        """The pose of a clip as a reader would have reported it."""
        rng = numpy_generator(self.seed, "tracking", clip)
        reader = READERS[self.readers[rng.integers(len(self.readers))]]
        points = misread(pose.points, pose.fps, reader, self.level, rng)
        seen = keypoints_pose(pose.kind, points, 1.0, pose.fps)
        hidden = int(((pose.points[..., 2] <= GUESSED) & (points[..., 2] > 0)).sum())
        return replace(seen, filled=seen.filled + hidden)


@dataclass(frozen=True)
class Group:
    """How the joints of one group are off."""

    bias: float
    """Standard deviation of each coordinate's constant part, another one in each clip."""
    spread: float
    """Standard deviation of each coordinate's changing part."""
    astray: float
    """Share of the time in which a joint is somewhere else."""
    distance: float
    """How far away it is then: scale of a Rayleigh distribution."""
    swapped: float = 0.0
    """Share of the time in which left and right are exchanged."""


@dataclass(frozen=True)
class Reader:
    """How one network errs."""

    groups: dict[str, Group]
    slow: float
    """Share of the changing part's variance that lasts; the rest is new in every frame."""
    lasts_s: float
    """After how long that is forgotten by a factor e."""
    astray_s: float
    """Mean length of a stretch astray."""
    swapped_s: float
    """Mean length of a stretch exchanged."""
    faint: float
    """Share of the time in which a joint's score is below 0.2."""
    faint_s: float
    """Mean length of such a stretch."""
    scores: tuple[float, float]
    """Median score of a joint that is right, and of one that is astray."""
    score_spread: float


READERS: dict[str, Reader] = {
    "blazepose": Reader(
        {
            "nose": Group(0.010, 0.028, 0.0, 0.0),
            "eyes, ears": Group(0.034, 0.024, 0.02, 0.1),
            "shoulders": Group(0.012, 0.031, 0.18, 0.09, 0.002),
            "elbows": Group(0.032, 0.046, 0.13, 0.2, 0.044),
            "wrists": Group(0.03, 0.046, 0.11, 0.38, 0.055),
            "hips": Group(0.020, 0.038, 0.01, 0.1, 0.005),
            "knees": Group(0.022, 0.041, 0.16, 0.09, 0.025),
            "ankles": Group(0.033, 0.031, 0.03, 0.25, 0.058),
        },
        slow=0.92,
        lasts_s=0.075,
        astray_s=0.055,
        swapped_s=0.04,
        faint=0.011,
        faint_s=0.06,
        scores=(1.0, 0.97),
        score_spread=0.02,
    ),
    "movenet": Reader(
        {
            "nose": Group(0.002, 0.028, 0.0, 0.0),
            "eyes, ears": Group(0.015, 0.027, 0.04, 0.08),
            "shoulders": Group(0.035, 0.037, 0.02, 0.12, 0.005),
            "elbows": Group(0.036, 0.044, 0.1, 0.29, 0.05),
            "wrists": Group(0.032, 0.045, 0.09, 0.55, 0.09),
            "hips": Group(0.051, 0.042, 0.0, 0.0, 0.004),
            "knees": Group(0.03, 0.045, 0.01, 0.12, 0.016),
            "ankles": Group(0.016, 0.031, 0.05, 0.33, 0.047),
        },
        slow=0.5,
        lasts_s=0.1,
        astray_s=0.045,
        swapped_s=0.03,
        faint=0.011,
        faint_s=0.025,
        scores=(0.75, 0.43),
        score_spread=0.1,
    ),
}
NEAR = 0.1  # torsos; left and right are exchanged rather when they are close to each other
LOST, LOST_S = 0.002, 0.15
"""Share of the time without a dancer, and how long it lasts. Neither reader lost him in the clip
that was measured; in front of a phone it happens.
"""


def misread(
    points: np.ndarray, fps: float, reader: Reader, level: float, rng: np.random.Generator
) -> np.ndarray:
    """Joints [T, 17, 3] with errors `level` times as large and as frequent as a reader's, from
    exact `points` [T, 17, 3] (any unit; of joints with a score of at most 0.1 the place is a guess,
    and stays). Score 0: nobody was found in this frame.

    Errors are drawn 60 times a second and the frames' nearest taken, so that they last as long at
    any frame rate.
    """
    n_frames = len(points)
    at = np.minimum(np.round(np.arange(n_frames) * RATE / fps).astype(int), 1 << 30)
    length = int(at[-1]) + 1
    torso = _torso(points)
    joints = points.astype(np.float64)
    errors = np.zeros((length, 17, 2))
    astray = np.zeros((length, 17), bool)
    for name, each in GROUPS.items():
        group, numbers = reader.groups[name], list(each)
        shape = (length, len(numbers), 2)
        small = _changing(shape, reader, rng) * group.spread
        small += rng.normal(0, group.bias, (1, *shape[1:]))
        errors[:, numbers] = level * small
        for number in numbers:
            away = _stretches(length, level * group.astray, reader.astray_s, rng)
            errors[:, number] += _held(away, group.distance, rng)
            astray[:, number] = away > 0
        if group.swapped:
            chance = level * group.swapped * _nearness(points[:, numbers, :2] / torso)
            grid = chance[
                np.round(np.arange(length) * fps / RATE).astype(int).clip(0, n_frames - 1)
            ]
            swapped = _stretches(length, grid, reader.swapped_s, rng)[at] > 0
            joints[np.ix_(swapped, numbers)] = joints[np.ix_(swapped, numbers[::-1])]
            astray[at[swapped][:, None], numbers] = True
    joints[..., :2] += torso * errors[at]
    joints[..., 2] = _scores(astray[at], reader, rng)
    for number in range(17):
        faint = _stretches(length, level * reader.faint, reader.faint_s, rng)[at] > 0
        joints[faint, number, 2] = rng.uniform(0.02, 0.2, int(faint.sum()))
    guessed = points[..., 2] <= GUESSED
    joints[guessed, 2] = np.minimum(joints[guessed, 2], GUESSED)
    lost = _stretches(length, level * LOST, LOST_S, rng)[at] > 0
    joints[lost] = 0.0 if not lost.all() else joints[lost]
    return joints


def _torso(points: np.ndarray) -> float:
    way = points[:, 5:7, :2].mean(1) - points[:, 11:13, :2].mean(1)
    return float(np.median(np.linalg.norm(way, axis=1)))


def _changing(shape: tuple[int, ...], reader: Reader, rng: np.random.Generator) -> np.ndarray:
    """Noise of variance 1, a part of which is correlated in time."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / (RATE * reader.lasts_s))
    fresh = rng.standard_normal(shape)
    fresh[1:] *= np.sqrt(1 - keep**2)
    lasting = lfilter([1], [1, -keep], fresh, axis=0)
    white = rng.standard_normal(shape)
    return np.sqrt(reader.slow) * lasting + np.sqrt(1 - reader.slow) * white


def _nearness(pair: np.ndarray) -> np.ndarray:
    """For each frame of a pair of joints [T, 2, 2] how likely they are exchanged, 1 on average."""
    likely = np.exp(-np.linalg.norm(pair[:, 0] - pair[:, 1], axis=-1) / NEAR)
    return np.minimum(likely / likely.mean(), 12.0)


def _stretches(
    length: int, share: float | np.ndarray, seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """For each of `length` frames the number of the stretch it belongs to, from 1, or 0: stretches
    of `seconds` on average that cover a `share` of the time (one for all frames, or for each).
    """
    mean = max(1.0, seconds * RATE)
    numbers = np.zeros(length, int)
    starts = np.flatnonzero(rng.random(length) < share / (mean * (1 - np.minimum(share, 0.5))))
    lasts = rng.geometric(1 / mean, len(starts))
    for number, (start, frames) in enumerate(zip(starts, lasts), 1):
        numbers[start : start + frames] = number
    return numbers


def _held(stretches: np.ndarray, distance: float, rng: np.random.Generator) -> np.ndarray:
    """An offset [T, 2] that is one and the same during each stretch, 0 outside."""
    offsets = rng.normal(0, distance, (stretches.max() + 1, 2))
    offsets[0] = 0
    return offsets[stretches]


def _scores(astray: np.ndarray, reader: Reader, rng: np.random.Generator) -> np.ndarray:
    """Scores [T, J]: lower, for readers that know, where a joint is astray."""
    right, wrong = reader.scores
    own = rng.normal(0, reader.score_spread, (1, astray.shape[1]))
    moment = rng.normal(0, reader.score_spread, astray.shape)
    return np.clip(np.where(astray, wrong, right) + 0.7 * (own + moment), 0.2, 1.0)

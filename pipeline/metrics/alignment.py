"""How well music fits the dance it was made for: kinematic accents of the motion against onsets of
the sound.

A dancer's accent is a moment at which a movement comes to rest or turns: a local minimum of the
joints' mean speed, as in the beat-alignment score (BAS) of AI Choreographer (Li et al. 2021). BAS
looks one way only, so that music with an onset in every frame (or a single lucky one) scores well;
here both ways are taken and their harmonic mean is the score:

    precision = mean over onsets  of exp(-d^2 / 2 sigma^2), d = distance to the nearest accent
    recall    = mean over accents of exp(-d^2 / 2 sigma^2), d = distance to the nearest onset

with sigma = 0.05 s, BAS's three frames at 60 fps. No reference music is involved.

Real trackers jump and lose joints. Positions pass a median of three frames, a joint's speed is
bounded by its own 95th percentile, joints count by their visibility, and the range that decides how
deep an accent must be lies between percentiles. Toy dancers are measured in the same way.
"""

import numpy as np

from pipeline.metrics.beats import harmonic_mean

SIGMA_SECONDS = 0.05
SMOOTHING_SECONDS = 0.025
PROMINENCE = 0.2
RANGE_PERCENTILES = (5, 95)
FASTEST_PERCENTILE = 95


def as_positions(motion: np.ndarray) -> np.ndarray:
    """Where the joints of a stored motion are, [T, J, D]: image coordinates of keypoints [T, J, 3]
    or [T, 3 J], without their scores; of SMPL's 219 numbers the 24 rotation matrices, whose change
    is the joints' turning.
    """
    motion = np.asarray(motion)
    if _is_smpl(motion):
        return motion[:, 3:].reshape(len(motion), 24, 9)
    return motion.reshape(len(motion), -1, 3)[..., :2]


def visibility(motion: np.ndarray) -> np.ndarray | None:
    """How surely the joints of a stored motion were seen, [T, J] in 0..1; None for SMPL, which has
    no scores.
    """
    motion = np.asarray(motion)
    if _is_smpl(motion):
        return None
    return np.clip(motion.reshape(len(motion), -1, 3)[..., 2], 0.0, 1.0)


def _is_smpl(motion: np.ndarray) -> bool:
    return motion.ndim == 2 and motion.shape[1] == 219


def motion_speed(positions: np.ndarray, fps: float, seen: np.ndarray | None = None) -> np.ndarray:
    """The mean speed of the joints between frames, [T - 1], smoothed over 25 ms.

    `positions` is [T, J, D] in any unit; `seen` [T, J] weighs a joint by the lesser of its scores
    in the two frames. What trackers do does not count as movement: a position that lasts one frame
    is replaced by the median of three, and a joint is never faster than its own 95th percentile,
    so that a jump that stays is one quick frame among others. Frames in which no joint is seen
    take the speed between their neighbours'.
    """
    from scipy.ndimage import gaussian_filter1d, median_filter

    positions = np.asarray(positions, dtype=np.float64)
    if len(positions) < 2:
        return np.zeros(0)
    steady = median_filter(positions, size=(3, 1, 1), mode="nearest")
    speed = np.linalg.norm(np.diff(steady, axis=0), axis=2) * fps
    speed = np.minimum(speed, np.percentile(speed, FASTEST_PERCENTILE, axis=0))
    mean = _weighted(speed, np.ones_like(speed) if seen is None else _of_both_frames(seen))
    return gaussian_filter1d(mean, SMOOTHING_SECONDS * fps, mode="nearest")


def _of_both_frames(seen: np.ndarray) -> np.ndarray:
    seen = np.asarray(seen, dtype=np.float64)
    return np.minimum(seen[1:], seen[:-1])


def _weighted(speed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean over joints, [T - 1]; where all weights are 0, between the neighbours."""
    total = weights.sum(axis=1)
    known = np.flatnonzero(total > 0)
    if not len(known):
        return np.zeros(len(speed))
    mean = (speed[known] * weights[known]).sum(axis=1) / total[known]
    return np.interp(np.arange(len(speed)), known, mean)


def kinematic_accents(
    positions: np.ndarray, fps: float, seen: np.ndarray | None = None
) -> np.ndarray:
    """The seconds at which the movement [T, J, D] has a local minimum of speed; none when nothing
    moves.

    A minimum counts when it is at least a fifth of the clip's range of speeds deep, so that
    tracking noise makes no accents; the range lies between the 5th and the 95th percentile, so
    that a moment of wild tracking hides none. A parabola through the minimum and its neighbours
    places it between frames. `seen` [T, J] are the joints' scores (`visibility`).
    """
    from scipy.signal import find_peaks

    speed = motion_speed(positions, fps, seen)
    if not len(speed):
        return np.zeros(0)
    low, high = np.percentile(speed, RANGE_PERCENTILES)
    if high <= low:
        return np.zeros(0)
    minima, _ = find_peaks(-speed, prominence=PROMINENCE * (high - low))
    before, at, after = speed[minima - 1], speed[minima], speed[minima + 1]
    bend = np.maximum(before - 2 * at + after, 1e-12)
    between = np.clip((before - after) / (2 * bend), -0.5, 0.5)
    return (minima + 0.5 + between) / fps


def dance_accents(motion: np.ndarray, fps: float) -> np.ndarray:
    """The accents in seconds of a stored motion of any pose kind, its joints weighted by their
    scores.
    """
    return kinematic_accents(as_positions(motion), fps, visibility(motion))


def alignment(accents: np.ndarray, onsets: np.ndarray, sigma: float = SIGMA_SECONDS) -> float:
    """The score in percent of `onsets` for `accents`, both in seconds: 100 when they coincide, 0
    when there is no onset.

    NaN when the motion has no accent: nothing can be said of such a clip.
    """
    if not len(accents):
        return float("nan")
    if not len(onsets):
        return 0.0
    distance = np.abs(np.asarray(accents)[:, None] - np.asarray(onsets)[None])
    closeness = np.exp(-(distance**2) / (2 * sigma**2))
    return 100 * float(harmonic_mean(closeness.max(axis=0).mean(), closeness.max(axis=1).mean()))

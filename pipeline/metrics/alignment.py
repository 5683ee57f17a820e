"""How well music fits the dance it was made for: kinematic accents of the motion against onsets of
the sound.

A dancer's accent is a moment at which a movement comes to rest or turns: a local minimum of the
joints' mean speed, as in the beat-alignment score (BAS) of AI Choreographer (Li et al. 2021). BAS
looks one way only, so that music with an onset in every frame (or a single lucky one) scores well;
here both ways are taken and their harmonic mean is the score:

    precision = mean over onsets  of exp(-d^2 / 2 sigma^2), d = distance to the nearest accent
    recall    = mean over accents of exp(-d^2 / 2 sigma^2), d = distance to the nearest onset

with sigma = 0.05 s, BAS's three frames at 60 fps. No reference music is involved.
"""

import numpy as np

from pipeline.metrics.beats import harmonic_mean

SIGMA_SECONDS = 0.05
SMOOTHING_SECONDS = 0.025
PROMINENCE = 0.1


def as_positions(motion: np.ndarray) -> np.ndarray:
    """Where the joints of a stored motion are, [T, J, D]: image coordinates of keypoints [T, J, 3]
    or [T, 3 J], without their scores; of SMPL's 219 numbers the 24 rotation matrices, whose change
    is the joints' turning.
    """
    motion = np.asarray(motion)
    if motion.ndim == 2 and motion.shape[1] == 219:
        return motion[:, 3:].reshape(len(motion), 24, 9)
    return motion.reshape(len(motion), -1, 3)[..., :2]


def motion_speed(positions: np.ndarray, fps: float) -> np.ndarray:
    """The mean speed of the joints between frames, [T - 1], smoothed over 25 ms; `positions` is [T,
    J, D] in any unit.
    """
    from scipy.ndimage import gaussian_filter1d

    positions = np.asarray(positions, dtype=np.float64)
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=2).mean(axis=1) * fps
    return gaussian_filter1d(speed, SMOOTHING_SECONDS * fps, mode="nearest")


def kinematic_accents(positions: np.ndarray, fps: float) -> np.ndarray:
    """The seconds at which the movement [T, J, D] has a local minimum of speed; none when nothing
    moves.

    A minimum counts when it is at least a tenth of the clip's range of speeds deep, so that
    tracking noise makes no accents; a parabola through it and its neighbours places it between
    frames.
    """
    from scipy.signal import find_peaks

    speed = motion_speed(positions, fps)
    spread = np.ptp(speed) if len(speed) else 0.0
    if spread <= 0:
        return np.zeros(0)
    minima, _ = find_peaks(-speed, prominence=PROMINENCE * spread)
    before, at, after = speed[minima - 1], speed[minima], speed[minima + 1]
    bend = np.maximum(before - 2 * at + after, 1e-12)
    between = np.clip((before - after) / (2 * bend), -0.5, 0.5)
    return (minima + 0.5 + between) / fps


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

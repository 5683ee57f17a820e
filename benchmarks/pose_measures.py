"""How a reader of poses errs, by its joints beside the true ones; for real readers and simulated
ones alike.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.features.pose_following import CONFIDENT
from pipeline.features.tracking import GROUPS as JOINTS

APART = 0.2  # torsos; left and right nearer than this cannot be told apart
NEAR, ASTRAY = 0.2, 0.5  # torsos; nearer a joint is right, further off it is somewhere else
LAGS_S = (1 / 60, 1 / 30, 0.05, 0.1, 0.2, 0.5, 1.0)
_SHARES = (50, 90, 99)


@dataclass(frozen=True)
class Errors:
    """How one reader errs, in units of the torso (shoulders' to hips' middle, median of the clip).

    `distance`, `jitter` (change of the error from frame to frame): 50, 90 and 99 % of each group of
    joints, with "all". `bias`: length of a joint's mean error, the mean of the group. `lags`: the
    correlation of the error, bias taken off, with itself `LAGS_S` later; `near_lags`: the same of
    joints within 0.2 torsos. `shared`: the part of its variance that all joints have in common.
    `swaps`: the share of frames, by pair of limbs, in which left and right are exchanged. `runs`:
    how long (frames) each swap, stretch astray, faint stretch (score below 0.2) and stretch without
    a dancer lasts. `scores`: median score of joints within 0.2 torsos and of those astray.
    """

    distance: dict[str, tuple[float, ...]]
    bias: dict[str, float]
    jitter: dict[str, tuple[float, ...]]
    lags: tuple[float, ...]
    near_lags: tuple[float, ...]
    shared: float
    swaps: dict[str, float]
    astray: float
    faint: float
    unseen: float
    runs: dict[str, list[int]]
    scores: tuple[float, float]
    pck: float


def measured(joints: np.ndarray, truth: np.ndarray, fps: float) -> Errors:
    """The errors of joints [T, 17, 3] (x, y, score; NaN: no dancer) beside the truth [T, 17, 2]
    (NaN: unknown) in the same unit, at `fps` frames a second.
    """
    scale = torso(truth)
    error = (joints[..., :2] - truth) / scale
    distance = np.linalg.norm(error, axis=-1)
    step = np.linalg.norm(np.diff(error, axis=0), axis=-1)
    bias = np.nanmean(error, axis=0)
    swapped = {name: exchanged(joints, truth, scale, JOINTS[name]) for name in _pairs()}
    unseen = ~np.isfinite(joints[..., 0]).any(1)
    faint, astray = joints[..., 2] < CONFIDENT, distance > ASTRAY
    known = np.isfinite(distance)
    box = np.nanmax(np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1), axis=1) / scale
    groups = JOINTS | {"all": tuple(range(17))}
    near = np.where((distance < NEAR)[..., None], error, np.nan)
    near -= np.nanmean(near, axis=0)
    return Errors(
        distance={name: _shares(distance[:, list(each)]) for name, each in groups.items()},
        bias={
            name: float(np.linalg.norm(bias[list(each)], axis=1).mean())
            for name, each in groups.items()
        },
        jitter={name: _shares(step[:, list(each)]) for name, each in groups.items()},
        lags=tuple(correlation(error - bias, round(lag * fps)) for lag in LAGS_S),
        near_lags=tuple(correlation(near, round(lag * fps)) for lag in LAGS_S),
        shared=shared(error - bias),
        swaps={name: float(np.nanmean(each)) for name, each in swapped.items()},
        astray=float(astray[known].mean()),
        faint=float(faint[~unseen].mean()),
        unseen=float(unseen.mean()),
        runs={
            "swap": [n for each in swapped.values() for n in runs(each == 1)],
            "astray": [n for joint in astray.T for n in runs(joint)],
            "faint": [n for joint in faint.T for n in runs(joint)],
            "no dancer": runs(unseen),
        },
        scores=(_median(joints[..., 2][distance < NEAR]), _median(joints[..., 2][astray])),
        pck=float((distance < 0.1 * box[:, None])[known].mean()),
    )


def torso(truth: np.ndarray) -> float:
    """The way from the shoulders' to the hips' middle, the median of the frames."""
    way = truth[:, 5:7].mean(1) - truth[:, 11:13].mean(1)
    return float(np.nanmedian(np.linalg.norm(way, axis=1)))


def exchanged(
    joints: np.ndarray, truth: np.ndarray, scale: float, pair: tuple[int, int]
) -> np.ndarray:
    """For each frame 1 where left and right of a pair lie nearer (by half) to each other's place
    than to their own, 0 where not, NaN where these places are too near to tell.
    """
    places, own = joints[:, list(pair), :2], truth[:, list(pair)]
    apart = np.linalg.norm(own[:, 0] - own[:, 1], axis=-1) > APART * scale
    there = np.isfinite(places).all((1, 2)) & apart
    straight = np.linalg.norm(places - own, axis=-1).sum(1)
    crossed = np.linalg.norm(places - own[:, ::-1], axis=-1).sum(1)
    return np.where(there, crossed < 0.5 * straight, np.nan)


def correlation(error: np.ndarray, lag: int) -> float:
    """The correlation of errors [T, J, 2] of mean 0 with themselves `lag` frames later."""
    before, after = error[: len(error) - lag], error[lag:]
    both = np.isfinite(before) & np.isfinite(after)
    product = (before * after)[both].mean()
    spread = np.sqrt((before[both] ** 2).mean() * (after[both] ** 2).mean())
    return float(product / spread) if spread > 0 else 0.0


def shared(error: np.ndarray) -> float:
    """The part of the variance of errors [T, J, 2] that is common to all joints of a frame."""
    seen = error[np.isfinite(error).all((1, 2))]
    n_joints = seen.shape[1]
    common = (seen.mean(1) ** 2).sum(-1).mean()
    total = (seen**2).sum(-1).mean()
    return float(max(0.0, (n_joints * common - total) / ((n_joints - 1) * total)))


def runs(flags: np.ndarray) -> list[int]:
    """The lengths of the unbroken stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def _pairs() -> list[str]:
    return [name for name, each in JOINTS.items() if len(each) == 2]


def _shares(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(each) for each in np.nanpercentile(values, _SHARES))


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan

"""One dancer through the frames of a clip: who is taken up first, who is still the same, and how
long somebody lost is waited for.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

CONFIDENT = 0.2  # the score above which a joint counts as seen (as MoveNet's own tracking has it)
SHOULDERS, HIPS = (5, 6), (11, 12)
TORSO = (*SHOULDERS, *HIPS)
JUMP = 0.2  # how far, in body sizes, shoulders and hips may go from frame to frame
_PATIENCE = 10  # frames for which a dancer lost is waited for where he was

Somebody = TypeVar("Somebody")


def through_frames(
    frames: Iterable[np.ndarray],
    find: Callable[[np.ndarray], Somebody | None],
    follow: Callable[[np.ndarray, Somebody], Somebody | None],
) -> list[Somebody | None]:
    """The main dancer in each frame, None where he is not seen: found once, then followed; found
    anew when he stays away for long.
    """
    everywhere, last, missed = [], None, 0
    for frame in frames:
        found = find(frame) if last is None else follow(frame, last)
        missed = 0 if found is not None else missed + 1
        if found is not None or missed > _PATIENCE:
            last = found
        everywhere.append(found)
    return everywhere


def prominence(joints: np.ndarray, frame: np.ndarray) -> float:
    """How much somebody looks like the main dancer of a frame: clearly seen, tall, near the
    middle.
    """
    seen = joints[joints[:, 2] > CONFIDENT]
    height, width = frame.shape[:2]
    off_centre = abs(seen[:, 0].mean() / width - 0.5)
    return float(joints[:, 2].mean() * np.ptp(seen[:, 1]) / height * (1 - off_centre))


def moved(joints: np.ndarray, last: np.ndarray) -> float:
    """How far shoulders and hips seen in both went on average, in units of the last one's height;
    infinite for none.
    """
    both = (joints[:, 2] > CONFIDENT) & (last[:, 2] > CONFIDENT) & np.isin(np.arange(17), TORSO)
    height = max(np.ptp(last[last[:, 2] > CONFIDENT, 1]), 1.0)
    return (
        float(np.linalg.norm(joints[both, :2] - last[both, :2], axis=1).mean() / height)
        if both.any()
        else np.inf
    )


def torso_seen(joints: np.ndarray) -> bool:
    """Whether a shoulder and a hip are seen."""
    seen = joints[:, 2] > CONFIDENT
    return bool(seen[list(SHOULDERS)].any() and seen[list(HIPS)].any())

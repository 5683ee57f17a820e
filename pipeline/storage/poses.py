"""The kinds of poses that a store of conditions holds, and how many numbers a frame of each has."""

from dataclasses import dataclass
from typing import Literal

PoseKind = Literal["coco17", "body25", "smpl219"]


@dataclass(frozen=True)
class Skeleton:
    """A set of image keypoints, each (x, y, score), and those of them whose middle is the root."""

    n_joints: int
    root: tuple[int, ...]


SKELETONS = {"coco17": Skeleton(17, root=(11, 12)), "body25": Skeleton(25, root=(8, 9, 12))}
SMPL_NUMBERS = 219


def numbers_per_frame(kind: PoseKind) -> int:
    """How many numbers a frame of this kind of pose holds."""
    return SMPL_NUMBERS if kind == "smpl219" else 3 * SKELETONS[kind].n_joints

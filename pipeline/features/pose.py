"""One type for every kind of dance motion, with its gaps filled and counted, at the rate that is
wanted.
"""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.runtime.errors import UserError
from pipeline.storage.poses import PoseKind

GUESSED = 0.1  # the visibility of a joint whose place was interpolated
LATE_S = 0.25  # how long the last pose may stand in for what is missing at the end
_BODY25_AS_COCO17 = [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11]


@dataclass(frozen=True)
class Pose:
    """A dancer's motion.

    `points` [T, J, 3] float32. Of coco17 and body25: x and y in units of the picture's height (x
    from 0 to width / height, y from 0 at the top to 1), and visibility in 0..1. Of smpl219, J = 73
    rows: the root's place divided by the body's scale, then 24 rotation matrices by rows. `unseen`
    counts frames in which no dancer was found, `filled` the single joints (unseen frames included)
    whose place was interpolated between frames; these have a visibility of at most 0.1.
    """

    kind: PoseKind
    points: np.ndarray
    fps: float
    unseen: int
    filled: int

    def motion(self) -> np.ndarray:
        """The motion [T, numbers a frame] as conditions.h5 keeps it: 51, 75 or 219 numbers."""
        return self.points.reshape(len(self.points), -1)


def keypoints_pose(kind: PoseKind, points: np.ndarray, height: float, fps: float) -> Pose:
    """The pose of one dancer's keypoints [T, J, 3] in pixels of pictures `height` high, its gaps
    filled.

    A joint is a gap where x or y is NaN or its confidence is not above 0; a frame without any joint
    is unseen. Raises UserError where not a single joint was found.
    """
    points = np.array(points, dtype=np.float64)
    points[..., :2] /= height
    points[..., 2] = np.clip(np.nan_to_num(points[..., 2]), 0, 1)
    seen = (points[..., 2] > 0) & np.isfinite(points[..., :2]).all(-1)
    if not seen.any():
        raise UserError(f"No joint was found in any of {len(points)} frames.")
    filled = 0
    for joint in range(points.shape[1]):
        known = seen[:, joint]
        if not known.any():
            points[:, joint] = 0
            continue
        points[~known, joint, :2] = _interpolated(
            points[known, joint, :2], np.flatnonzero(known), np.flatnonzero(~known)
        )
        points[~known, joint, 2] = GUESSED
        filled += int((~known).sum())
    return Pose(kind, points.astype(np.float32), fps, int((~seen.any(1)).sum()), filled)


def fill_numbers(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Values [T, N] with each column's NaN interpolated in time, and how many there were; raises
    UserError for a NaN column.
    """
    values = np.array(values, dtype=np.float64)
    gaps = ~np.isfinite(values)
    for column in np.flatnonzero(gaps.any(0)):
        known, missing = np.flatnonzero(~gaps[:, column]), np.flatnonzero(gaps[:, column])
        if not len(known):
            raise UserError("One of the motion's numbers is missing in every frame.")
        values[missing, column] = np.interp(missing, known, values[known, column])
    return values, int(gaps.sum())


def _interpolated(values: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values [len(known), C] at frames `known`, linearly interpolated at frames `wanted`; the
    nearest beyond the ends.
    """
    return np.stack([np.interp(wanted, known, column) for column in values.T], axis=1)


def frame_times(
    n_frames: int, fps: float, wanted_fps: float, start_s: float, duration_s: float | None
) -> np.ndarray:
    """At which (fractional) frames of a motion at `fps` the frames of a clip at `wanted_fps` lie.

    Raises UserError when the motion ends more than a quarter of a second before the clip.
    """
    duration_s = n_frames / fps - start_s if duration_s is None else duration_s
    times = start_s + np.arange(round(duration_s * wanted_fps)) / wanted_fps
    if not len(times) or times[-1] > n_frames / fps + LATE_S:
        end_s = start_s + duration_s
        raise UserError(
            f"The motion lasts {n_frames / fps:.2f} s; the clip reaches from {start_s:.2f} to"
            f" {end_s:.2f} s."
        )
    return np.clip(times * fps, 0, n_frames - 1)


def resample(pose: Pose, fps: float, start_s: float = 0.0, duration_s: float | None = None) -> Pose:
    """The stretch of a keypoint pose from `start_s`, round(duration_s * fps) frames, linear between
    its frames.

    The counts of gaps are those of the whole pose. Rotations are not linear: SMPL motions are
    resampled where they are read.
    """
    if pose.kind == "smpl219":
        raise UserError(
            "A motion of rotation matrices cannot be resampled here; read its file at the wanted"
            " rate."
        )
    times = frame_times(len(pose.points), pose.fps, fps, start_s, duration_s)
    known = np.arange(len(pose.points))
    flat = _interpolated(pose.motion(), known, times)
    return replace(pose, points=flat.reshape(len(times), -1, 3).astype(np.float32), fps=fps)


def at_times(pose: Pose, times: np.ndarray, wanted: np.ndarray, fps: float) -> Pose:
    """A keypoint pose whose frames were taken at `times` [T] (ascending seconds) as it was at the
    times `wanted` [n], `fps` a second: linear between its frames, the nearest beyond the ends.

    The counts of gaps are those of the frames nearest to each time.
    """
    flat = _interpolated(pose.motion(), times, wanted)
    nearest = np.abs(times[None] - wanted[:, None]).argmin(axis=1)
    guessed = pose.points[nearest, :, 2] == np.float32(GUESSED)
    absent = pose.points[nearest, :, 2] == 0
    return Pose(
        pose.kind,
        flat.reshape(len(wanted), -1, 3).astype(np.float32),
        fps,
        int((guessed | absent).all(1).sum()),
        int(guessed.sum()),
    )


def as_coco17(pose: Pose) -> Pose:
    """A BODY_25 pose by the 17 joints of COCO, all of which it has; coco17 as it is; raises
    UserError for SMPL.
    """
    if pose.kind == "coco17":
        return pose
    if pose.kind == "smpl219":
        raise UserError(
            "A motion of body rotations (smpl219) cannot be read as COCO joints; use pose.source"
            " aist_keypoints2d."
        )
    return replace(pose, kind="coco17", points=pose.points[:, _BODY25_AS_COCO17])


def follow_dancer(people: list[np.ndarray]) -> np.ndarray:
    """The main dancer [T, J, 3] among the people [P, J, 3] found in each frame; NaN where he is not
    found.

    The main dancer is whoever is seen largest and clearest in any frame; he is followed forwards
    and backwards to whoever is nearest, whose joints must lie within 0.4 of his size (0.1 more for
    each frame in which he was missed, up to 0.8).
    """
    n_joints = next((frame.shape[1] for frame in people if len(frame)), 17)
    main = np.full((len(people), n_joints, 3), np.nan, np.float32)
    scores = [
        (_prominence(person), number, row)
        for number, frame in enumerate(people)
        for row, person in enumerate(frame)
    ]
    if not scores:
        return main
    _, first, row = max(scores, key=lambda entry: (entry[0], -entry[1], -entry[2]))
    for numbers in (range(first, len(people)), range(first, -1, -1)):
        last, gap = people[first][row], 1
        for number in numbers:
            distances = [_distance(person, last) for person in people[number]]
            if distances and min(distances) < 0.3 + 0.1 * min(gap, 5):
                last, gap = people[number][int(np.argmin(distances))], 1
                main[number] = last
            else:
                gap += 1
    return main


def _prominence(person: np.ndarray) -> float:
    seen = person[person[:, 2] > 0]
    if len(seen) < 2:
        return 0.0
    return float(np.hypot(*np.ptp(seen[:, :2], axis=0)) * person[:, 2].mean())


def _distance(person: np.ndarray, other: np.ndarray) -> float:
    """The mean distance of the joints seen in both, in units of the other's size; infinite when
    there is none.
    """
    both = (person[:, 2] > 0) & (other[:, 2] > 0)
    if not both.any():
        return np.inf
    size = max(np.hypot(*np.ptp(other[other[:, 2] > 0, :2], axis=0)), 1e-6)
    return float(np.linalg.norm(person[both, :2] - other[both, :2], axis=1).mean() / size)

"""Motion that others have annotated: OpenPose, AlphaPose, AIST++ keypoints and SMPL, and ready
arrays.
"""

import json
import re
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from pipeline.features.pose import Pose, fill_numbers, follow_dancer, frame_times, keypoints_pose
from pipeline.runtime.arrays import read_array
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import read_json
from pipeline.storage.poses import PoseKind
from pipeline.storage.unpickle import load_pickle

MOST_FRAMES = 10**6  # nine hours at 30 a second
AIST_FPS, AIST_HEIGHT, N_CAMERAS = 60.0, 1080, 9


def openpose(folder: Path, height: float, fps: float) -> Pose:
    """The main dancer (body25) in a folder of OpenPose `--write_json` files, one a frame, in the
    order of their numbers.
    """
    files = sorted(Path(folder).glob("*.json"), key=_number)
    if not files:
        raise UserError(
            f"{folder} holds no OpenPose file; expected <name>_000000000000_keypoints.json and"
            " so on."
        )
    people = [_people(read_json(file), file) for file in files]
    return keypoints_pose("body25", follow_dancer(people), height, fps)


def _people(frame: dict, file: Path) -> np.ndarray:
    """Everybody [P, 25, 3] in one OpenPose file."""
    try:
        people = [person["pose_keypoints_2d"] for person in frame["people"]]
        return np.array([person for person in people if person], np.float32).reshape(-1, 25, 3)
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{file} is not OpenPose BODY_25: expected people, each with 75 numbers"
            " pose_keypoints_2d."
        ) from None


def alphapose(file: Path, height: float, fps: float, n_frames: int) -> Pose:
    """The main dancer (coco17) in an AlphaPose result list, whose image_id tells the frame by its
    number from 0.
    """
    people = defaultdict(list)
    try:
        for entry in _read_list(file):
            people[_number(entry["image_id"])].append(
                np.array(entry["keypoints"], np.float32).reshape(17, 3)
            )
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{file} is not an AlphaPose list: expected entries with image_id and 51 numbers"
            " keypoints."
        ) from None
    if max(people, default=0) > MOST_FRAMES:
        raise UserError(f"{file}: image_id {max(people)} is no frame's number; is it damaged?")
    n_frames = max(n_frames, max(people, default=-1) + 1)
    frames = [np.array(people[number], np.float32).reshape(-1, 17, 3) for number in range(n_frames)]
    return keypoints_pose("coco17", follow_dancer(frames), height, fps)


def _read_list(file: Path) -> list:
    try:
        return json.loads(Path(file).read_text())
    except FileNotFoundError:
        raise UserError(f"{file} does not exist.") from None
    except (ValueError, RecursionError):
        raise UserError(f"{file} is damaged: it is not JSON.") from None


def _number(name: str | Path) -> int:
    """The last number in a file's name, its suffix and `keypoints` aside."""
    numbers = re.findall(r"\d+", Path(str(name)).stem)
    if not numbers:
        raise UserError(f"{name}: no frame number in this name.")
    return int(numbers[-1])


def aist_keypoints2d(file: Path, camera: int = 0) -> Pose:
    """The dancer (coco17, 60 fps) seen by one of AIST++'s nine cameras, counted from 0."""
    keypoints = _aist(file, "keypoints2d", (N_CAMERAS, None, 17, 3))
    return keypoints_pose("coco17", keypoints[camera], AIST_HEIGHT, AIST_FPS)


def aist_keypoints3d(file: Path, camera: int = 0) -> Pose:
    """The dancer (coco17, 60 fps) of AIST++'s `keypoints3d_optim`, projected into camera `camera`
    (c01 is 0).

    The cameras are looked up beside the file, in `cameras/mapping.txt` and
    `cameras/<setting>.json`.
    """
    points = _aist(file, "keypoints3d_optim", (None, 17, 3))
    flat, seen = points.reshape(-1, 3).astype(np.float64), np.all(np.isfinite(points), axis=-1)
    view = _camera(Path(file), camera)
    rotation, translation, matrix, distortions = (
        np.array(view[name], np.float64)
        for name in ("rotation", "translation", "matrix", "distortions")
    )
    pixels, _ = cv2.projectPoints(np.nan_to_num(flat), rotation, translation, matrix, distortions)
    keypoints = np.concatenate([pixels.reshape(*points.shape[:2], 2), seen[..., None]], axis=-1)
    return keypoints_pose("coco17", keypoints, view["size"][1], AIST_FPS)


def _camera(file: Path, camera: int) -> dict:
    cameras = file.parent.parent / "cameras"
    mapping = cameras / "mapping.txt"
    if not mapping.exists():
        raise UserError(
            f"{mapping} does not exist; AIST++'s 3D keypoints need its cameras/ beside"
            " keypoints3d/."
        )
    setting = dict(line.split() for line in mapping.read_text().splitlines() if line.strip()).get(
        file.stem
    )
    if setting is None:
        raise UserError(f"{mapping} names no camera setting for {file.stem}.")
    return read_json(cameras / f"{setting}.json")[camera]


def aist_smpl(
    file: Path, fps: float = AIST_FPS, start_s: float = 0.0, duration_s: float | None = None
) -> Pose:
    """A stretch of an AIST++ SMPL motion (smpl219): root place / body scale, then 24 rotation
    matrices by rows.

    Between its 60 frames a second, places are interpolated linearly and rotations along the
    shortest arc.
    """
    from scipy.spatial.transform import Rotation, Slerp

    content = _aist_dict(file)
    try:
        rotations, trans = (
            np.asarray(content["smpl_poses"], np.float64),
            np.asarray(content["smpl_trans"], np.float64),
        )
        scale = float(np.asarray(content["smpl_scaling"]).reshape(-1)[0])
        rotations, trans = rotations.reshape(len(trans), 72), trans.reshape(-1, 3)
    except (KeyError, TypeError, ValueError, IndexError):
        raise UserError(
            f"{file} is not an AIST++ motion: it needs smpl_poses, smpl_trans and smpl_scaling."
        ) from None
    numbers, filled = fill_numbers(np.concatenate([trans / scale, rotations], axis=1))
    times, known = (
        frame_times(len(numbers), AIST_FPS, fps, start_s, duration_s),
        np.arange(len(numbers)),
    )
    points = np.empty((len(times), 73, 3), np.float32)
    points[:, 0] = np.stack(
        [np.interp(times, known, column) for column in numbers[:, :3].T], axis=1
    )
    for joint in range(24):
        turned = Rotation.from_rotvec(numbers[:, 3 + 3 * joint : 6 + 3 * joint])
        if len(known) > 1:
            turned = Slerp(known, turned)(times)
        points[:, 1 + 3 * joint : 4 + 3 * joint] = turned.as_matrix()  # one frame fits all times
    return Pose("smpl219", points, fps, 0, filled)


def _aist_dict(file: Path) -> dict:
    content = load_pickle(file)
    if not isinstance(content, dict):
        raise UserError(
            f"{file} is not an AIST++ annotation: expected a dictionary, found"
            f" {type(content).__name__}."
        )
    return content


def _aist(file: Path, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """One array of an AIST++ annotation, its shape checked."""
    array = np.asarray(_aist_dict(file).get(name))
    if len(array.shape) != len(shape) or any(
        want not in (None, found) for want, found in zip(shape, array.shape)
    ):
        expected = ", ".join("T" if length is None else str(length) for length in shape)
        raise UserError(f"{file} holds no {name} [{expected}].")
    return array


def ready_array(file: Path, kind: PoseKind, n_numbers: int, fps: float) -> Pose:
    """The motion in a .npy file [T, numbers] (any shape of that size), its frames taken as they
    are.

    Keypoint files hold pixels; they are taken relative to the largest y seen, since the picture's
    height is not known.
    """
    values = read_array(file)
    if values.size == 0 or values.size % n_numbers or values.dtype.kind not in "fiu":
        raise UserError(
            f"{file} is {list(values.shape)} {values.dtype}; expected {n_numbers} numbers a frame"
            f" ({kind})."
        )
    frames = values.reshape(-1, n_numbers)
    if kind == "smpl219":
        frames, filled = fill_numbers(frames)
        return Pose(kind, frames.reshape(len(frames), 73, 3).astype(np.float32), fps, 0, filled)
    points = frames.reshape(len(frames), -1, 3)
    return keypoints_pose(kind, points, max(float(np.nanmax(points[..., 1])), 1.0), fps)

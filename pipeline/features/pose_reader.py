"""A clip's motion from whichever source the settings name: seen in its pictures, or annotated
beside it.
"""

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.features import pose_blazepose, pose_movenet, pose_rcnn
from pipeline.features.pose import Pose, as_coco17, at_times, keypoints_pose, resample
from pipeline.features.pose_files import (
    aist_keypoints2d,
    aist_keypoints3d,
    aist_smpl,
    alphapose,
    openpose,
    ready_array,
)
from pipeline.media.video import probe, timed_frames
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.poses import PoseKind, numbers_per_frame
from pipeline.storage.weights import weights_file

Detector = Callable[
    [Iterator[np.ndarray]], np.ndarray
]  # frames [H, W, 3] uint8 of a clip -> joints [T, 17, 3] in pixels
MarkerReader = Callable[
    [np.ndarray], np.ndarray
]  # frames [T, H, W, 3] uint8 -> joints [T, 17, 3] in pixels
MOST_FPS = 50.0  # looked at; of 60 a second every second one
_NETWORKS = ("blazepose", "movenet", "keypoint_rcnn")
SEEN = ("markers", *_NETWORKS)
_KINDS = {
    "openpose": ("body25", "coco17"),
    "aist_smpl": ("smpl219",),
    "array": ("coco17", "body25", "smpl219"),
}
_CHUNK = 64  # frames


class PoseConfig(Section):
    """Where motion comes from, and at what rate it is kept.

    `source`: read from the pictures by coloured `markers` (the toy), by `blazepose`, `movenet` or
    `keypoint_rcnn`; or from the clip's pose_file: an `openpose` folder, an `alphapose` list,
    AIST++'s `aist_keypoints2d`, `aist_keypoints3d`, `aist_smpl`, or a ready `array` (.npy).
    `weights`: a name of `cdcd weights list`, or a path (null where no network is used). `file_fps`:
    the rate of openpose, alphapose (null: the video's) and array files. `least_seen`: a clip in
    which a smaller share of the frames shows a dancer is left out.
    """

    kind: PoseKind
    source: Literal[
        "markers",
        "blazepose",
        "movenet",
        "keypoint_rcnn",
        "openpose",
        "alphapose",
        "aist_keypoints2d",
        "aist_keypoints3d",
        "aist_smpl",
        "array",
    ]
    fps: float = Field(gt=0)
    weights: str | None = None
    file_fps: float | None = None
    least_seen: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> "PoseConfig":
        kinds = _KINDS.get(self.source, ("coco17",))
        if self.kind not in kinds:
            raise ValueError(f"source {self.source} gives {' or '.join(kinds)}, not {self.kind}")
        if self.source in _NETWORKS and self.weights is None:
            raise ValueError(
                f"source {self.source} needs weights (a name of `cdcd weights list`, or a path)"
            )
        if self.source == "array" and self.file_fps is None:
            raise ValueError("source array needs file_fps")
        return self


class PoseReader:
    """Reads the motion of clips; may be used by several threads, each of which gets its own
    BlazePose or MoveNet.
    """

    def __init__(self, config: PoseConfig, markers: MarkerReader | None = None):
        self.config, self._markers, self._own = config, markers, threading.local()
        if config.source in _NETWORKS:
            assert config.weights is not None, "a network has weights"
            self._weights = weights_file(config.weights)
        if config.source == "keypoint_rcnn":
            self._rcnn, self._lock = pose_rcnn.KeypointRcnn(self._weights), threading.Lock()
        if config.source == "markers" and markers is None:
            raise UserError("pose.source is markers, but only toy_dance has them; use blazepose.")

    def ready(self) -> "PoseReader":
        """This reader with its network loaded, if it has one: weights of the wrong kind are told
        once, before the first clip.
        """
        if self.config.source in SEEN:
            self._detector()
        return self

    def read(self, manifest: Manifest, clip: Clip, duration_s: float) -> Pose:
        """The pose of a clip, round(duration_s * fps) frames; raises UserError where there is no
        dancer to see.
        """
        read = self._seen if self.config.source in SEEN else self._annotated
        pose = read(manifest, clip, duration_s)
        seen = 1 - pose.unseen / len(pose.points)
        if seen < self.config.least_seen:
            raise UserError(
                f"{clip.id} has no visible dancer: one was seen in {seen:.0%} of its frames."
            )
        return pose

    def _seen(self, manifest: Manifest, clip: Clip, duration_s: float) -> Pose:
        """The pose in the pictures as they were filmed, at the wanted rate by their own times: what
        is read does not depend on the video's frame rate.
        """
        most_fps, short_side, detector = self._detector()
        frames = timed_frames(
            manifest.file(clip), most_fps, clip.start_s or 0.0, duration_s, short_side
        )
        times: list[float] = []
        size: list[int] = []

        def pictures() -> Iterator[np.ndarray]:
            for time_s, frame in frames:
                times.append(time_s)
                size[:] = [frame.shape[0]]
                yield frame

        joints = detector(pictures())
        fps = self.config.fps
        try:
            pose = keypoints_pose("coco17", joints, size[0], fps)
        except UserError:
            raise UserError(f"{clip.id} has no visible dancer.") from None
        return at_times(pose, np.array(times), np.arange(round(duration_s * fps)) / fps, fps)

    def _detector(self) -> tuple[float, int | None, Detector]:
        """How many frames a second to look at, at most, their short side in pixels, and who
        looks.
        """
        match self.config.source:
            case "markers":
                return MOST_FPS, None, self._read_markers
            case "keypoint_rcnn":
                return self.config.fps, pose_rcnn.SHORT_SIDE, self._read_rcnn
            case _:
                return MOST_FPS, *self._follower()

    def _follower(self) -> tuple[int, Detector]:
        """The short side in pixels and the network, this thread's own, that follow one dancer."""
        module, kind = (
            (pose_blazepose, pose_blazepose.BlazePose)
            if self.config.source == "blazepose"
            else (pose_movenet, pose_movenet.MoveNet)
        )
        if not hasattr(self._own, "follower"):
            self._own.follower = kind(self._weights)
        return module.SHORT_SIDE, self._own.follower

    def _read_markers(self, frames: Iterator[np.ndarray]) -> np.ndarray:
        assert self._markers is not None, "the source markers comes with their reader"
        parts = []
        while chunk := list(islice(frames, _CHUNK)):
            parts.append(self._markers(np.stack(chunk)))
        return np.concatenate(parts)

    def _read_rcnn(self, frames: Iterator[np.ndarray]) -> np.ndarray:
        with self._lock:
            return self._rcnn(frames)

    def _annotated(self, manifest: Manifest, clip: Clip, duration_s: float) -> Pose:
        if not clip.pose_file:
            raise UserError(
                f"{clip.id} has no pose_file in the manifest, but pose.source is"
                f" {self.config.source}."
            )
        file, start_s, config = manifest.root / clip.pose_file, clip.start_s or 0.0, self.config
        match config.source:
            case "aist_smpl":
                return aist_smpl(file, config.fps, start_s, duration_s)
            case "array":
                assert config.file_fps is not None, "an array comes with its rate"
                pose = ready_array(
                    file, config.kind, numbers_per_frame(config.kind), config.file_fps
                )
                if pose.kind == "smpl219":
                    return _cut(pose, config.fps, duration_s, file)
                start_s = 0.0
            case "aist_keypoints2d":
                pose = aist_keypoints2d(file)
            case "aist_keypoints3d":
                pose = aist_keypoints3d(file)
            case _:
                video = probe(manifest.file(clip))
                fps = config.file_fps or video.fps
                if config.source == "openpose":
                    pose = openpose(file, video.height, fps)
                else:
                    pose = alphapose(file, video.height, fps, video.n_frames)
        pose = resample(pose, config.fps, start_s, duration_s)
        return as_coco17(pose) if config.kind == "coco17" else pose


def _cut(pose: Pose, fps: float, duration_s: float, file: Path) -> Pose:
    """The first frames of a motion that cannot be resampled; raises UserError when its rate or
    length is another.
    """
    if pose.fps != fps or len(pose.points) < round(duration_s * fps):
        raise UserError(
            f"{file} holds {len(pose.points)} frames at {pose.fps:g} a second; "
            f"{round(duration_s * fps)} at {fps:g} are wanted (pose.fps)."
        )
    return Pose(pose.kind, pose.points[: round(duration_s * fps)], fps, pose.unseen, pose.filled)

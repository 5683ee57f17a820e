"""A dance as a model is told of it: the motion of a clip, and the conditions of its windows."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from pipeline.datasets.toy_dance import read_markers
from pipeline.features.i3d_source import VisualReader, read_squares
from pipeline.features.pose_reader import SEEN, PoseConfig, PoseReader
from pipeline.generation.settings import Dances
from pipeline.generation.timings import Timings
from pipeline.media.video import probe
from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import Clip, Manifest

LEAST_SECONDS = 0.5
MOST_SECONDS = 600.0
Told = Literal["both", "motion", "visual"]


@dataclass(frozen=True)
class PoseSource:
    """Where the dancer's poses come from: the `name` of a network that looks at the pictures (with
    other `weights` than its own), or of the kind of annotation that `poses` holds (a file, or a
    folder of files named like the videos).
    """

    name: str = "blazepose"
    weights: str | None = None
    poses: Path | None = None


@dataclass(frozen=True)
class Dance:
    """What was read of a whole clip, and by whom: its file, when its pictures begin in it, how long
    they last, the motion [T, numbers] (none where the model is told of the pictures alone), and
    whether it is told of the pictures.
    """

    read_by: "DanceReader"
    video: Path
    start_s: float
    seconds: float
    motion: np.ndarray | None
    has_visual: bool

    def window(self, at_s: float, timings: Timings) -> dict[str, Tensor]:
        """`motion` [1, T, numbers] and `visual` [1, T', numbers], as far as the model is told of
        them, of the window that begins `at_s` seconds into the dance; the last frame stands for
        what lies beyond its end.
        """
        settings, inputs = self.read_by.settings, {}
        if self.motion is not None:
            first, length = (round(s * settings.pose.fps) for s in (at_s, settings.clip_seconds))
            inputs["motion"] = torch.from_numpy(to_length(self.motion[first:], length))[None]
        if self.has_visual:
            inputs["visual"] = torch.from_numpy(self.read_by.features(self, at_s, timings))
        return inputs


class DanceReader:
    """Reads clips for one model."""

    def __init__(
        self, settings: Dances, visual: VisualReader | None, name: str, source: PoseSource
    ):
        self.settings, self.visual, self.name, self.source = settings, visual, name, source

    @cached_property
    def pose(self) -> PoseReader:
        """Who reads the dancer; raises UserError as `pose_reader` does."""
        return pose_reader(self.settings.pose, self.source, self.name)

    def read(self, video: Path, longest_s: float, told: Told, timings: Timings) -> Dance:
        """What the model is told of a clip; raises UserError for one that is no video, too short,
        longer than `longest_s`, or shows nobody.
        """
        info = probe(video)
        seconds = info.duration_s - info.start_s
        if seconds < LEAST_SECONDS:
            raise UserError(
                f"{video} lasts {seconds:.2f} s; a dance of {LEAST_SECONDS:g} s is the least that"
                " can be played to."
            )
        if seconds > longest_s:
            raise UserError(
                f"{video} lasts {seconds:.0f} s, and {longest_s:g} s are the most that are played"
                " unless asked; cut it, or allow more (`--longest`, in Python `longest_s`)."
            )
        if told == "visual":
            return Dance(self, video, info.start_s, seconds, None, has_visual=True)
        poses = None if self.source.poses is None else annotated(self.source.poses, video)
        clip = Clip(
            video.stem, video.name, "infer", info.start_s, seconds, pose_file=poses and str(poses)
        )
        with timings.of(f"reading the dancer ({self.source.name})"):
            pose = self.pose.read(Manifest((clip,), video.parent), clip, seconds)
        return Dance(self, video, info.start_s, seconds, pose.motion(), told == "both")

    def features(self, dance: Dance, at_s: float, timings: Timings) -> np.ndarray:
        """The video features [1, T', numbers] of a window."""
        visual, seconds = self.visual, self.settings.clip_seconds
        assert visual is not None, "refused when the model was opened"
        fps = visual.config.fps
        shown_s = max(1 / fps, min(seconds, dance.seconds - at_s))
        with timings.of("decoding pictures"):
            frames = read_squares(visual.config, dance.video, dance.start_s + at_s, shown_s)
        with timings.of("video features (I3D)"):
            return visual.features(to_length(frames, round(seconds * fps))[None])


def to_length(frames: np.ndarray, length: int) -> np.ndarray:
    """The first `length` frames [T, ...]; the last is repeated where there are fewer."""
    missing = max(0, length - len(frames))
    return np.concatenate([frames[:length], np.repeat(frames[-1:], missing, axis=0)])


def annotated(poses: Path, video: Path) -> Path:
    """The annotation of a video: `poses` itself, or what is called like the video in that folder
    (and the folder itself where it holds one clip's frames); raises UserError where there is none.
    """
    poses = Path(poses).expanduser().absolute()
    if poses.is_file():
        return poses
    named = sorted(poses.glob(f"{video.stem}.*")) + [poses / video.stem]
    found = next((path for path in named if path.exists()), None)
    if found is None and any(poses.glob("*_keypoints.json")):
        return poses
    if found is None:
        raise UserError(
            f"{poses} holds no poses of {video.name}; a file or folder called {video.stem} was"
            " expected."
        )
    return found


def pose_reader(settings: PoseConfig, given: PoseSource, name: str) -> PoseReader:
    """Who reads the dancer of a clip for the model `name`.

    Raises UserError, once, for a reader that does not exist or cannot give the poses of the model,
    for annotated poses that are not given, and for weights of another kind.
    """
    content = settings.model_dump() | {"source": given.name, "weights": given.weights or given.name}
    try:
        config = PoseConfig.model_validate(content)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(
            f"pose {given.name} does not fit the model {name}, which reads {settings.kind} poses:"
            f" {reason}; choose another reader (annotated poses are given with `poses`), or"
            " another model."
        ) from None
    if (config.source in SEEN) == (given.poses is not None):
        raise UserError(
            f"pose {given.name} looks at the pictures and needs no `poses`; leave them out."
            if config.source in SEEN
            else f"pose {given.name} reads annotated poses; give their file or folder as `poses`,"
            f" or use one of {', '.join(SEEN)}."
        )
    return PoseReader(config, read_markers).ready()

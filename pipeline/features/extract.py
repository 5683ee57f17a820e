"""What a dance model is conditioned on: the motion and the I3D sequence of every clip, in
conditions.h5.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import model_validator

from pipeline.features.i3d_source import (
    RGB_WEIGHTS,
    VisualConfig,
    VisualReader,
    open_visual,
)
from pipeline.features.pose import Pose
from pipeline.features.pose_reader import MarkerReader, PoseConfig, PoseReader
from pipeline.features.tracking import Tracking
from pipeline.runtime.arrays import read_array
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, sha256_file
from pipeline.runtime.params import Section
from pipeline.runtime.pieces import Work
from pipeline.runtime.progress import in_batches, in_threads
from pipeline.runtime.run import run_settings
from pipeline.runtime.shards import shards
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import write_store
from pipeline.training.history import write_history


class ExtractDance(Section):
    """Motion and video features of the clips.

    `tracking`: the errors of a reader of poses, laid over joints that markers tell exactly, so that
    a model learns to live with them (null: none).
    """

    pose: PoseConfig
    tracking: Tracking | None = None
    visual: VisualConfig

    @model_validator(mode="after")
    def _fits(self) -> "ExtractDance":
        if self.tracking is not None and self.pose.source != "markers":
            raise ValueError(
                f"tracking is for exact joints, of pose.source markers; {self.pose.source} errs by"
                " itself, so set it to null"
            )
        return self


@dataclass(frozen=True)
class Extracted:
    """One clip's motion [T, numbers] and I3D sequence [T', numbers], and its gaps."""

    motion: np.ndarray
    visual: np.ndarray
    unseen: int
    filled: int


@dataclass(frozen=True)
class Refused:
    """Why there is nothing of a clip, in one sentence."""

    reason: str


@dataclass(frozen=True)
class Readers:
    """What reads motion and pictures (None: all clips bring video features along), the length of
    every clip in seconds, and the errors to be laid over the motion.
    """

    pose: PoseReader
    visual: VisualReader | None
    clip_seconds: float
    tracking: Tracking | None = None


def extract_clips(
    readers: Readers, manifest: Manifest, clips: list[Clip]
) -> list[Extracted | Refused]:
    """The conditions of a handful of clips: decoded by as many threads as there are cores, then one
    batch through I3D.

    A clip that cannot be decoded or shows no dancer is refused with a sentence; the others are
    unharmed.
    """
    visual = readers.visual

    def read(clip: Clip) -> _Read | Refused:
        try:
            pose = readers.pose.read(manifest, clip, readers.clip_seconds)
            if readers.tracking is not None:
                pose = readers.tracking.read(pose, clip.id)
            if clip.visual_file:
                return _Read(pose, ready_features(manifest.root / clip.visual_file), None)
            assert visual is not None, "a clip without features is looked at"
            return _Read(pose, None, visual.frames(manifest, clip, readers.clip_seconds))
        except UserError as mistake:
            return Refused(str(mistake))

    found = list(in_threads(read, clips))
    shown = [one.frames for one in found if not isinstance(one, Refused) and one.frames is not None]
    features = iter(visual.features(np.stack(shown)) if visual is not None and shown else ())
    return [
        one if isinstance(one, Refused) else _extracted(one.pose, one.ready, features)
        for one in found
    ]


class _Read(NamedTuple):
    """What was decoded of a clip: its pose, and its features where it brings them, else frames."""

    pose: Pose
    ready: np.ndarray | None
    frames: np.ndarray | None


def _extracted(pose: Pose, ready: np.ndarray | None, features: Iterator[np.ndarray]) -> Extracted:
    """A clip's conditions; it takes the next of `features` where it brings none of its own."""
    visual = next(features) if ready is None else ready
    return Extracted(pose.motion(), visual, pose.unseen, pose.filled)


def ready_features(file: Path) -> np.ndarray:
    """Video features [T', numbers] float32 that a data set brings along as .npy; raises UserError
    for anything else.
    """
    values = read_array(file)
    if (
        values.dtype.kind != "f"
        or values.ndim == 0
        or not values.size
        or not np.isfinite(values).all()
    ):
        raise UserError(
            f"{file} is {list(values.shape)} {values.dtype}; expected finite video features [steps,"
            " numbers]."
        )
    return values.reshape(-1, values.shape[-1]).astype(np.float32)


def extract_dance(
    config: ExtractDance,
    manifest: Manifest,
    clip_seconds: float,
    path: Path,
    extractor: Path,
    scratch: Path,
    markers: MarkerReader | None = None,
) -> list[tuple[str, str]]:
    """Writes conditions.h5 to `path` and the I3D used, if any, to the folder `extractor`; returns
    the clips left out and why.

    Fields: `motion` [n, T, numbers], `visual` [n, T', numbers], `genre` [n] (-1: none), `unseen`
    and `filled` [n], the gaps counted by `Pose`. Rows are the clips not left out, in manifest
    order. `scratch` keeps what is done when killed.
    """
    with atomic(extractor) as folder:
        folder.mkdir()
        visual, history = None, []
        if any(clip.visual_file is None for clip in manifest.clips):
            visual, history = open_visual(config.visual, manifest, clip_seconds, scratch, folder)
        work = in_batches(list(manifest.clips), run_settings().extract_batch)
        make = partial(_extractor, config, visual, markers, manifest.root, clip_seconds)
        refused = []
        for part in shards(scratch, work, make, "extracting", sets_aside=True):
            refused += _reasons(part)
        skipped = [(clip.id, reason) for clip, reason in zip(manifest.clips, refused) if reason]
        kept = [clip for clip, reason in zip(manifest.clips, refused) if not reason]
        if not kept:
            raise UserError(f"No clip can be used; the first of {len(skipped)}: {skipped[0][1]}")
        parts = shards(scratch, work, make, "writing", sets_aside=True)
        _write(config, manifest, kept, path, folder, parts)
        if history:
            write_history(folder / "history.csv", history)
        with open(folder / "skipped.csv", "w", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows([("clip", "reason"), *skipped])
    return skipped


def _extractor(
    config: ExtractDance,
    visual: VisualReader | None,
    markers: MarkerReader | None,
    root: Path,
    clip_seconds: float,
) -> Work:
    """What turns clips into their conditions, opened in the process that does it."""
    reader = PoseReader(config.pose, markers).ready()
    readers = Readers(reader, visual, clip_seconds, config.tracking)
    return lambda clips: _arrays(extract_clips(readers, Manifest((), root), clips))


def _reasons(part: dict[str, np.ndarray]) -> list[str]:
    """Why each clip of a batch is left out; empty where it is not."""
    reasons = part["refused"].tolist() if "refused" in part else []
    for place in part.get("set_aside", ()):
        reasons.insert(place, "It kills whatever process decodes it; set aside.")
    return reasons


def _arrays(clips: list[Extracted | Refused]) -> dict[str, np.ndarray]:
    """A batch as arrays: the reasons of all its clips, and the rest of those that were not
    refused.
    """
    kept = [clip for clip in clips if isinstance(clip, Extracted)]
    reasons = [clip.reason if isinstance(clip, Refused) else "" for clip in clips]
    arrays = {"refused": np.array(reasons)}
    _expect_size({clip.visual.shape for clip in kept})
    if kept:
        arrays |= {
            "motion": np.stack([clip.motion for clip in kept]),
            "visual": np.stack([clip.visual for clip in kept]),
            "unseen": np.array([clip.unseen for clip in kept], np.int32),
            "filled": np.array([clip.filled for clip in kept], np.int32),
        }
    return arrays


def _expect_size(sizes: set[tuple[int, ...]]) -> None:
    if len(sizes) > 1:
        found = " and ".join(str(size) for size in sorted(sizes))
        raise UserError(
            f"Ready video features differ in size from clip to clip: {found}; they must come from"
            " one extractor."
        )


def _write(
    config: ExtractDance, manifest: Manifest, kept: list[Clip], path: Path, folder: Path, parts
) -> None:
    training = [manifest.clips[row].genre for row in manifest.of("train")]
    genres = sorted({genre for genre in training if genre})
    numbers = {genre: number for number, genre in enumerate(genres)}
    network = folder / RGB_WEIGHTS
    used = {"extractor": "ready features", "flow": None, "weights": None}
    if network.exists():
        used = {
            "extractor": f"i3d {config.visual.weights}",
            "flow": config.visual.flow,
            "weights": sha256_file(network),
        }
    provenance = {
        "task": "dance",
        "inputs": ["motion", "visual", "genre"],
        "pose": config.pose.kind,
        "pose_source": config.pose.source
        + (" misread as by " + ", ".join(config.tracking.readers) if config.tracking else ""),
        "fps": config.pose.fps,
        **used,
        "genres": genres,
    }
    with write_store(path, "conditions", [clip.id for clip in kept], provenance) as store:
        store.field("genre", (), "int64")
        store.write(
            "genre", slice(None), np.array([numbers.get(clip.genre or "", -1) for clip in kept])
        )
        first, size = 0, ()
        for part in parts:
            if "motion" not in part:
                continue
            names = ("motion", "visual", "unseen", "filled")
            if first == 0:
                size = part["visual"].shape[1:]
                for name in names:
                    store.field(name, part[name].shape[1:], part[name].dtype.name)
            _expect_size({part["visual"].shape[1:], size})
            rows = slice(first, first + len(part["motion"]))
            for name in names:
                store.write(name, rows, part[name])
            first = rows.stop

"""A clip's I3D sequence, with weights that were published, trained on the training split, drawn at
random, or given.
"""

from pathlib import Path

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from pipeline.features.flow import flow_input, load_raft, optical_flow
from pipeline.features.i3d import I3D, SHORTEST, rgb_input, windowed_features
from pipeline.features.i3d_training import I3DTraining, random_i3d, train_i3d
from pipeline.media.video import read_frames
from pipeline.runtime.arrays import array_on_disk
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import FrameRate, Section
from pipeline.runtime.progress import in_threads, progress
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.weights import weights_file

RGB_WEIGHTS = "i3d_rgb.safetensors"
_ENLARGED = 256 / 224  # the short side before the centre crop, relative to the crop


class VisualConfig(Section):
    """The I3D sequence of a clip.

    `weights`: `kinetics` (published, full width), `train` (an RGB network of `width`, trained on
    the training split's genres as `training` says), `random` (untrained), or the path of an RGB
    network. `flow`: null for RGB alone, `kinetics` or a path for RGB and flow side by side (2048
    numbers), for which `raft` names RAFT's weights. `fps` frames a second of `size` pixels (224 for
    the published networks) are shown, at most `window` at once.
    """

    weights: str
    flow: str | None = None
    raft: str | None = None
    fps: FrameRate
    size: int = Field(strict=True, ge=32, le=1024)
    width: float = Field(strict=True, gt=0, le=1)
    window: int = Field(strict=True, ge=SHORTEST, le=2**16)
    training: I3DTraining | None = None

    @model_validator(mode="after")
    def _fits(self) -> "VisualConfig":
        if self.weights in ("train", "random") and self.training is None:
            raise ValueError(
                f"weights {self.weights} needs training (random takes its seed from there)"
            )
        if (self.flow is None) != (self.raft is None):
            raise ValueError("flow and raft go together: give both or neither")
        return self


class VisualReader:
    """Reads the pictures of clips and gives their I3D features."""

    def __init__(self, config: VisualConfig, rgb: I3D):
        self.config, self.rgb = config, rgb.to(device())
        self.flow = None
        if config.flow is not None and config.raft is not None:
            self.flow = _load(config.flow, "i3d_flow", 2).to(device())
            self.raft = load_raft(weights_file(config.raft)).to(device())

    @property
    def numbers(self) -> int:
        """How many numbers a step of the sequence holds."""
        return self.rgb.out_width + (self.flow.out_width if self.flow else 0)

    def frames(self, manifest: Manifest, clip: Clip, duration_s: float) -> np.ndarray:
        """The pictures of a clip [T, size, size, 3] uint8 at `fps`: short side scaled, centre
        cropped.
        """
        return read_squares(self.config, manifest.file(clip), clip.start_s or 0.0, duration_s)

    def features(self, frames: np.ndarray) -> np.ndarray:
        """The sequences [B, T', numbers] float32 of pictures [B, T, size, size, 3] uint8."""
        clips = torch.from_numpy(frames).to(device())
        rgb = rgb_input(clips)
        parts = [windowed_features(self.rgb, rgb, self.config.window)]
        if self.flow is not None:
            flow = torch.stack([_flow_clip(self.raft, clip) for clip in rgb])
            parts.append(windowed_features(self.flow, flow, self.config.window))
        return torch.cat(parts, dim=-1).cpu().numpy()


def read_squares(config: VisualConfig, file: Path, start_s: float, duration_s: float) -> np.ndarray:
    """The pictures of a stretch of a video [T, size, size, 3] uint8, as I3D is shown them."""
    frames = read_frames(
        file, config.fps, start_s, duration_s, short_side=round(config.size * _ENLARGED)
    )
    size = config.size
    return np.stack([_middle(frame, size) for frame in frames])


def _middle(frame: np.ndarray, size: int) -> np.ndarray:
    top, left = (frame.shape[0] - size) // 2, (frame.shape[1] - size) // 2
    return frame[top : top + size, left : left + size]


def _flow_clip(raft: torch.nn.Module, clip: Tensor) -> Tensor:
    """The flow I3D's input [2, T, H, W] for a clip [3, T, H, W]; the last flow stands twice, so
    that T stays.
    """
    flow = flow_input(optical_flow(raft, clip.transpose(0, 1)))
    return torch.cat([flow, flow[-1:]]).transpose(0, 1)


def open_visual(
    config: VisualConfig, manifest: Manifest, duration_s: float, scratch: Path, folder: Path
) -> tuple[VisualReader, list[dict]]:
    """The reader and, where the network was trained here, its history; the RGB weights are written
    to `folder`.

    Raises UserError where the published weights are missing or the training split has no genres.
    """
    history = []
    match config.weights:
        case "train":
            network, history = _train(config, manifest, duration_s, scratch)
        case "random":
            network = random_i3d(3, config.width, _training(config).seed)
        case name:
            network = _load(name, "i3d_rgb", 3)
    network.save(folder / RGB_WEIGHTS, weights=config.weights)
    return VisualReader(config, network), history


def _training(config: VisualConfig) -> I3DTraining:
    assert config.training is not None, "weights train and random come with training"
    return config.training


def _load(name: str, published: str, channels: int) -> I3D:
    path = weights_file(published if name == "kinetics" else name)
    network = I3D.load(path)
    if network.channels != channels:
        raise UserError(
            f"{path} reads {network.channels} channels; {channels} (of the {published} weights) are"
            " wanted."
        )
    return network


def _train(
    config: VisualConfig, manifest: Manifest, duration_s: float, scratch: Path
) -> tuple[I3D, list[dict]]:
    """The network trained on the clips of the training split that have a genre and can be
    decoded.
    """
    clips = [manifest.clips[row] for row in manifest.of("train") if manifest.clips[row].genre]
    shape = (len(clips), round(duration_s * config.fps), config.size, config.size, 3)
    store, done = (
        array_on_disk(scratch / "frames.npy", shape, np.uint8),
        array_on_disk(scratch / "frames_done.npy", (len(clips),), np.uint8),
    )

    def read(row: int) -> None:
        if not done[row]:
            try:
                store[row] = read_squares(
                    config, manifest.file(clips[row]), clips[row].start_s or 0.0, duration_s
                )
                done[row] = 1
            except UserError:
                done[row] = 2  # the extraction itself will tell why

    for _ in progress(in_threads(read, range(len(clips))), "pictures for I3D", len(clips)):
        pass
    usable = np.flatnonzero(done == 1)
    genres = [clips[row].genre or "" for row in usable]
    return train_i3d(_Rows(store, usable), genres, config.width, _training(config), scratch)


class _Rows:
    """Some rows of an array on disk, each read when it is asked for."""

    def __init__(self, array: np.ndarray, rows: np.ndarray):
        self.array, self.rows = array, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> np.ndarray:
        return self.array[self.rows[number]]

"""Training a narrow I3D to tell the genres of a training split apart: features without any
published weights.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from pipeline.features.i3d import I3D, SHORTEST, rgb_input
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Count, Rate, Section, Seed
from pipeline.runtime.seeds import numpy_generator, torch_generator
from pipeline.training.engine import Outcome, Plan, fit
from pipeline.training.optimiser import Descent

_CALIBRATION = 16  # batches from which the batch norms take their statistics
_CROP = 7 / 8


@runtime_checkable
class Clips(Protocol):
    """Clips [T, H, W, 3] uint8 by their number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> np.ndarray: ...


class I3DTraining(Section):
    """Adam with a half-cosine learning rate over `steps` batches of windows of `frames` frames."""

    steps: Count
    batch_size: int = Field(strict=True, ge=2, le=2**16)
    frames: int = Field(strict=True, ge=SHORTEST, le=2**16)
    learning_rate: Rate
    seed: Seed


class GenreTask(nn.Module):
    """A network that tells genres apart; its forward pass is a training step."""

    def __init__(self, network: I3D):
        super().__init__()
        self.network = network

    def forward(self, batch: tuple[Tensor, Tensor], step: int) -> Outcome:
        """The cross-entropy of clips [B, frames, side, side, 3] uint8 and their labels [B]."""
        clip, label = batch
        scores = self.network(rgb_input(clip))
        loss = F.cross_entropy(scores, label, label_smoothing=0.1)
        return Outcome(loss, {"accuracy": (scores.argmax(1) == label).float().mean()})


def train_i3d(
    clips: Clips,
    genres: Sequence[str],
    width: float,
    config: I3DTraining,
    scratch: Path | None = None,
) -> tuple[I3D, list[dict]]:
    """The trained RGB network and its history (step, loss, accuracy), from clips [T, H, W, 3] uint8
    and their genres.

    Each step draws its clips, windows, crops and mirrorings from (seed, step); with a `scratch`
    folder a killed run goes on from its last checkpoint to the same weights. Raises UserError where
    there are fewer than two genres.
    """
    classes = sorted(set(genres))
    if len(classes) < 2:
        raise UserError(
            f"I3D cannot be trained on {classes or 'no genre'}: two genres or more are needed; use"
            " other weights."
        )
    labels = torch.tensor([classes.index(genre) for genre in genres])
    network = _fresh(len(classes), width, config.seed)
    plan = Plan(
        "training I3D",
        config.steps,
        config.batch_size,
        Descent(config.learning_rate, "cosine"),
        {"training": config.model_dump(mode="json"), "width": width, "classes": classes},
        ("features",),
    )
    history = fit(
        GenreTask(network), lambda step: _batch(clips, labels, config, step), plan, scratch
    )
    batches = range(config.steps, config.steps + _CALIBRATION)
    update_bn(
        (rgb_input(_batch(clips, labels, config, step)[0].to(device())) for step in batches),
        network,
    )
    return network.cpu().eval().requires_grad_(False), history


def random_i3d(channels: int, width: float, seed: int) -> I3D:
    """An untrained network, the same for the same seed: features by name only, and the report says
    so.
    """
    return _fresh(400, width, seed, channels).eval().requires_grad_(False)


def _fresh(classes: int, width: float, seed: int, channels: int = 3) -> I3D:
    """A network whose initial weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_generator(seed, "i3d").initial_seed())
        return I3D(channels, classes, width)


def _batch(clips: Clips, labels: Tensor, config: I3DTraining, step: int) -> tuple[Tensor, Tensor]:
    """The clips [B, frames, side, side, 3] uint8 and labels [B] of one step: a window, a crop and a
    mirroring each.
    """
    generator = numpy_generator(config.seed, step)
    rows = generator.integers(0, len(labels), config.batch_size)
    drawn = np.stack([_window(np.asarray(clips[row]), config.frames, generator) for row in rows])
    return torch.from_numpy(drawn), labels[rows]


def _window(clip: np.ndarray, frames: int, generator: np.random.Generator) -> np.ndarray:
    """A stretch of `frames` frames, or the whole of a shorter clip and its last frame, cropped and
    perhaps mirrored.
    """
    side = round(min(clip.shape[1:3]) * _CROP)
    start = generator.integers(0, max(1, len(clip) - frames + 1))
    top, left = (generator.integers(0, length - side + 1) for length in clip.shape[1:3])
    times = np.minimum(np.arange(start, start + frames), len(clip) - 1)
    window = clip[times, top : top + side, left : left + side]
    return window[:, :, ::-1] if generator.random() < 0.5 else window

"""Training a narrow I3D to tell the genres of a training split apart: features without any
published weights.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from pipeline.features.i3d import I3D, rgb_input
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator, torch_generator

_CHECKPOINT_EVERY = 50  # steps
_CALIBRATION = 16  # batches from which the batch norms take their statistics
_CROP = 7 / 8


class I3DTraining(Section):
    """Adam with a half-cosine learning rate over `steps` batches of windows of `frames` frames."""

    steps: int
    batch_size: int
    frames: int
    learning_rate: float
    seed: int


def train_i3d(
    clips: Sequence[np.ndarray],
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
    network = _fresh(len(classes), width, config.seed).to(device())
    optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    checkpoint = scratch / "i3d.pt" if scratch else None
    state = {"network": network, "optimiser": optimiser, "schedule": schedule}
    first, history = _resume(checkpoint, state)
    network.train()
    for step in progress(range(first, config.steps), "training I3D"):
        clip, label = _batch(clips, labels, config, step)
        scores = network(clip)
        loss = F.cross_entropy(scores, label, label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        accuracy = (scores.argmax(1) == label).float().mean()
        history.append({"step": step + 1, "loss": loss.item(), "accuracy": accuracy.item()})
        if checkpoint and (step + 1) % _CHECKPOINT_EVERY == 0:
            _save(checkpoint, state, history)
    batches = range(config.steps, config.steps + _CALIBRATION)
    update_bn((_batch(clips, labels, config, step)[0] for step in batches), network)
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


def _batch(
    clips: Sequence[np.ndarray], labels: Tensor, config: I3DTraining, step: int
) -> tuple[Tensor, Tensor]:
    """The clips [B, 3, frames, side, side] in [-1, 1] and labels [B] of one step: a window, a crop
    and a mirroring each.
    """
    generator = numpy_generator(config.seed, step)
    rows = generator.integers(0, len(labels), config.batch_size)
    drawn = np.stack([_window(np.asarray(clips[row]), config.frames, generator) for row in rows])
    return rgb_input(torch.from_numpy(drawn).to(device())), labels[rows].to(device())


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


def _save(checkpoint: Path, state: dict, history: list[dict]) -> None:
    with atomic(checkpoint) as temporary:
        torch.save(
            {name: part.state_dict() for name, part in state.items()} | {"history": history},
            temporary,
        )


def _resume(checkpoint: Path | None, state: dict) -> tuple[int, list[dict]]:
    """The step to begin with and the history so far, after putting back what a checkpoint holds."""
    if checkpoint is None or not checkpoint.exists():
        return 0, []
    saved = torch.load(checkpoint, map_location=device(), weights_only=True)
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return len(saved["history"]), saved["history"]

"""musicnn (Pons and Serra 2019), a convolutional tagger of music, as an embedding: its penultimate
layer, from the TensorFlow checkpoint in the package of that name (`MTT_musicnn` or `MSD_musicnn`
of musicnn 0.1.0, ISC licence).

The layers follow the published graph. That they are the same is seen, up to the dense layers, in
the running means of its normalisations, which music reproduces layer by layer (correlations of 0.86
to 1.00), and of the dense layers in their tags (tests).
"""

from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.runtime.errors import UserError
from pipeline.storage.tf_checkpoint import read_checkpoint

SAMPLE_RATE, N_FFT, HOP, N_MELS = 16000, 512, 256, 96
WINDOW_FRAMES = 187  # three seconds, as in training
EPSILON = 1e-3
TIMBRAL, TEMPORAL, MIDDLE = 2, 3, 3


class Norm(nn.Module):
    """TensorFlow's batch normalisation at inference, over dimension 1."""

    def __init__(self, tensors: dict[str, np.ndarray], name: str):
        super().__init__()
        gamma, beta, mean, variance = (
            tensors[f"{name}/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        self.scale, self.shift = _tensor(scale), _tensor(beta - mean * scale)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [B, C, ...] normalised."""
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return x * self.scale.view(shape) + self.shift.view(shape)


class Musicnn(nn.Module):
    """Audio to 200 numbers; `weights` is a folder with a checkpoint's `.index` and
    `.data-00000-of-00001`.
    """

    def __init__(self, weights: Path):
        super().__init__()
        tensors = read_checkpoint(f"{Path(weights)}/")
        try:
            self._build(tensors)
        except KeyError as error:
            raise UserError(
                f"{weights} is not a checkpoint of musicnn: it has no tensor {error}."
            ) from None
        self.eval().requires_grad_(False)

    def _build(self, tensors: dict[str, np.ndarray]) -> None:
        """Layers in the order in which the published graph made them."""
        n = TIMBRAL + TEMPORAL + MIDDLE
        norms = [f"batch_normalization{_nth(i)}" for i in range(n + 3)]
        self.norms = nn.ModuleList(Norm(tensors, name) for name in norms)
        kernels = [tensors[f"conv2d{_nth(i)}/kernel"] for i in range(n)]
        self.kernels = [_tensor(kernel.transpose(3, 2, 0, 1)) for kernel in kernels]
        self.biases = [_tensor(tensors[f"conv2d{_nth(i)}/bias"]) for i in range(n)]
        self.dense = [
            (_tensor(tensors[f"{name}/kernel"].T), _tensor(tensors[f"{name}/bias"]))
            for name in ("dense", "dense_1")
        ]

    def tags(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(penultimate features [B, 200], tag probabilities [B, tags]) of log-mel [B, T, 96]."""
        x = self.norms[0](x[:, None])
        front = []
        for i in range(TIMBRAL + TEMPORAL):
            height = self.kernels[i].shape[2]
            before = (height - 1) // 2
            padded = F.pad(x, (0, 0, before, height - 1 - before))
            y = self.norms[i + 1](F.conv2d(padded, self.kernels[i], self.biases[i]).relu())
            front.append(y.amax(dim=3))
        features = [torch.cat(front, dim=1)]
        for i in range(TIMBRAL + TEMPORAL, len(self.kernels)):
            kernel = self.kernels[i].squeeze(1).transpose(1, 2)
            y = self.norms[i + 1](F.conv1d(features[-1], kernel, self.biases[i], padding=3).relu())
            features.append(y if len(features) == 1 else y + features[-1])
        every = torch.cat(features, dim=1)
        pooled = torch.stack([every.amax(dim=2), every.mean(dim=2)], dim=2).flatten(1)
        hidden = self.norms[-1](F.linear(self.norms[-2](pooled), *self.dense[0]).relu())
        return hidden, F.linear(hidden, *self.dense[1]).sigmoid()

    @torch.inference_mode()
    def forward(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """The mean over windows of three seconds of the penultimate layer, [200], of a clip [T]; a
        shorter clip is one window of its own length.
        """
        return self.tags(windows(audio, sample_rate))[0].mean(dim=0).numpy()


def windows(audio: np.ndarray, sample_rate: int) -> Tensor:
    """Log-mel windows [B, T, 96] of a clip [T], one after the other; what is left over at the end
    is left out.
    """
    audio = np.asarray(audio, dtype=np.float32).reshape(-1)
    if sample_rate != SAMPLE_RATE:
        audio = librosa.resample(audio, orig_sr=sample_rate, target_sr=SAMPLE_RATE)
    audio = np.pad(audio, (0, max(0, SAMPLE_RATE - len(audio))))
    mel = librosa.feature.melspectrogram(
        y=audio, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS
    ).T
    frames = np.log10(10000 * mel + 1)
    length = min(WINDOW_FRAMES, len(frames))
    count = len(frames) // length
    return torch.from_numpy(frames[: count * length].reshape(count, length, N_MELS)).float()


def _nth(number: int) -> str:
    return f"_{number}" if number else ""


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

"""What a transform codec is trained on: the magnitudes of its frames, bin by bin, as a whole and in
mel bands, and commitment.

No waveform is made in training, so a step costs little more than the network.
"""

from typing import Literal

import librosa
import torch
from torch import Tensor, nn

from pipeline.codecs.bottlenecks import Averages, EMACodebook
from pipeline.codecs.training import Batches, Losses
from pipeline.codecs.transform import TransformCodec
from pipeline.codecs.transform_layers import QUIETEST
from pipeline.runtime.params import Section
from pipeline.runtime.seeds import torch_generator

MEL_BANDS = 64
MEL_KNEE_HZ = 700.0  # of the mel scale: bins weigh as 1 / (knee + frequency)


class TransformObjective(Section):
    """Weights of the terms.

    `levels` weighs the mean distance of log magnitudes, each bin by its width on the mel scale,
    `relative` the norm of the difference of magnitudes over the norm of the true ones, `mel` the
    mean distance of log mel spectrograms.
    """

    kind: Literal["transform"]
    levels: float = 1.0
    relative: float = 1.0
    mel: float = 1.0
    commitment: float = 0.25
    codebook: Averages = Averages(decay=0.99, revive_below=0.08)


class TransformLearner(nn.Module):
    """A codec together with its losses."""

    bands: Tensor
    importance: Tensor

    def __init__(
        self, codec: TransformCodec, settings: TransformObjective, keep_codebook: bool = False
    ):
        """With `keep_codebook` (going on from trained weights) the codewords stay where they are at
        the start.
        """
        super().__init__()
        self.codec, self.settings, self.keep_codebook = codec, settings, keep_codebook
        codec.requires_grad_(True)
        self.bottleneck = EMACodebook(codec.quantiser, settings.codebook)
        rate, size = codec.sample_rate, codec.frames.size
        if settings.mel:
            bands = librosa.filters.mel(sr=rate, n_fft=size, n_mels=MEL_BANDS)
            self.register_buffer("bands", torch.from_numpy(bands).T.contiguous(), persistent=False)
        importance = 1 / (MEL_KNEE_HZ + torch.arange(codec.frames.bins) * rate / size)
        self.register_buffer("importance", importance / importance.mean(), persistent=False)

    @torch.no_grad()
    def start(self, batches: Batches, batch_size: int, seed: int) -> None:
        """Measures the levels and places the codewords on the first batches."""
        device = self.importance.device
        sounds = torch.cat([batches(index, batch_size).to(device) for index in range(4)])
        if not self.keep_codebook:
            self.codec.adapt(sounds)
            self.bottleneck.start(
                self.codec.latent(self.codec.magnitudes(sounds)),
                torch_generator(seed, "codebook", device=device),
            )

    def forward(self, waveform: Tensor, step: int, generator: torch.Generator) -> Losses:
        """The losses for waveforms [B, T]; T is best a multiple of the hop."""
        s, codec = self.settings, self.codec
        with torch.autocast(waveform.device.type, enabled=False):
            target = codec.magnitudes(waveform.float())
        quantised = self.bottleneck(codec.latent(target), step, generator)
        levels = codec.spectrum(quantised.latent)
        with torch.autocast(waveform.device.type, enabled=False):
            output = levels.exp()
            terms = {
                "levels": ((levels - target.log()).abs() * self.importance).mean(),
                "relative": relative_distance(output, target),
                "commitment": quantised.loss * codec.architecture.dimension,
            }
            if s.mel:
                terms["mel"] = mel_distance(output, target, self.bands)
        zero = torch.zeros((), device=waveform.device)
        total = sum((getattr(s, name) * term for name, term in terms.items()), start=zero)
        return Losses(total, terms, quantised.codes)


def relative_distance(output: Tensor, target: Tensor) -> Tensor:
    """The norm of the difference of magnitudes [B, L, bins] over the target's, mean of the rows."""
    norms = target.flatten(1).norm(dim=1).clamp_min(1e-3)
    return ((output - target).flatten(1).norm(dim=1) / norms).mean()


def mel_distance(output: Tensor, target: Tensor, bands: Tensor) -> Tensor:
    """The mean distance of log mel spectrograms of magnitudes [B, L, bins]; bands [bins, mels]."""
    a, b = ((sound.square() @ bands + QUIETEST**2).log() / 2 for sound in (output, target))
    return (a - b).abs().mean()

"""What a transform codec is trained on: spectra at several resolutions, a mel spectrogram, the
waveform itself, and commitment.
"""

from typing import Annotated, Literal

import librosa
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.codecs.bottlenecks import Averages, EMACodebook
from pipeline.codecs.training import Batches, Losses
from pipeline.codecs.transform import TransformCodec
from pipeline.codecs.transform_layers import QUIETEST, polar
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section, Weight, Width
from pipeline.runtime.seeds import torch_generator

MEL_WINDOW, MEL_BANDS = 1024, 64
Window = Annotated[int, Field(strict=True, ge=16, le=2**16, multiple_of=4)]


class TransformObjective(Section):
    """Weights of the terms; of the windows (n_fft in samples) `windows_per_step` are drawn each
    step, for short-time transforms are what a step costs.

    `spectral` weighs the relative distance of magnitudes plus the mean distance of their
    logarithms, `frame` the latter for the magnitudes that the decoder gives before frames are
    overlapped, `mel` the mean distance of log mel spectrograms, `l2` the squared error over the
    sound's variance.
    """

    kind: Literal["transform"]
    windows: tuple[Window, ...] = Field(default=(2048, 1024, 512, 256), min_length=1)
    windows_per_step: Width = 1
    spectral: Weight = 1.0
    frame: Weight = 0.0
    mel: Weight = 1.0
    l2: Weight = 0.5
    commitment: Weight = 0.25
    codebook: Averages = Averages(decay=0.97, revive_below=0.15)


class TransformLearner(nn.Module):
    """A codec together with its losses."""

    bands: Tensor
    variance: Tensor

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
        bands = librosa.filters.mel(sr=codec.sample_rate, n_fft=MEL_WINDOW, n_mels=MEL_BANDS)
        self.register_buffer("bands", torch.from_numpy(bands).T.contiguous(), persistent=False)
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def start(self, batches: Batches, batch_size: int, seed: int) -> None:
        """Measures the loudness and places the codewords on the first batches."""
        device = self.variance.device
        sounds = torch.cat([batches(index, batch_size).to(device) for index in range(4)])
        longest = max(*self.settings.windows, MEL_WINDOW if self.settings.mel else 0)
        if sounds.shape[1] < longest:
            raise UserError(
                f"codec.crop is {sounds.shape[1]} samples; a window of codec.objective takes"
                f" {longest}, so that is the least."
            )
        self.variance.copy_(sounds.var().clamp_min(1e-8))
        if not self.keep_codebook:
            self.codec.adapt(sounds)
            self.bottleneck.start(
                self.codec.latent(sounds), torch_generator(seed, "codebook", device=device)
            )

    def forward(self, waveform: Tensor, step: int, generator: torch.Generator) -> Losses:
        """The losses for waveforms [B, T]; T is best a multiple of the hop."""
        s, codec = self.settings, self.codec
        quantised = self.bottleneck(codec.latent(waveform), step, generator)
        log_magnitude, phase = codec.spectrum(quantised.latent)
        with torch.autocast(waveform.device.type, enabled=False):
            output = codec.frames.inverse(polar(log_magnitude, phase))[:, : waveform.shape[1]]
            target = waveform.float()
            order = torch.randperm(len(s.windows), generator=generator, device=generator.device)
            windows = [s.windows[index] for index in order[: s.windows_per_step].tolist()]
            zero = torch.zeros((), device=waveform.device)
            spectral = sum((spectral_distance(output, target, n) for n in windows), start=zero)
            terms = {
                "spectral": spectral / len(windows),
                "l2": F.mse_loss(output, target) / self.variance,
                "commitment": quantised.loss * codec.architecture.dimension,
            }
            if s.mel:
                terms["mel"] = self._mel_distance(output, target)
            if s.frame:
                pad = (0, -target.shape[1] % codec.hop)
                true = codec.frames(F.pad(target, pad)).abs()
                terms["frame"] = (log_magnitude - true.clamp_min(QUIETEST).log()).abs().mean()
        total = sum((getattr(s, name) * term for name, term in terms.items()), start=zero)
        return Losses(total, terms, quantised.codes)

    def _mel_distance(self, output: Tensor, target: Tensor) -> Tensor:
        a, b = (
            (magnitudes(sound, MEL_WINDOW).square() @ self.bands + QUIETEST**2).log() / 2
            for sound in (output, target)
        )
        return (a - b).abs().mean()


def spectral_distance(output: Tensor, target: Tensor, n_fft: int) -> Tensor:
    """The norm of the difference of magnitudes over the target's, plus the mean distance of their
    logarithms.
    """
    a, b = magnitudes(output, n_fft), magnitudes(target, n_fft)
    norms = b.flatten(1).norm(dim=1).clamp_min(1e-3)
    relative = (a - b).flatten(1).norm(dim=1) / norms
    return relative.mean() + (a.log() - b.log()).abs().mean()


def magnitudes(waveform: Tensor, n_fft: int) -> Tensor:
    """Magnitudes [B, frames, bins], at least `QUIETEST`, of frames that overlap by three quarters
    and lie wholly inside waveforms [B, T].
    """
    window = torch.hann_window(n_fft, device=waveform.device)
    frames = torch.fft.rfft(waveform.unfold(1, n_fft, n_fft // 4) * window) * (4 / n_fft)
    return (torch.view_as_real(frames).square().sum(3) + QUIETEST**2).sqrt()

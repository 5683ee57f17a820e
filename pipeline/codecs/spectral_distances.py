"""Distances between magnitude spectra at several resolutions: the part of Jukebox's objective that
the ear notices.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.runtime.params import Section, Width

JUKEBOX_RESOLUTIONS = ((2048, 240, 1200), (1024, 120, 600), (512, 50, 240))


class Spectra(Section):
    """Resolutions as (n_fft, hop, window) in samples, and what is compared: magnitudes (the
    original), where the loud decides, logarithms, where the quiet counts as much, or both.
    """

    resolutions: tuple[tuple[Width, Width, Width], ...] = Field(min_length=1)
    scale: Literal["magnitude", "log", "both"]


class SpectralDistance(nn.Module):
    """The mean over resolutions of ||S(x) - S(y)||_2 per example over a given norm, of the mean
    |log S(x) - log S(y)|, or of their sum.
    """

    def __init__(self, settings: Spectra):
        super().__init__()
        self.settings = settings
        for index, (_, _, window) in enumerate(settings.resolutions):
            self.register_buffer(f"window_{index}", torch.hann_window(window), persistent=False)

    def spectra(self, waveform: Tensor) -> list[Tensor]:
        """Magnitude spectrograms [B, bins, frames] of waveforms [B, T], one a resolution."""
        return [
            magnitude(waveform, n_fft, hop, getattr(self, f"window_{index}"))
            for index, (n_fft, hop, _) in enumerate(self.settings.resolutions)
        ]

    def norm(self, waveform: Tensor) -> Tensor:
        """The mean norm of the magnitude spectra: what makes the magnitude distance independent of
        loudness.
        """
        return torch.stack(
            [spectrum.flatten(1).norm(dim=1).mean() for spectrum in self.spectra(waveform)]
        ).mean()

    def forward(self, waveform: Tensor, target: Tensor, norm: Tensor | float = 1.0) -> Tensor:
        """The distance between waveforms [B, T] and targets [B, T], a scalar."""
        distances = []
        for a, b in zip(self.spectra(waveform), self.spectra(target)):
            if self.settings.scale != "log":
                distances.append((a - b).flatten(1).norm(dim=1).mean() / norm)
            if self.settings.scale != "magnitude":
                distances.append((a.clamp_min(1e-5).log() - b.clamp_min(1e-5).log()).abs().mean())
        return torch.stack(distances).sum() / len(self.settings.resolutions)


def magnitude(waveform: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """The magnitude spectrogram [B, n_fft // 2 + 1, frames] of waveforms [B, T], with a gradient at
    silence too.
    """
    stft = torch.stft(
        waveform,
        n_fft,
        hop,
        window.numel(),
        window,
        center=True,
        pad_mode="constant",
        return_complex=True,
        normalized=False,
    )
    return (stft.real.square() + stft.imag.square() + 1e-12).sqrt()

"""What a VQ-VAE for sound is trained on: Jukebox's objective (section 3.2 of the paper and its
released settings).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.codecs.bottlenecks import Averages, EMACodebook
from pipeline.codecs.jukebox import JukeboxVQVAE
from pipeline.codecs.spectral_distances import Spectra, SpectralDistance
from pipeline.codecs.training import Batches, Losses
from pipeline.runtime.params import Count, Section, Weight
from pipeline.runtime.seeds import torch_generator


class JukeboxObjective(Section):
    """Weights of the terms. Jukebox: l2 1, linf 0.02 over the 2048 worst samples, spectral 1
    (magnitude), commitment 0.02.
    """

    kind: Literal["jukebox"] = "jukebox"
    l2: Weight = 1.0
    linf: Weight = 0.02
    linf_samples: Count = 2048
    spectral: Weight = 1.0
    spectra: Spectra
    commitment: Weight = 0.02
    codebook: Averages


class JukeboxLearner(nn.Module):
    """A codec together with its losses; only the level in use learns.

    The l2 and linf terms are divided by the variance of the sound, magnitude spectra by their mean
    norm, both measured once on the first batches, so that the weights mean the same for quiet and
    for loud music.
    """

    variance: Tensor
    spectral_norm: Tensor

    def __init__(
        self, codec: JukeboxVQVAE, settings: JukeboxObjective, keep_codebook: bool = False
    ):
        """With `keep_codebook` (fine-tuning published weights) the codewords stay where they are at
        the start.
        """
        super().__init__()
        self.codec, self.settings, self.keep_codebook = codec, settings, keep_codebook
        codec.requires_grad_(False)
        codec.encoder.requires_grad_(True)
        codec.decoder.requires_grad_(True)
        self.bottleneck = EMACodebook(codec.quantiser, settings.codebook)
        self.distance = SpectralDistance(settings.spectra)
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("spectral_norm", torch.ones(()))

    @torch.no_grad()
    def start(self, batches: Batches, batch_size: int, seed: int) -> None:
        """Measures the loudness and places the codewords on the first batches."""
        device = self.variance.device
        sounds = torch.cat([batches(index, batch_size).to(device) for index in range(4)])
        self.variance.copy_(sounds.var().clamp_min(1e-8))
        self.spectral_norm.copy_(self.distance.norm(sounds).clamp_min(1e-8))
        if not self.keep_codebook:
            self.bottleneck.start(
                self.codec.latent(sounds), torch_generator(seed, "codebook", device=device)
            )

    def forward(self, waveform: Tensor, step: int, generator: torch.Generator) -> Losses:
        """The losses for waveforms [B, T]; T is best a multiple of the hop."""
        s = self.settings
        quantised = self.bottleneck(self.codec.latent(waveform), step, generator)
        output = self.codec.synthesise(quantised.latent).float()
        target = waveform[:, : output.shape[1]].float()
        with torch.autocast(waveform.device.type, enabled=False):
            squares = (output - target).square()
            worst = squares.topk(min(s.linf_samples, squares.shape[1]), dim=1).values
            terms = {
                "l2": squares.mean() / self.variance,
                "linf": worst.mean() / self.variance,
                "spectral": self.distance(output, target, self.spectral_norm),
                "commitment": quantised.loss,
            }
        weights = {"l2": s.l2, "linf": s.linf, "spectral": s.spectral, "commitment": s.commitment}
        total = torch.zeros((), device=waveform.device)
        for name, term in terms.items():
            total = total + weights[name] * term
        return Losses(total, terms, quantised.codes)

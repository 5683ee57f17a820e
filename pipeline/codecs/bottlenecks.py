"""How codebooks learn: by moving averages with revival of dead codes, or through the Gumbel-softmax
relaxation.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.codecs.quantisers import (
    Codebook,
    GumbelQuantiser,
    NearestQuantiser,
    as_latent,
    as_rows,
    gumbel_noise,
)
from pipeline.runtime.params import Count, Decay, Positive, Section, Weight


@dataclass(frozen=True)
class Quantised:
    """A quantised latent [B, D, ...] through which gradients pass, its codes [N], and the loss of
    the bottleneck.
    """

    latent: Tensor
    codes: Tensor
    loss: Tensor


class Averages(Section):
    """A codebook that follows the mean of the vectors assigned to each code (van den Oord et al.,
    2017, appendix A.1).

    A code whose average number of vectors a step falls below `revive_below` is dead and restarts at
    a vector of the batch.
    """

    decay: Decay
    revive_below: Weight = 0.5


class EMACodebook(nn.Module):
    """Trains the table of a nearest-codeword quantiser; its own state is what a resumed training
    needs besides the table.
    """

    sums: Tensor
    counts: Tensor

    def __init__(self, quantiser: Codebook | NearestQuantiser, settings: Averages):
        super().__init__()
        self.quantiser, self.settings = quantiser, settings
        self.register_buffer("sums", quantiser.table.detach().clone())
        self.register_buffer(
            "counts", torch.ones(len(quantiser.table), device=quantiser.table.device)
        )

    @torch.no_grad()
    def start(self, latent: Tensor, generator: torch.Generator) -> None:
        """Places the codewords on vectors of a first batch of latents."""
        vectors = _drawn(as_rows(latent.float()), len(self.counts), generator)
        self.quantiser.table.copy_(vectors)
        self.sums.copy_(vectors)
        self.counts.fill_(1.0)

    def forward(self, latent: Tensor, step: int, generator: torch.Generator) -> Quantised:
        """Quantises to the nearest codewords, straight-through, then moves the codewords; the loss
        draws latents to them.
        """
        rows = as_rows(latent.float())
        with torch.no_grad():
            codes = self.quantiser.codes(rows)
            vectors = self.quantiser.vectors(codes).clone()
            self._follow(rows, codes, generator)
        commitment = (rows - vectors).square().mean()
        return Quantised(as_latent(rows + (vectors - rows).detach(), latent), codes, commitment)

    def _follow(self, rows: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        decay = self.settings.decay
        self.counts.mul_(decay).add_(
            torch.bincount(codes, minlength=len(self.counts)), alpha=1 - decay
        )
        self.sums.mul_(decay).index_add_(0, codes, rows, alpha=1 - decay)
        dead = self.counts < self.settings.revive_below
        if dead.any():
            self.sums[dead] = _drawn(rows, int(dead.sum()), generator)
            self.counts[dead] = 1.0
        self.quantiser.table.copy_(self.sums / self.counts.unsqueeze(1))


def _drawn(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Random n of the rows [N, D]; with too few rows they repeat, told apart by a little noise."""
    repeats = math.ceil(n / len(rows))
    order = torch.randperm(len(rows) * repeats, generator=generator, device=rows.device)[:n] % len(
        rows
    )
    drawn = rows[order]
    if repeats > 1:
        noise = torch.randn(drawn.shape, generator=generator, device=rows.device)
        drawn = drawn + noise * 0.01 / math.sqrt(rows.shape[1])
    return drawn


class Gumbel(Section):
    """The relaxation of VQ-GAN f8: temperature from `temperature` to `final_temperature` over
    `anneal_steps`, exponentially.
    """

    temperature: Positive
    final_temperature: Positive
    anneal_steps: Count


class GumbelRelaxation(nn.Module):
    """Trains a Gumbel quantiser: a relaxed sample mixes the codewords; the loss pulls the logits
    towards uniform use.
    """

    def __init__(self, quantiser: GumbelQuantiser, settings: Gumbel):
        super().__init__()
        self.quantiser, self.settings = quantiser, settings

    def start(self, latent: Tensor, generator: torch.Generator) -> None:
        """Nothing to place: the codewords learn by gradients."""

    def forward(self, latent: Tensor, step: int, generator: torch.Generator) -> Quantised:
        """Mixes the codewords by relaxed weights [N, K]; the loss is KL(q || uniform), summed over
        codes.
        """
        logits = self.quantiser.logits(as_rows(latent.float()))
        weights = torch.softmax(
            (logits + gumbel_noise(logits, generator)) / self._temperature(step), dim=1
        )
        log_q = torch.log_softmax(logits, dim=1)
        divergence = (log_q.exp() * (log_q + math.log(logits.shape[1]))).sum(1).mean()
        return Quantised(
            as_latent(weights @ self.quantiser.table, latent), logits.argmax(1), divergence
        )

    def _temperature(self, step: int) -> float:
        s = self.settings
        return s.temperature * (s.final_temperature / s.temperature) ** min(
            1.0, step / max(1, s.anneal_steps)
        )

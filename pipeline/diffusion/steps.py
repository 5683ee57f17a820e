"""Which step t a training sample is noised to: uniformly drawn, or by importance (VQ-Diffusion,
after improved DDPM).
"""

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.diffusion.process import uniform
from pipeline.runtime.seeds import rows_drawn

WARM_UP = 10  # every step is seen more often than this before importance counts
DECAY = 0.9


class UniformSteps(nn.Module):
    """Every t of 1..n_steps equally likely."""

    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.n_steps = n_steps

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
        """Steps t [count] and the probabilities [count] (float64) with which they were drawn, on
        the generator's device.
        """
        options = {"generator": generator, "device": generator.device}
        t = rows_drawn(
            (count,), generator, lambda all_: torch.randint(1, self.n_steps + 1, all_, **options)
        )
        return t, torch.full_like(t, 1 / self.n_steps, dtype=torch.float64)

    def update(self, t: Int[Tensor, " B"], loss: Float[Tensor, " B"]) -> None:
        """Nothing to learn from the losses."""


class ImportanceSteps(nn.Module):
    """t drawn in proportion to the root of the mean squared loss at t, once every step has been
    seen ten times.

    The statistics are buffers: they belong to the checkpoint, and ranks share them at every update.
    """

    history: Tensor
    count: Tensor

    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.register_buffer("history", torch.zeros(n_steps, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(n_steps, dtype=torch.float64))

    def probabilities(self) -> Float[Tensor, " T"]:
        """The probability of each t, float64 [n_steps]; t = 1 takes the weight of t = 2."""
        weight = (self.history + 1e-10).sqrt() + 1e-4
        weight[0] = weight[1]
        known, even = weight / weight.sum(), torch.full_like(weight, 1 / self.n_steps)
        return torch.where((self.count > WARM_UP).all(), known, even)

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
        """Steps t [count] and the probabilities [count] (float64) with which they were drawn, on
        the device of the statistics, which nobody waits for.
        """
        p = self.probabilities()
        below = p.cumsum(0)
        below = below / below[-1]
        below[-1] = 1
        index = torch.searchsorted(below, uniform((count,), generator, p.device))
        return index + 1, p[index]

    @torch.no_grad()
    def update(self, t: Int[Tensor, " B"], loss: Float[Tensor, " B"]) -> None:
        """Takes in the losses [B] at steps t [B], from all ranks, into an average that forgets a
        tenth with each.
        """
        hit = nn.functional.one_hot(t - 1, self.n_steps).double()
        seen = torch.stack([hit.sum(0), hit.T @ loss.double().square()])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(seen)
        times, squares = seen.to(self.history.device)
        kept = DECAY**times
        self.history.copy_(kept * self.history + (1 - kept) * squares / times.clamp(min=1))
        self.count.add_(times)

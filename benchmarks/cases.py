"""The networks that are measured, at the sizes of the paper, with random weights and random
data.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.diffusion.process import MaskAndReplace
from pipeline.model.condition import Condition
from pipeline.model.denoiser import Denoiser, DenoiserConfig
from pipeline.runtime.seeds import torch_generator

N_NEGATIVES = 10


@dataclass(frozen=True)
class Case:
    """One network and the shape of its batch."""

    layers: int
    width: int
    heads: int
    feed_forward: str
    factor: int
    grid: tuple[int, int]
    n_codes: int
    n_steps: int
    condition: tuple[int, int] | None  # elements and their size; None: one of 1000 classes
    batch: int

    @property
    def length(self) -> int:
        """Tokens a sample."""
        return self.grid[0] * self.grid[1]

    def process(self) -> MaskAndReplace:
        """The diffusion of this case."""
        return MaskAndReplace(self.n_codes, self.n_steps)

    def network(self) -> "BenchNetwork":
        """The denoiser with weights of seed 0."""
        torch.manual_seed(0)
        config = DenoiserConfig(
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            feed_forward=self.feed_forward,
            factor=self.factor,
            positions="learned",
            zero_init=False,
        )
        reads = (
            {"n_classes": 1000}
            if self.condition is None
            else {"condition_width": self.condition[1]}
        )
        return BenchNetwork(Denoiser(config, self.n_codes, self.n_steps, self.grid, **reads))

    def data(
        self, batch: int, device: torch.device
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Tokens, inputs and negatives of one batch."""
        generator = torch_generator(0, "benchmark")
        tokens = torch.randint(self.n_codes, (batch, self.length), generator=generator)
        if self.condition is None:
            condition = torch.randint(1000, (batch,), generator=generator)
        else:
            condition = torch.randn(batch, *self.condition, generator=generator)
        negatives = torch.randint(
            self.n_codes, (batch, N_NEGATIVES, self.length), generator=generator
        )
        return (
            tokens.to(device),
            {"condition": condition.to(device)},
            {"intra": negatives.to(device)},
        )


CASES = {
    "music": Case(19, 1024, 16, "linear", 4, (1, 344), 2048, 80, (1, 1024), 1),
    "text": Case(18, 192, 16, "conv", 2, (32, 32), 2887, 80, (77, 512), 1),
    "class": Case(24, 512, 16, "conv", 4, (16, 16), 974, 80, None, 1),
    "toy": Case(4, 128, 4, "linear", 4, (1, 344), 512, 40, (40, 128), 4),
}


class BenchNetwork(nn.Module):
    """A denoiser whose conditions come ready: what losses and sampler expect of a network."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.output = denoiser, denoiser.output
        self.prepare, self.features = denoiser.prepare, denoiser.features

    def encode(self, inputs: dict[str, Tensor]) -> Condition:
        """The inputs' condition, as it is."""
        return Condition(inputs["condition"], torch.zeros_like(inputs["condition"][:1]))

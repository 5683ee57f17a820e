"""Slow, obvious versions of what pipeline.diffusion does fast, and the smallest network that fits
its protocol.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.schedule import Schedule, linear_schedule

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures"


def noisy_schedule(n_steps: int) -> Schedule:
    """A schedule that replaces often enough for every branch of the mathematics to count."""
    return linear_schedule(n_steps, keep=(0.9, 0.05), mask=(0.04, 0.8))


def transition(process: MaskAndReplace, t: int) -> Tensor:
    """q(x_t = column | x_{t-1} = row) [K + 1, K + 1], from the schedule's definition."""
    k, keep, mask = process.n_codes, process.schedule.keep, process.schedule.mask
    alpha = keep[t] / keep[t - 1]
    gamma = 1 - (1 - mask[t]) / (1 - mask[t - 1])
    matrix = torch.full((k + 1, k + 1), float((1 - alpha - gamma) / k), dtype=torch.float64)
    matrix[:, k] = gamma
    matrix[range(k), range(k)] += alpha
    matrix[k] = 0
    matrix[k, k] = 1
    return matrix


def between(process: MaskAndReplace, s: int, t: int) -> Tensor:
    """The product of the one-step matrices from s to t."""
    matrix = torch.eye(process.n_codes + 1, dtype=torch.float64)
    for step in range(s + 1, t + 1):
        matrix = matrix @ transition(process, step)
    return matrix


def bayes(process: MaskAndReplace, p_x0: Tensor, x_t: int, t: int, s: int) -> Tensor:
    """p(x_s | x_t) [K + 1] for p(x_0) [K]: sum over x_0 of p(x_0) q(x_s | x_0) q(x_t | x_s) / q(x_t
    | x_0).
    """
    to_s, s_to_t, to_t = between(process, 0, s), between(process, s, t), between(process, 0, t)
    result = torch.zeros(process.n_codes + 1, dtype=torch.float64)
    evidence = 0.0
    for x_0 in range(process.n_codes):
        weight = p_x0[x_0] / to_t[x_0, x_t]
        result += weight * to_s[x_0] * s_to_t[:, x_t]
        evidence += p_x0[x_0]
    return result / evidence


def slow_terms(
    process, logits: Tensor, z: Tensor, x_t: Tensor, t: Tensor, limit: float
) -> tuple[Tensor, Tensor]:
    """The step and the sample loss [B, L] of z [B, L] under logits [B, L, K], through full
    posteriors.
    """
    log_p = logits.log_softmax(-1).transpose(1, 2)
    certain = nn.functional.one_hot(z, process.n_codes).to(log_p).transpose(1, 2).log()
    model, true = process.posterior(log_p, x_t, t), process.posterior(certain, x_t, t)
    step = (true.exp() * (true - model))[:, :-1].sum(1)
    decoder = -model.gather(1, z[:, None])[:, 0]
    sample = -log_p.gather(1, z[:, None])[:, 0].clamp(min=-70)
    step = torch.where(t[:, None] == 1, decoder, step)
    return step.clamp(max=limit), sample.clamp(max=limit)


@dataclass(frozen=True)
class TinyCondition:
    value: Tensor
    empty: Tensor

    def __len__(self) -> int:
        return len(self.value)

    def repeat(self, n: int) -> "TinyCondition":
        return replace(self, value=self.value.repeat_interleave(n, 0))

    def rows(self, index: Tensor) -> "TinyCondition":
        return replace(self, value=self.value[index])

    def null(self, mask: Tensor) -> "TinyCondition":
        return replace(self, value=torch.where(mask[:, None], self.empty, self.value))


class TinyNetwork(nn.Module):
    """Embeddings of token, step and condition, a mean over positions, one hidden layer."""

    def __init__(
        self, n_codes: int, n_steps: int, width: int = 8, seed: int = 0, mixes: bool = True
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.mixes = mixes
        self.token, self.step = nn.Embedding(n_codes + 1, width), nn.Embedding(n_steps + 1, width)
        self.condition, self.empty = nn.Linear(3, width), nn.Parameter(torch.randn(width))
        self.layer, self.output = nn.Linear(width, width), nn.Linear(width, n_codes)
        self.passes = 0

    def encode(self, inputs: dict[str, Tensor]) -> TinyCondition:
        return TinyCondition(self.condition(inputs["c"].to(self.empty.dtype)), self.empty)

    def prepare(self, condition: TinyCondition) -> TinyCondition:
        return condition

    def features(
        self, x_t: Tensor, t: Tensor, condition: TinyCondition, at: Tensor | None = None
    ) -> Tensor:
        self.passes += 1
        x = self.token(x_t) + self.step(t)[:, None] + condition.value[:, None]
        if self.mixes:
            x = x + x.mean(1, keepdim=True)
        hidden = torch.tanh(self.layer(x))
        return hidden if at is None else hidden[torch.arange(len(at))[:, None], at]

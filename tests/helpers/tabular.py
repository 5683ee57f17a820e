"""A table of logits as a network, for optima that have a closed form, and how to reach them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pipeline.diffusion.contrast import Contrast
from pipeline.diffusion.objective import Loss, Objective
from pipeline.diffusion.process import MaskAndReplace


@dataclass(frozen=True)
class Numbered:
    """Conditions by number; `absent` is that of none."""

    value: Tensor
    absent: int

    def __len__(self) -> int:
        return len(self.value)

    def repeat(self, n: int) -> "Numbered":
        return replace(self, value=self.value.repeat_interleave(n, 0))

    def rows(self, index: Tensor) -> "Numbered":
        return replace(self, value=self.value[index])

    def null(self, mask: Tensor) -> "Numbered":
        return replace(self, value=self.value.masked_fill(mask, self.absent))


class Tabular(nn.Module):
    """Logits for each condition, and last for none, at every mask; nothing at a code."""

    def __init__(self, n_conditions: int, n_codes: int) -> None:
        super().__init__()
        self.n_conditions, self.n_codes = n_conditions, n_codes
        self.output = nn.Linear(n_conditions + 1, n_codes, bias=False).double()
        nn.init.zeros_(self.output.weight)

    @property
    def table(self) -> Tensor:
        """p [conditions + 1, codes]."""
        return self.output.weight.detach().T.softmax(1)

    def put(self, row: int, p: Tensor) -> "Tabular":
        with torch.no_grad():
            self.output.weight[:, row] = p.log()
        return self

    def encode(self, inputs: dict[str, Tensor]) -> Numbered:
        return Numbered(inputs["label"], self.n_conditions)

    def prepare(self, condition: Numbered) -> Numbered:
        return condition

    def features(
        self, x_t: Tensor, t: Tensor, condition: Numbered, at: Tensor | None = None
    ) -> Tensor:
        rows = nn.functional.one_hot(condition.value, self.n_conditions + 1).double()
        return rows[:, None] * (x_t == self.n_codes)[:, :, None]


class OneStep(nn.Module):
    """Every sample is noised to the same t."""

    def __init__(self, t: int) -> None:
        super().__init__()
        self.t = t

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.full((count,), self.t), torch.ones(count, dtype=torch.float64)

    def update(self, t: Tensor, loss: Tensor) -> None:
        pass


def at_the_full_mask(n_codes, n_steps, setting, contrast: dict, auxiliary=0.0, reference=None):
    """The shipped objective at t = T of a chain of n_steps, where everything is masked."""
    loss = Loss(
        t_sampling="uniform",
        auxiliary_weight=auxiliary,
        auxiliary_direction="constant",
        null_probability=0.1,
    )
    section = Contrast(**{"intra_weight": 0.0, "direction": "constant", **contrast})
    process = MaskAndReplace(n_codes, n_steps)
    objective = Objective(process, loss, setting, section, reference).eval()
    objective.steps = OneStep(n_steps)
    return objective


def opening(n_steps: int) -> float:
    """The probability that a mask opens in the step from T to T - 1: the weight of -log p there."""
    mask = MaskAndReplace(2, n_steps).schedule.mask
    return float(1 - mask[n_steps - 1] / mask[n_steps])


def sequence(counts: list[int]) -> Tensor:
    """Tokens [n] that occur so many times each."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def descend(network: Tabular, loss: Callable[[], Tensor], rounds: int = 150) -> None:
    """Brings the table to where the loss has no slope."""
    optimiser = torch.optim.LBFGS(
        network.parameters(),
        max_iter=rounds,
        tolerance_grad=1e-11,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)  # pyright: ignore[reportArgumentType]

"""The optimiser and its learning-rate schedule: one set for all that is trained here."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from pipeline.runtime.params import Amount, Count, Decay, Positive, Rate, Section, Share, Weight


class Average(Section):
    """The exponential moving average of the weights that is saved: `decay`, applied every `every`
    steps.
    """

    decay: Decay
    every: Count


class Optimiser(Section):
    """AdamW and the course of its learning rate: a linear warm-up, then constant, cosine, or halved
    on a plateau.

    `plateau_patience` counts steps (the authors' rule: factor 0.5, threshold 0.1, floor 1e-6,
    stepped on the training loss); it is read only by `schedule: plateau`. `weight_decay` applies to
    every parameter, as the authors do. The defaults are those of the released configurations.
    """

    learning_rate: Rate
    betas: tuple[Decay, Decay] = (0.9, 0.96)
    weight_decay: Share = 0.045
    warmup_steps: Amount
    warmup_from: Weight = 3e-6
    schedule: Literal["constant", "cosine", "plateau"]
    plateau_patience: Count = 60_000
    clip_norm: Positive

    def descent(self) -> "Descent":
        """The same for the engine; a cosine ends at a hundredth of the learning rate."""
        return Descent(
            self.learning_rate,
            self.schedule,
            betas=self.betas,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
            warmup_from=self.warmup_from,
            final=0.01 * self.learning_rate,
            patience=self.plateau_patience,
            clip_norm=self.clip_norm,
        )


@dataclass(frozen=True)
class Descent:
    """AdamW (without `weight_decay` the same as Adam), the schedule of its rate, and the norm to
    which gradients are clipped.

    `warmup_from` is the rate of the first step, and `learning_rate` that of step `warmup_steps`;
    without it the rate grows by equal parts from the first step on and is whole at the last step of
    the warm-up. `final` is where a cosine ends; `patience` is the plateau's, in steps.
    """

    learning_rate: float
    schedule: Literal["constant", "cosine", "plateau", "one_cycle"] = "constant"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    warmup_steps: int = 0
    warmup_from: float | None = None
    final: float = 0.0
    patience: int = 0
    clip_norm: float | None = None

    def rate_at(self, step: int, n_steps: int) -> float:
        """The learning rate of a step, counted from 0, of `n_steps`; a plateau's without its
        cuts.
        """
        if step < self.warmup_steps:
            return self._warming_up(step)
        if self.schedule == "one_cycle":
            start = self.learning_rate / 25
            return _cycle(start, self.learning_rate, start / 1e4, step, n_steps)
        if self.schedule != "cosine":
            return self.learning_rate
        share = (step - self.warmup_steps) / max(1, n_steps - self.warmup_steps)
        return _between(self.learning_rate, self.final, share)

    def _warming_up(self, step: int) -> float:
        if self.warmup_from is None:
            return self.learning_rate * (step + 1) / self.warmup_steps
        share = step / self.warmup_steps
        return self.warmup_from + (self.learning_rate - self.warmup_from) * share

    def beta_at(self, step: int, n_steps: int) -> float:
        """The first beta of a step; one cycle lowers it where the rate is high."""
        if self.schedule != "one_cycle":
            return self.betas[0]
        return _cycle(0.95, 0.85, 0.95, step, n_steps)


def _cycle(start: float, middle: float, end: float, step: int, n_steps: int) -> float:
    """To the middle in three tenths of the steps and on to the end in the rest (Smith and Topin,
    2019; torch's OneCycleLR).
    """
    top, last = 0.3 * n_steps - 1, n_steps - 1
    if step <= top:
        return _between(start, middle, step / top if top > 0 else 1.0)
    return _between(middle, end, min(1.0, (step - top) / (last - top)) if last > top else 1.0)


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class LRSchedule:
    """Sets the rate of an optimiser over the steps: `advance` after each, state for checkpoints."""

    def __init__(
        self,
        descent: Descent,
        optimiser: torch.optim.Optimizer,
        n_steps: int,
        mean: Callable[[Tensor], Tensor] = lambda losses: losses,
    ):
        """`mean` makes the losses of all processes one."""
        self.descent, self.optimiser, self.n_steps, self.taken = descent, optimiser, n_steps, 0
        self.mean, self.plateau = mean, None
        self._waiting: list[Tensor] = []
        self._set()
        if descent.schedule == "plateau":
            self.plateau = ReduceLROnPlateau(
                optimiser,
                factor=0.5,
                patience=descent.patience,
                threshold=0.1,
                threshold_mode="rel",
                min_lr=1e-6,
            )

    @property
    def rate(self) -> float:
        """The rate of the next step."""
        return self.optimiser.param_groups[0]["lr"]

    def advance(self, loss: Tensor) -> None:
        """Moves on by one step; the plateau rule takes in the `loss` once the warm-up is over."""
        self.taken += 1
        if self.plateau is None or self.taken <= self.descent.warmup_steps:
            self._set()
            return
        self._waiting.append(loss.detach())
        if self.plateau.num_bad_epochs + len(self._waiting) > self.descent.patience:
            self.settle()

    def settle(self) -> None:
        """Shows the plateau rule the losses that have waited.

        They wait on their device, for reading them makes the CPU wait, until the rule could cut the
        rate, so that it cuts where it would have; a row and a checkpoint ask for it as well.
        """
        if self.plateau is None or not self._waiting:
            return
        losses = self.mean(torch.stack(self._waiting)).cpu().tolist()
        self._waiting.clear()
        for loss in losses:
            self.plateau.step(loss)

    def _set(self) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.descent.rate_at(self.taken, self.n_steps)
            beta = self.descent.beta_at(self.taken, self.n_steps)
            group["betas"] = (beta, self.descent.betas[1])

    def state_dict(self) -> dict:
        """Everything a resumed run needs besides the optimiser's own state."""
        self.settle()
        plateau = None if self.plateau is None else self.plateau.state_dict()
        return {"plateau": plateau, "taken": self.taken}

    def load_state_dict(self, state: dict) -> None:
        """Restores what `state_dict` gave."""
        self.taken = state["taken"]
        if self.plateau is not None:
            self.plateau.load_state_dict(state["plateau"])


def build_optimiser(descent: Descent, module: nn.Module) -> torch.optim.Optimizer:
    """AdamW over all trainable parameters of `module`, in one group."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        parameters,
        lr=descent.learning_rate,
        betas=descent.betas,
        weight_decay=descent.weight_decay,
        fused=True,
    )

"""The optimiser and its learning-rate schedule."""

from typing import Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)

from pipeline.runtime.params import Section


class Optimiser(Section):
    """AdamW and the course of its learning rate: a linear warm-up, then constant, cosine, or halved
    on a plateau.

    `plateau_patience` counts steps (the authors' rule: factor 0.5, threshold 0.1, floor 1e-6,
    stepped on the training loss); it is read only by `schedule: plateau`. `weight_decay` applies to
    every parameter, as the authors do. The defaults are those of the released configurations.
    """

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.96)
    weight_decay: float = 0.045
    warmup_steps: int
    warmup_from: float = 3e-6
    schedule: Literal["constant", "cosine", "plateau"]
    plateau_patience: int = 60_000
    clip_norm: float


class LRSchedule:
    """The learning rate over the steps, whatever the schedule: `advance` after each optimiser step,
    state for checkpoints.
    """

    def __init__(self, config: Optimiser, optimiser: torch.optim.Optimizer, n_steps: int):
        warmup = LinearLR(
            optimiser, config.warmup_from / config.learning_rate, 1.0, max(1, config.warmup_steps)
        )
        self.warmup_steps, self.plateau, self.taken = config.warmup_steps, None, 0
        if config.schedule == "cosine":
            after = CosineAnnealingLR(
                optimiser,
                max(1, n_steps - config.warmup_steps),
                eta_min=0.01 * config.learning_rate,
            )
            self.scheduler: LRScheduler = SequentialLR(
                optimiser, [warmup, after], [max(1, config.warmup_steps)]
            )
        else:
            self.scheduler = warmup
        if config.schedule == "plateau":
            self.plateau = ReduceLROnPlateau(
                optimiser,
                factor=0.5,
                patience=config.plateau_patience,
                threshold=0.1,
                threshold_mode="rel",
                min_lr=1e-6,
            )

    def advance(self, loss: float) -> None:
        """Moves on by one step; the plateau rule looks at `loss` once the warm-up is over."""
        self.taken += 1
        if self.plateau is not None and self.taken > self.warmup_steps:
            self.plateau.step(loss)
        else:
            self.scheduler.step()

    def state_dict(self) -> dict:
        """Everything a resumed run needs."""
        plateau = None if self.plateau is None else self.plateau.state_dict()
        return {"scheduler": self.scheduler.state_dict(), "plateau": plateau, "taken": self.taken}

    def load_state_dict(self, state: dict) -> None:
        """Restores what `state_dict` gave."""
        self.scheduler.load_state_dict(state["scheduler"])
        self.taken = state["taken"]
        if self.plateau is not None:
            self.plateau.load_state_dict(state["plateau"])


def build_optimiser(config: Optimiser, module: nn.Module) -> torch.optim.Optimizer:
    """AdamW over all trainable parameters of `module`, in one group."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
        foreach=True,
    )

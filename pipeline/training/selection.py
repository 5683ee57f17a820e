"""Which weights a training ends with, and when: as options, by the loss on held-out rows."""

import torch
from torch import Tensor, nn

from pipeline.runtime.params import Count, Section


class Selection(Section):
    """A look at `batches` batches of held-out rows every `every` steps.

    The training ends with the weights that looked best (`best`), or its last; `patience` ends it
    early, after so many looks in a row that were no better than the best (null: never).
    """

    every: Count
    batches: Count = 4
    best: bool = True
    patience: Count | None = None


class Chosen:
    """The best look so far, the weights of that step where they are wanted, and the looks since."""

    def __init__(self, selection: Selection):
        self.selection = selection
        self.loss, self.step, self.since = float("inf"), 0, 0
        self.weights: dict[str, Tensor] = {}

    @property
    def is_over(self) -> bool:
        """Whether the training has waited long enough for something better."""
        patience = self.selection.patience
        return patience is not None and self.since >= patience

    def look(self, loss: float, step: int, module: nn.Module) -> None:
        """Takes in the loss of `module` at a step."""
        if loss < self.loss:
            self.loss, self.step, self.since = loss, step, 0
            if self.selection.best:
                self.weights = {
                    name: value.detach().clone() for name, value in module.state_dict().items()
                }
        else:
            self.since += 1

    def state_dict(self) -> dict:
        """Everything that goes on from here."""
        own = {"loss": self.loss, "step": self.step, "since": self.since}
        return {**own, "weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        """Restores what `state_dict` gave."""
        self.loss, self.step, self.since = (state[name] for name in ("loss", "step", "since"))
        self.weights = state["weights"]

    @torch.no_grad()
    def put_in(self, module: nn.Module) -> None:
        """Gives `module` the chosen weights; it keeps its own where none are wanted or none were
        looked at.
        """
        if self.weights:
            module.load_state_dict(self.weights)

"""The moving average of a module's weights."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """`module`, a copy of another, holds the exponential moving average of its parameters; the
    first update takes them as they are. No update waits for a device.
    """

    def __init__(self, source: nn.Module, decay: float):
        self.module, self.taken = deepcopy(source), 0
        self._towards = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Moves on by one step towards the weights of `source`; buffers are copied."""
        copied = [(self.module.buffers(), source.buffers())]
        if self.taken == 0:
            copied.append((self.module.parameters(), source.parameters()))
        else:
            self._towards([*self.module.parameters()], [*source.parameters()], self.taken)
        for own, new in copied:
            for mine, other in zip(own, new):
                mine.copy_(other)
        self.taken += 1

    def state_dict(self) -> dict[str, Tensor | int | dict]:
        """Everything that goes on from here."""
        return {"module": self.module.state_dict(), "taken": self.taken}

    def load_state_dict(self, state: dict) -> None:
        """Restores what `state_dict` gave."""
        self.module.load_state_dict(state["module"])
        self.taken = state["taken"]

"""The watch over a loss: it stops a run that cannot go on."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.runtime.errors import UserError

PATIENCE = 100  # training steps before the balance of the terms is judged
MEMORY = 0.98  # of the running averages it is judged by


class Balance(nn.Module):
    """Running averages of likelihood and contrast; buffers that belong to the checkpoint."""

    means: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self._last: Tensor | None = None

    def watch(self, parts: Float[Tensor, "2"], can_run_away: bool) -> None:
        """Takes in likelihood and contrast of one step, means over all processes; nothing is read
        from the device.
        """
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(parts)
            parts /= dist.get_world_size()
        self._last = parts
        if can_run_away:
            self.means.mul_(MEMORY).add_(parts.to(self.means), alpha=1 - MEMORY)
            self.seen.add_(1)

    def check(self) -> None:
        """Raises UserError for a loss that is not a number, and for negatives that outweigh the
        likelihood where they can. All processes look at the same means, and stop together.
        """
        if self._last is not None and not bool(torch.isfinite(self._last).all()):
            likelihood, contrast = self._last.cpu().tolist()
            raise UserError(
                f"The loss is no longer finite (likelihood {likelihood:g}, contrast {contrast:g});"
                " resume from the last checkpoint with a lower learning rate, a lower contrastive"
                " weight or a cap."
            )
        if int(self.seen) >= PATIENCE and float(self.means.sum()) < 0:
            raise UserError(
                "The negative term has run away: it outweighs the likelihood, so the loss falls"
                " without end while the model unlearns; lower intra_weight / inter_weight, set a"
                " cap (12 nats a token, say) or use the form infonce."
            )

"""What a denoiser is told: an encoded condition, its absence, and what can be computed from it once
per sample.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Prepared:
    """What `Denoiser.prepare` computes once instead of once per step."""

    aligned: Tensor | None
    """The condition [B, S, width] as it is added to the tokens."""
    contexts: tuple[tuple[Tensor, ...], ...]
    """For each block what it reads of the condition: keys and values, or the one vector that all
    tokens receive.
    """
    steps: tuple[tuple[Tensor, ...], ...] | None
    """For each block the (scale, shift) of all T steps; none while gradients are recorded."""


@dataclass(frozen=True)
class Condition:
    """A batch of encoded conditions."""

    value: Tensor
    """Sequences [B, S, C], or class numbers [B]."""
    empty: Tensor | None
    """The learned null in place of a row (broadcast to it); none in checkpoints trained without."""
    prepared: Prepared | None = None

    def __len__(self) -> int:
        return len(self.value)

    def repeat(self, n: int) -> "Condition":
        """Each row n times, the copies side by side; what was prepared is copied, not computed
        again.
        """
        return self._map(lambda part: part.repeat_interleave(n, 0))

    def rows(self, index: Tensor) -> "Condition":
        """The rows of the given numbers [n], with what was prepared of them."""
        return self._map(lambda part: part[index])

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Condition":
        """The condition with `change` applied to every tensor that has a row for each condition."""
        prepared = self.prepared
        if prepared is not None:
            aligned = None if prepared.aligned is None else change(prepared.aligned)
            contexts = tuple(tuple(change(part) for part in parts) for parts in prepared.contexts)
            prepared = replace(prepared, aligned=aligned, contexts=contexts)
        return replace(self, value=change(self.value), prepared=prepared)

    def null(self, mask: Tensor) -> "Condition":
        """The rows where mask [B] is true replaced by the learned null; prepare the result, it is
        not prepared.
        """
        if self.empty is None:
            raise UserError(
                "This checkpoint has no learned null condition, so it cannot be guided; set the"
                " guidance scale to 1."
            )
        mask = mask.view(-1, *[1] * (self.value.dim() - 1))
        return replace(
            self,
            value=torch.where(mask, self.empty.to(self.value.dtype), self.value),
            prepared=None,
        )

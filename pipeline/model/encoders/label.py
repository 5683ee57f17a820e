"""The class condition: the number itself, which the denoiser's class tables look up."""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from pipeline.runtime.errors import UserError


def checked_labels(labels: Tensor, n_classes: int, name: str) -> Int[Tensor, " B"]:
    """The numbers [B] as int64; raises UserError unless they are in 0..n_classes-1.

    A training on an accelerator does not wait to look at the numbers of every batch.
    """
    if labels.dim() != 1 or labels.is_floating_point():
        raise UserError(
            f"`{name}` must be whole numbers, one a clip or picture; given {labels.dtype}"
            f" {list(labels.shape)}."
        )
    looks = labels.device.type == "cpu" or not torch.is_grad_enabled()
    if looks and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise UserError(
            f"`{name}` must lie in 0..{n_classes - 1}; given"
            f" {int(labels.min())}..{int(labels.max())}."
        )
    return labels.long()


class LabelEncoder(nn.Module):
    """Class numbers [B] as they are; the absent class is the number after the last."""

    empty: Tensor

    def __init__(self, n_classes: int):
        super().__init__()
        self.n_classes = n_classes
        self.register_buffer("empty", torch.tensor(n_classes), persistent=False)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The labels [B] among the inputs."""
        return checked_labels(inputs["label"], self.n_classes, "label")

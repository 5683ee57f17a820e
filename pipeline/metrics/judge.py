"""What a judge of pictures is: functions that turn pictures and captions into numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.runtime.device import device

BATCH = 64


@dataclass(frozen=True)
class Judge:
    """Pictures [n, 3, H, W] in [0, 1] in, numbers out. `features` [n, D] are for the Frechet
    distance.

    `logits` [n, C] over `classes` (label -> number), and `embed_images`, `embed_captions` (unit
    vectors [n, D]) are None where the judge does not read labels or captions. The names say in a
    table which network it was; `facts` says more.
    """

    facts: dict
    features: Callable[[Tensor], Tensor]
    features_name: str
    logits: Callable[[Tensor], Tensor] | None = None
    classes: dict[str, int] | None = None
    classifier_name: str = ""
    embed_images: Callable[[Tensor], Tensor] | None = None
    embed_captions: Callable[[list[str]], Tensor] | None = None
    matcher_name: str = ""


def batched(function: Callable) -> Callable:
    """The function over batches of its argument (pictures are moved to the device), its results
    together on the CPU.
    """

    @torch.no_grad()
    def over_batches(items: Tensor | list[str]) -> Tensor:
        starts = range(0, len(items), BATCH)
        parts = [items[start : start + BATCH] for start in starts]
        return torch.cat(
            [
                function(part.to(device()) if isinstance(part, Tensor) else part).cpu()
                for part in parts
            ]
        )

    return over_batches

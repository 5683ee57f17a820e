"""Movement and pictures, either of which a dance model can learn to do without."""

import torch
from jaxtyping import Bool
from pydantic import Field, model_validator
from torch import Tensor

from pipeline.runtime.params import Section
from pipeline.runtime.seeds import rows_drawn

KEPT = "kept"
"""The input that says which rows have motion, and which pictures: [B, 2]."""


class Dropout(Section):
    """The shares of training examples without pictures (`visual`) and without movement (`motion`),
    never both: such a model plays from what is there.
    """

    visual: float = Field(default=0.0, ge=0, lt=1)
    motion: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _leaves_something(self) -> "Dropout":
        if self.visual + self.motion > 1:
            raise ValueError("visual and motion: together at most 1, as never both are dropped")
        return self

    def draw(self, n_rows: int, generator: torch.Generator) -> Bool[Tensor, "n 2"]:
        """Which of `n_rows` examples keep their motion, and which their pictures."""
        chance = rows_drawn((n_rows,), generator, lambda n: torch.rand(n, generator=generator))
        without_visual = chance < self.visual
        without_motion = (chance < self.visual + self.motion) & ~without_visual
        return ~torch.stack([without_motion, without_visual], dim=1)

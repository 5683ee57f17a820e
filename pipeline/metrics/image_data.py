"""What an evaluation of pictures reads: the real pictures with their captions or classes, the
samples, the judge; and its settings.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pipeline.datasets.captions import captions_of
from pipeline.media.content import Images
from pipeline.metrics.image_rows import BATCH
from pipeline.metrics.judge import Judge
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Amount, Draws, Percent, Section, Seed
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import Store


class EvaluateImages(Section):
    """How samples of pictures are measured.

    `references`: the real pictures that FID compares with, the test split's, all training pictures,
    or both. `exact_shapes`: captions are of `toy_shapes` and are checked on the picture itself.
    `bootstrap_draws`: of pictures. `copied_below`: a sample whose tokens differ from a training
    item's in fewer percent of positions counts as copied. `examples`: pictures shown on the page.
    `controls`: also the rows that are not the model's.
    """

    references: tuple[Literal["test", "train"], ...] = Field(min_length=1)
    exact_shapes: bool = False
    bootstrap_draws: Draws
    seed: Seed = 0
    copied_below: Percent
    examples: Amount
    controls: bool = True


@dataclass(frozen=True)
class ImageData:
    """What an evaluation reads. `raw`: where the captions lie; `decode` turns tokens [n, L] into
    pictures [n, 3, H, W].
    """

    pictures: Images
    raw: Path
    tokens: Store
    samples: Store
    judge: Judge
    decode: Callable[[Tensor], Tensor]
    further: Store | None = None  # samples of the captions after the first, rows named ID#NUMBER

    @property
    def manifest(self) -> Manifest:
        """The data set's pictures."""
        return self.pictures.manifest

    @cached_property
    def numbers(self) -> list[int]:
        """The manifest rows that are measured: the test pictures for whose captions or classes
        there are samples.
        """
        sampled = set(self.samples.ids) & set(self.tokens.ids)
        numbers = [
            number
            for number in self.manifest.of("test")
            if self.manifest.clips[number].id in sampled
        ]
        if len(numbers) < 2:
            raise UserError(
                "There is nothing to evaluate: fewer than two pictures of the test split have"
                " samples."
            )
        return numbers

    def clips(self, numbers: list[int]) -> list[Clip]:
        """The clips of manifest rows."""
        return [self.manifest.clips[number] for number in numbers]

    def caption(self, number: int) -> str:
        """The caption of a manifest row that is sampled for, the first; or its class where it has
        none.
        """
        clip = self.manifest.clips[number]
        return captions_of(clip, self.raw)[0] if clip.caption_file else str(clip.label)

    def real(self, numbers: list[int]) -> Iterator[Tensor]:
        """The pictures of manifest rows in batches."""
        for start in range(0, len(numbers), BATCH):
            yield self.pictures.read(numbers[start : start + BATCH])

    def decoded(self, tokens: np.ndarray) -> Iterator[Tensor]:
        """The pictures of tokens [n, L] in batches."""
        for start in range(0, len(tokens), BATCH):
            yield self.decode(torch.from_numpy(tokens[start : start + BATCH].astype(np.int64)))

    def sampled(self, field: str, numbers: list[int]) -> np.ndarray:
        """A field of the samples for manifest rows: `tokens` or `shuffled` [n, seeds, L], or
        `shuffled_from` [n].
        """
        return self.samples[field][self.samples.rows_of([clip.id for clip in self.clips(numbers)])]

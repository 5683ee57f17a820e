"""Training of a codec: what the engine is given to train."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.codecs.quantisers import perplexity
from pipeline.runtime.params import Amount, Count, Decay, Rate, Section, Weight, Width
from pipeline.runtime.seeds import numpy_generator, torch_generator
from pipeline.training.engine import Hooks, Outcome, Plan, fit
from pipeline.training.optimiser import Descent

BatchSource = Callable[
    [np.random.Generator, int], Tensor
]  # (generator, size) -> examples [size, ...], floats
Batches = Callable[[int, int], Tensor]  # (number, size) -> examples: a BatchSource with its seed


class CodecTraining(Section):
    """Adam, with a linear warm-up and then half a cosine down to `final_learning_rate`.

    `bf16` runs the network in bfloat16 on a GPU. The defaults serve the codecs trained here.
    """

    steps: Count
    batch_size: Width
    learning_rate: Rate
    final_learning_rate: Weight = 1e-4
    warmup_steps: Amount = 50
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    bf16: bool = True

    def descent(self) -> Descent:
        """The same for the engine."""
        return Descent(
            self.learning_rate,
            "cosine",
            betas=self.betas,
            warmup_steps=self.warmup_steps,
            final=self.final_learning_rate,
        )


@dataclass(frozen=True)
class Losses:
    """What one step gives: the loss to descend, its terms by name (scalars) and the codes [N] that
    were used.
    """

    total: Tensor
    terms: dict[str, Tensor]
    codes: Tensor


@runtime_checkable
class Coded(Protocol):
    """A codec, as far as training asks: of `n_codes` different codes."""

    @property
    def n_codes(self) -> int:
        """How many different codes it gives."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A module that holds a `codec`, everything learned or averaged with it in its state dict, and
    its objective. One loss and one optimiser serve all of it, an adversarial critic included.
    """

    @property
    def codec(self) -> Coded:
        """What is trained."""
        ...

    def start(self, batches: Batches, batch_size: int, seed: int) -> None:
        """Prepares an untrained codec: called once, before the first step."""

    def __call__(self, batch: Tensor, step: int, generator: torch.Generator) -> Losses:
        """The losses of a batch."""
        ...


class CodecTask(nn.Module):
    """A learner whose forward pass is a training step."""

    def __init__(self, learner: Learner, seed: int):
        super().__init__()
        self.learner, self.seed = learner, seed

    def forward(self, batch: Tensor, step: int) -> Outcome:
        """The losses of a batch, and how often each code was used."""
        generator = torch_generator(self.seed, step, device=batch.device)
        losses = self.learner(batch, step, generator)
        used = torch.bincount(losses.codes, minlength=self.learner.codec.n_codes)
        return Outcome(losses.total, losses.terms, counts={"codes": used})


def train_codec(
    learner: Learner, source: BatchSource, settings: CodecTraining, scratch: Path, seed: int
) -> list[dict]:
    """Trains `learner.codec` in place and returns the history: rows of step, loss, terms, used
    codes and perplexity. Goes on from a checkpoint in `scratch`, as `fit` does.
    """

    def prepare() -> None:
        def examples(number: int, size: int) -> Tensor:
            return source(numpy_generator(seed, "start", number), size)

        learner.start(examples, settings.batch_size, seed)

    def codebook_use(counts: dict[str, Tensor]) -> dict[str, float]:
        used = counts["codes"]
        return {"used_codes": int((used > 0).sum()), "perplexity": perplexity(used)}

    plan = Plan(
        "training the codec",
        settings.steps,
        settings.batch_size,
        settings.descent(),
        {"training": settings.model_dump(mode="json"), "seed": seed},
        ("codecs",),
        bf16=settings.bf16,
    )
    return fit(
        CodecTask(learner, seed),
        lambda step: source(numpy_generator(seed, "batch", step), settings.batch_size),
        plan,
        scratch,
        Hooks(start=prepare, describe=codebook_use),
    )

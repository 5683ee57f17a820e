"""The one training loop of the codecs: batches by (seed, step), checkpoints from which a killed run
resumes bit for bit.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.codecs.quantisers import perplexity
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.runtime.scratch import fingerprint
from pipeline.runtime.seeds import numpy_generator, torch_generator

BatchSource = Callable[
    [np.random.Generator, int], Tensor
]  # (generator, size) -> examples [size, ...], floats
Batches = Callable[[int, int], Tensor]  # (number, size) -> examples: a BatchSource with its seed
AHEAD = 3  # batches prepared while the network works


class CodecTraining(Section):
    """The optimiser (Adam, linear warm-up, then half a cosine down to `final_learning_rate`) and
    the rhythm of the loop.

    `amp` runs the network in bfloat16 on a GPU. A row of the history sums up `log_every` steps.
    """

    steps: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    betas: tuple[float, float]
    amp: bool
    log_every: int
    checkpoint_every: int

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return (
            self.final_learning_rate
            + (self.learning_rate - self.final_learning_rate) * (1 + math.cos(math.pi * share)) / 2
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
class Learner(Protocol):
    """A module that holds a `codec`, everything learned or averaged with it in its state dict, and
    its objective.
    """

    codec: nn.Module

    def start(self, batches: Batches, batch_size: int, seed: int) -> None:
        """Prepares an untrained codec: called once, before the first step."""

    def __call__(self, batch: Tensor, step: int, generator: torch.Generator) -> Losses:
        """The losses of a batch."""


def train_codec(
    learner: Learner, source: BatchSource, settings: CodecTraining, scratch: Path, seed: int
) -> list[dict]:
    """Trains `learner.codec` in place and returns the history: rows of step, loss, terms, used
    codes and perplexity.

    Every `checkpoint_every` steps all state goes to `scratch`, atomically; a run that finds a
    checkpoint there goes on from it and ends with the same bytes as an uninterrupted one (on the
    CPU with the same number of threads).
    """
    run = _Run(learner, settings, seed)
    checkpoint = Path(scratch) / "codec.pt"
    if checkpoint.exists():
        run.resume(checkpoint)
    else:
        learner.start(
            lambda number, size: source(numpy_generator(seed, "start", number), size),
            settings.batch_size,
            seed,
        )
    learner.train()
    steps = range(run.step, settings.steps)
    for batch in progress(
        _prefetched(source, settings.batch_size, seed, steps),
        "training the codec",
        total=len(steps),
    ):
        run.advance(batch)
        if run.step % settings.checkpoint_every == 0 and run.step < settings.steps:
            run.save(checkpoint)
    learner.eval()
    return run.history


class _Run:
    """The state of a training: networks, optimiser, position, and the rows written so far."""

    def __init__(self, learner: Learner, settings: CodecTraining, seed: int):
        self.learner, self.settings, self.seed = learner, settings, seed
        self.parameters = [
            parameter for parameter in learner.parameters() if parameter.requires_grad
        ]
        self.device = self.parameters[0].device
        self.optimiser = torch.optim.Adam(self.parameters, betas=settings.betas)
        self.mark = fingerprint(settings, seed)
        self.step, self.history = 0, []
        self._new_row()

    def _new_row(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.histogram = torch.zeros(
            self.learner.codec.n_codes, dtype=torch.long, device=self.device
        )

    def advance(self, batch: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate_at(self.step)
        generator = torch_generator(self.seed, self.step, device=self.device)
        amp = self.settings.amp and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=amp):
            losses = self.learner(batch.to(self.device, non_blocking=True), self.step, generator)
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        self.optimiser.step()
        self.step += 1
        self._note(losses)

    def _note(self, losses: Losses) -> None:
        for name, value in {"loss": losses.total, **losses.terms}.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        self.histogram += torch.bincount(losses.codes, minlength=len(self.histogram))
        since = self.step - (self.history[-1]["step"] if self.history else 0)
        if since == self.settings.log_every or self.step == self.settings.steps:
            row = {name: float(value) / since for name, value in self.sums.items()}
            if not math.isfinite(row["loss"]):
                raise UserError(
                    f"The codec's loss became {row['loss']} by step {self.step}; lower its"
                    " learning_rate."
                )
            use = {
                "used_codes": int((self.histogram > 0).sum()),
                "perplexity": perplexity(self.histogram),
            }
            self.history.append({"step": self.step, **row, **use})
            self._new_row()

    def save(self, path: Path) -> None:
        state = {
            "mark": self.mark,
            "step": self.step,
            "history": self.history,
            "sums": self.sums,
            "histogram": self.histogram,
            "learner": self.learner.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with atomic(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["mark"] != self.mark:
            raise UserError(
                f"{path} belongs to a training with other settings; delete it or give this training"
                " its own folder."
            )
        self.learner.load_state_dict(state["learner"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.history = state["step"], state["history"]
        self.sums, self.histogram = state["sums"], state["histogram"]


def _prefetched(source: BatchSource, size: int, seed: int, steps: range) -> Iterator[Tensor]:
    """The batches of the steps, a few prepared ahead in another thread; each depends on (seed,
    step) alone.
    """

    def batch(step: int) -> Tensor:
        return source(numpy_generator(seed, "batch", step), size)

    with ThreadPoolExecutor(1) as thread:
        waiting = [thread.submit(batch, step) for step in steps[:AHEAD]]
        for step in steps:
            yield waiting.pop(0).result()
            if step + AHEAD in steps:
                waiting.append(thread.submit(batch, step + AHEAD))

"""Training of the denoiser with its condition encoders: what the engine is given to train."""

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from pipeline.diffusion.adherence import PARTS, condition_gains, profile, spread_steps
from pipeline.diffusion.contrast import Contrast
from pipeline.diffusion.objective import Loss, LossTerms, Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.model.around import NOTHING, Around
from pipeline.model.encoders.modalities import KEPT, Dropout
from pipeline.model.network import Network
from pipeline.runtime.device import sent
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Count, Positive, Section, Seed
from pipeline.runtime.run import run_settings
from pipeline.runtime.seeds import shared_generator
from pipeline.training.batches import Batch, TrainingBatches
from pipeline.training.engine import Hooks, Outcome, Plan, fit
from pipeline.training.optimiser import Average, Optimiser
from pipeline.training.processes import alone
from pipeline.training.selection import Selection

if TYPE_CHECKING:
    from lightning_fabric import Fabric

M = TypeVar("M")
PARTS_OF_T = 5  # of 1..T, in which the history tells the loss apart
Steps = Annotated[int, Field(strict=True, ge=2, le=10_000)]


class ReleasedWeights(Section):
    """A published denoiser: `weights` is a name of `cdcd weights list` or a file, `config` the
    authors' yaml for weights of another size than the published ones.
    """

    weights: str
    config: str | None = None


class Train(Section, Generic[M]):
    """Everything that decides a training, apart from the top-level `contrast`.

    The length is `steps`, or `epochs` over the training rows (`in_steps` turns the one into the
    other). `batch_size` is the global one: all processes together. `init` names the model whose
    weights are the start (null: random ones): a file trained here, one that `keep_optimiser` of
    run.yaml left (which brings optimiser and averages as well), or a published denoiser of the
    same sizes (a name of `cdcd weights list` or a file); the contrast's form `cca` is compared with
    it. `bf16` counts on a GPU only; the losses
    stay in float32. `diffusion_steps` is T. `released` names a published denoiser that is sampled
    and evaluated as it is: nothing is trained, and the rest of the section does not count.
    `selection`: by which held-out loss the weights are chosen or the training ends early (null: it
    ends with its last step).
    """

    seed: Seed
    init: str | None = None
    released: ReleasedWeights | None = None
    steps: Count | None = None
    epochs: Positive | None = None
    batch_size: Count
    diffusion_steps: Steps
    bf16: bool = True
    model: M
    loss: Loss
    contrast: Contrast
    optimiser: Optimiser
    average: Average
    selection: Selection | None = None

    @model_validator(mode="after")
    def _has_a_length(self) -> "Train":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("steps and epochs: give exactly one of the two")
        if self.steps is not None and self.average.every > self.steps:
            raise ValueError(
                f"average.every is {self.average.every}, more than the steps, so that nothing would"
                " be learned"
            )
        return self

    def in_steps(self, n_rows: int) -> "Train":
        """The same settings with their length in steps, for so many training rows."""
        if self.epochs is None:
            return self
        steps = math.ceil(self.epochs * n_rows / self.batch_size)
        content = {**dict(self), "epochs": None, "steps": steps}
        try:
            found = type(self).model_validate(content)
        except ValidationError as error:
            raise UserError(
                f"train.epochs: {self.epochs:g} epochs of {n_rows} rows are {steps} steps;"
                f" {error.errors()[0]['msg'].removeprefix('Value error, ')}."
            ) from None
        if self.optimiser.warmup_steps >= steps:
            raise UserError(
                f"train.optimiser.warmup_steps is {self.optimiser.warmup_steps}, but"
                f" {self.epochs:g} epochs of {n_rows} rows are {steps} steps; the warm-up must end"
                " before the training does."
            )
        return found


class DenoiserTask(nn.Module):
    """Network and loss as one module whose forward pass is a training step."""

    def __init__(self, network: Network, objective: Objective, seed: int):
        super().__init__()
        self.network, self.objective, self.seed = network, objective, seed
        self.bound_every = run_settings().bound_every
        if network.empty is not None and not objective.loss.null_probability:
            network.empty.requires_grad_(False)  # no step would reach it

    def forward(self, batch: Batch, step: int) -> Outcome:
        """The loss of a batch; the noise is this process's part of the whole batch's."""
        generator = shared_generator(batch.number, batch.parts, self.seed, "noise", step, 0)
        wants_bound = (
            bool(self.objective.terms and self.bound_every) and (step + 1) % self.bound_every == 0
        )
        terms = self.objective(
            self.network,
            batch.x_0,
            batch.inputs | self._dropped(batch, step),
            generator,
            batch.negatives,
            wants_bound,
            batch.is_last,
        )
        means = {"main": terms.main, "auxiliary": terms.auxiliary, "contrast": terms.contrast}
        means |= {f"negative_{name}": value for name, value in terms.negative.items()}
        means |= {f"gap_{name}": value for name, value in terms.gap.items()}
        kept = terms.kept.double()
        counts = {
            f"bound_{name}": torch.stack([value.double() * kept, kept])
            for name, value in terms.bound.items()
        }
        return Outcome(terms.total, means, {"kl": self._by_t(terms), **counts})

    def _by_t(self, terms: LossTerms) -> Tensor:
        """[2, PARTS_OF_T] sums of the losses at the t of each part of 1..T, and their numbers."""
        part = (terms.t - 1) * PARTS_OF_T // self.objective.process.n_steps
        belongs = nn.functional.one_hot(part, PARTS_OF_T).double()
        return torch.stack([terms.kl.double() @ belongs, belongs.sum(0)])

    def _dropped(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Which examples lack their motion or their pictures, for encoders that learn to do
        without.
        """
        dropout = getattr(self.network.encoder, "dropout", None)
        if not isinstance(dropout, Dropout) or not (dropout.motion or dropout.visual):
            return {}
        generator = shared_generator(batch.number, batch.parts, self.seed, "modalities", step)
        return {KEPT: sent(dropout.draw(len(batch.x_0), generator), batch.x_0.device)}


def columns(counts: dict[str, Tensor]) -> dict[str, float]:
    """The loss L_vb, nats a token, in each part of 1..T, those of little noise first, and the
    bounds, over all samples that were counted; a part that no sample fell into is left out.
    """
    sums, numbers = counts["kl"].tolist()
    by_t = {
        f"kl_{part}_of_{PARTS_OF_T}": total / number
        for part, (total, number) in enumerate(zip(sums, numbers), start=1)
        if number
    }
    bounds = {name: pair.tolist() for name, pair in counts.items() if name.startswith("bound_")}
    return by_t | {name: total / number for name, (total, number) in bounds.items()}


def train_network(
    network: Network,
    config: Train,
    setting: str,
    training: TrainingBatches,
    validation: TrainingBatches | None,
    folder: Path,
    fabric: "Fabric | None" = None,
    around: Around = NOTHING,
) -> list[dict]:
    """The history of the training; `network` ends with the averaged weights.

    Raises UserError when the loss is not finite or the negative term runs away, and as `fit` does.
    """
    fabric, config = fabric or alone(config.bf16), config.in_steps(len(training.token_rows))
    process = MaskAndReplace(network.n_codes, config.diffusion_steps)
    reference = None
    if config.contrast.form == "cca" and config.init is not None:
        reference = deepcopy(network).to(fabric.device).eval().requires_grad_(False)
    objective = Objective(process, config.loss, setting, config.contrast, reference)
    task, rhythm = DenoiserTask(network, objective, config.seed), run_settings()
    assert config.steps is not None, "in_steps gave it"
    if config.selection is not None and validation is None:
        raise UserError("train.selection needs held-out rows, but the split val has none.")

    def held_out_loss(n_batches: int) -> Callable[[nn.Module], float]:
        def loss(averaged: nn.Module) -> float:
            assert isinstance(averaged, Network)
            assert validation is not None
            return validate(averaged, process, config, validation, fabric.device, n_batches)

        return loss

    def in_parts(batch: object) -> list[Batch]:
        assert isinstance(batch, Batch)
        return batch.split(rhythm.micro_batch)

    def adherence(averaged: nn.Module) -> dict[str, float]:
        assert isinstance(averaged, Network)
        assert validation is not None
        found = measure_adherence(averaged, process, config.seed, validation, fabric.device)
        everyones = fabric.all_reduce(found, reduce_op="sum")
        assert isinstance(everyones, Tensor)
        return profile(everyones)

    plan = Plan(
        f"training ({setting})",
        config.steps,
        config.batch_size,
        config.optimiser.descent(),
        {"train": config.model_dump(mode="json"), "contrast": setting},
        ("diffusion", "model"),
        config.average,
        config.bf16,
        config.selection,
        tokens=network.length,
    )
    knows_null = network.empty is not None and config.loss.null_probability > 0
    hooks = Hooks(
        averaged=network,
        measure=adherence if validation is not None and knows_null else None,
        validate=held_out_loss(rhythm.validation_batches) if validation is not None else None,
        select=held_out_loss(config.selection.batches) if config.selection is not None else None,
        describe=columns,
        split=in_parts,
        check=objective.check,
        compiled=list(network.denoiser.blocks),
        begin_with=around.begin_with,
        snapshot=around.snapshot,
        ended=around.ended,
    )
    return fit(task, training.at, plan, folder, hooks, fabric)


@torch.no_grad()
def validate(
    network: Network,
    process: MaskAndReplace,
    config: Train,
    batches: TrainingBatches,
    device: torch.device,
    n_batches: int,
) -> float:
    """The likelihood part of the loss in nats a token on `n_batches` of held-out rows, this
    process's part of them: same rows and same noise at every call.
    """
    loss = config.loss.model_copy(update={"t_sampling": "uniform", "null_probability": 0.0})
    objective = Objective(process, loss, "vanilla").to(device).eval()
    was_training = network.training
    network.eval()
    total = torch.zeros((), device=device)
    for number in range(n_batches):
        batch = batches.at(number).to(device)
        generator = shared_generator(batches.rank, batches.world, config.seed, "validation", number)
        total = total + objective(network, batch.x_0, batch.inputs, generator).main
    network.train(was_training)
    return float(total) / n_batches


@torch.no_grad()
def measure_adherence(
    network: Network,
    process: MaskAndReplace,
    seed: int,
    batches: TrainingBatches,
    device: torch.device,
) -> Tensor:
    """Nats and masks [PARTS, 2] of this process's part of the held-out rows that `validate` looks
    at, a step for each of them; the same rows and noise at every call.
    """
    was_training = network.training
    network.eval()
    sums = torch.zeros(PARTS, 2, dtype=torch.float64, device=device)
    for number in range(run_settings().validation_batches):
        batch = batches.at(number).to(device)
        generator = shared_generator(batches.rank, batches.world, seed, "adherence", number)
        t = spread_steps(process.n_steps, len(batch.x_0), generator)
        condition = network.encode(batch.inputs)
        gains = condition_gains(network, process, batch.x_0, condition, t, generator)
        sums += gains.by_part(process.n_steps).sum(0)
    network.train(was_training)
    return sums

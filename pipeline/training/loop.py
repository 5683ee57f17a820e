"""The training loop: batch, loss, step, average; validate, log, checkpoint. It reads from top to
bottom.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.diffusion.contrast import Contrast
from pipeline.diffusion.objective import Loss, LossTerms, Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.model.network import Network
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.runtime.run import run_settings
from pipeline.runtime.seeds import torch_generator
from pipeline.training.batches import Batch, TrainingBatches
from pipeline.training.checkpoint import load_checkpoint, save_checkpoint
from pipeline.training.optimiser import LRSchedule, Optimiser, build_optimiser

M = TypeVar("M")


class Average(Section):
    """The exponential moving average of the weights that is saved: `decay`, applied every `every`
    steps.
    """

    decay: float
    every: int


class Train(Section, Generic[M]):
    """Everything that decides a training, apart from the top-level `contrast`.

    The length is `steps`, or `epochs` over the training rows (`in_steps` turns the one into the
    other). `batch_size` is the global one: all processes together. `init` names a model trained
    here whose weights are the start (null: random ones). `bf16` counts on a GPU only; the losses
    stay in float32. `diffusion_steps` is T.
    """

    seed: int
    init: str | None = None
    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    batch_size: int = Field(ge=1)
    diffusion_steps: int
    bf16: bool = True
    model: M
    loss: Loss
    contrast: Contrast
    optimiser: Optimiser
    average: Average

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
            return type(self).model_validate(content)
        except ValidationError as error:
            raise UserError(
                f"train.epochs: {self.epochs:g} epochs of {n_rows} rows are {steps} steps;"
                f" {error.errors()[0]['msg']}."
            ) from None


class Step(nn.Module):
    """Network and loss as one module whose forward pass is a training step, as
    DistributedDataParallel wants it.
    """

    def __init__(self, network: Network, objective: Objective, bf16: bool):
        super().__init__()
        self.network, self.objective, self.bf16 = network, objective, bf16

    def forward(self, batch: Batch, generator: torch.Generator, estimate_bound: bool) -> LossTerms:
        """The loss of one batch."""
        with torch.autocast(batch.x_0.device.type, torch.bfloat16, enabled=self.bf16):
            return self.objective(
                self.network, batch.x_0, batch.inputs, generator, batch.negatives, estimate_bound
            )


@dataclass
class State:
    """A training in progress."""

    step: int
    history: list[dict]
    sums: dict[str, float]


def train_network(
    network: Network,
    config: Train,
    setting: str,
    training: TrainingBatches,
    validation: TrainingBatches | None,
    folder: Path,
    device: torch.device,
    rank: int = 0,
    world: int = 1,
) -> list[dict]:
    """The history of the training, one row per `log_every` steps; `network` ends with the averaged
    weights.

    Checkpoints go to `folder`; a run that finds one goes on from it and ends with the same bytes as
    an undisturbed run. Raises UserError when the loss is not finite or the negative term runs away.
    """
    network.to(device)
    run = run_settings()
    process = MaskAndReplace(network.n_codes, config.diffusion_steps)
    objective = Objective(process, config.loss, setting, config.contrast).to(device)
    step = Step(network, objective, config.bf16 and device.type == "cuda")
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average.decay))
    optimiser = build_optimiser(config.optimiser, network)
    course = LRSchedule(config.optimiser, optimiser, config.steps)
    parts = {"step": step, "average": average, "optimiser": optimiser, "course": course}
    state = _resume(folder / "train.pt", parts, device)
    parallel = DistributedDataParallel(step, find_unused_parameters=True) if world > 1 else step

    step.train()
    batches = training.loader(state.step, config.steps, run.workers)
    for batch in progress(batches, f"training ({setting})", total=config.steps - state.step):
        generator = torch_generator(config.seed, "noise", state.step, rank)
        wants_bound = (
            bool(objective.terms and run.bound_every) and (state.step + 1) % run.bound_every == 0
        )
        terms = parallel(batch.to(device), generator, wants_bound)
        optimiser.zero_grad(set_to_none=True)
        terms.total.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip_norm)
        optimiser.step()
        state.step += 1
        if state.step % config.average.every == 0:
            average.update_parameters(network)
        course.advance(terms.total.item())
        _note(state, terms, norm)
        if state.step % run.log_every == 0 or state.step == config.steps:
            row = _row(state, run.log_every, optimiser.param_groups[0]["lr"])
            if validation is not None and (
                state.step % run.validate_every == 0 or state.step == config.steps
            ):
                row["validation"] = validate(average.module, process, config, validation, device)
            state.history.append(row)
        if rank == 0 and state.step % run.checkpoint_every == 0 and state.step < config.steps:
            saved = {name: part.state_dict() for name, part in parts.items()}
            save_checkpoint(folder / "train.pt", {**saved, "state": vars(state)})
    network.load_state_dict(average.module.state_dict())
    return state.history


def _resume(path: Path, parts: dict, device: torch.device) -> State:
    checkpoint = load_checkpoint(path, device)
    if checkpoint is None:
        return State(0, [], {})
    for name, part in parts.items():
        part.load_state_dict(checkpoint[name])
    return State(**checkpoint["state"])


def _note(state: State, terms: LossTerms, norm: Tensor) -> None:
    """Adds the numbers of one step to the sums of the row in progress."""
    values = {name: getattr(terms, name) for name in ("main", "auxiliary", "contrast")}
    values |= {"loss": terms.total, "gradient": norm}
    values |= {f"negative_{name}": value for name, value in terms.negative.items()}
    for name, value in values.items():
        state.sums[name] = state.sums.get(name, 0.0) + value.item()
    for name, value in terms.bound.items():
        state.sums[f"bound_{name}"] = value.item()


def _row(state: State, every: int, lr: float) -> dict:
    """The means over the row's steps (the last bound as it is), and a fresh start for the next
    row.
    """
    since = state.step - (state.history[-1]["step"] if state.history else 0)
    row = {"step": state.step, "lr": lr}
    row |= {
        name: value if name.startswith("bound_") else value / since
        for name, value in state.sums.items()
    }
    if not math.isfinite(row["loss"]):
        raise UserError(
            f"The loss became {row['loss']} by step {state.step}; lower optimiser.learning_rate or"
            " the contrastive weights."
        )
    state.sums = {}
    return row


@torch.no_grad()
def validate(
    network: Network,
    process: MaskAndReplace,
    config: Train,
    batches: TrainingBatches,
    device: torch.device,
) -> float:
    """The likelihood part of the loss in nats a token on held-out rows: same rows and same noise at
    every call.
    """
    loss = config.loss.model_copy(update={"t_sampling": "uniform", "null_probability": 0.0})
    objective = Objective(process, loss, "vanilla").to(device).eval()
    was_training = network.training
    network.eval()
    total, n_batches = 0.0, run_settings().validation_batches
    for number in range(n_batches):
        batch = batches[number].to(device)
        generator = torch_generator(config.seed, "validation", number)
        total += float(objective(network, batch.x_0, batch.inputs, generator).main)
    network.train(was_training)
    return total / n_batches

"""The one training engine: batch, loss, step, average; validate, log, checkpoint. It reads from top
to bottom.

A training depends on its settings and its step numbers alone: what draws at random makes its
generator of (seed, step). Killed and taken up again, it therefore ends with the same bytes, and
with several processes as with one, but for the rounding of sums.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.runtime.code import code_digest
from pipeline.runtime.cpu import use_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.products import products
from pipeline.runtime.progress import progress
from pipeline.runtime.run import RunSettings, run_settings
from pipeline.training.ahead import read_ahead
from pipeline.training.checkpoint import Checkpoint, Checkpoints
from pipeline.training.history import LiveHistory, Tally
from pipeline.training.optimiser import Average, Descent, LRSchedule, build_optimiser
from pipeline.training.processes import alone
from pipeline.training.signals import STOPPED, Wish, wish_to_stop

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Outcome:
    """What a step gives: the loss to descend, and what the history tells of it, by name.

    `means` are averaged over the steps of a row, `latest` stand as they are, `counts` are added up
    (all over the processes as well).
    """

    total: Tensor
    means: dict[str, Tensor] = field(default_factory=dict)
    latest: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What decides a training, apart from what is trained and its batches.

    `batch_size` is that of all processes together. `settings` (JSON values) and the code of the
    `packages` of `pipeline` are those by which a checkpoint is known as this training's.
    """

    title: str
    steps: int
    batch_size: int
    descent: Descent
    settings: dict
    packages: tuple[str, ...]
    average: Average | None = None
    bf16: bool = False


@dataclass(frozen=True)
class Hooks:
    """What only some trainings do.

    `start` prepares an untrained task, before the first step. `averaged` is the module whose
    moving average is kept, validated and, at the end, put in its place. `validate` gives the loss
    on held-out data of that average, or of the task, and `measure` further columns beside it, the
    same in every process. `describe` makes columns of added-up counts.
    """

    start: Callable[[], None] | None = None
    averaged: nn.Module | None = None
    validate: Callable[[nn.Module], float] | None = None
    measure: Callable[[nn.Module], dict[str, float]] | None = None
    describe: Callable[[dict[str, Tensor]], dict[str, float]] | None = None


NO_HOOKS = Hooks()


def fit(
    task: nn.Module,
    batch_at: Callable[[int], object],
    plan: Plan,
    folder: Path | None = None,
    hooks: Hooks = NO_HOOKS,
    fabric: "Fabric | None" = None,
) -> list[dict]:
    """The history of a training, one row every `log_every` steps; `task` ends trained.

    `task(batch, step)` gives an Outcome. `batch_at(step)` gives this process's part of the batch,
    tensors or what has `to`. Checkpoints and the growing history.csv go to `folder`: a run that
    finds a checkpoint goes on from it. SIGINT and SIGTERM end the process with code 75 after the
    step in progress, which is saved. Raises UserError when the loss is not finite, when the
    processes cannot share the batch, and for a checkpoint of another training.
    """
    fabric, rhythm = fabric or alone(plan.bf16), run_settings()
    if plan.batch_size % fabric.world_size:
        raise UserError(
            f"batch_size is {plan.batch_size}, which {fabric.world_size} processes cannot share"
            " evenly; start a number of processes that divides it."
        )
    run = _Run(task, plan, hooks, fabric)
    checkpoints = None if folder is None else Checkpoints(folder)
    rows = _begin(run, checkpoints)
    history = LiveHistory(folder / "history.csv" if folder and run.leads else None, rows)
    task.train()
    steps = range(run.step, plan.steps)
    batches: Iterator = read_ahead(batch_at, steps, rhythm.workers)
    if run.leads:
        batches = progress(batches, plan.title, total=len(steps))
    with wish_to_stop() as wish:
        for batch in batches:
            run.advance(fabric.to_device(batch))
            last = run.step == plan.steps
            if last or run.step % rhythm.log_every == 0:
                history.append(run.row(rhythm))
            stops = not last and checkpoints is not None and _all_stop(run, wish, rhythm)
            if checkpoints is not None and not last:
                if stops or run.step % rhythm.checkpoint_every == 0:
                    run.save(checkpoints, history.rows)
                if stops:
                    _stop(run, wish)
    task.eval()
    if hooks.averaged is not None and run.average is not None:
        hooks.averaged.load_state_dict(run.average.module.state_dict())
    return history.rows


class _Run:
    """A training in progress: everything that a checkpoint holds."""

    def __init__(self, task: nn.Module, plan: Plan, hooks: Hooks, fabric: "Fabric"):
        self.task, self.plan, self.hooks, self.fabric = task.to(fabric.device), plan, hooks, fabric
        self.leads = fabric.global_rank == 0
        self.optimiser = build_optimiser(plan.descent, task)
        self.schedule = LRSchedule(plan.descent, self.optimiser, plan.steps)
        self.average = None
        if hooks.averaged is not None:
            assert plan.average is not None, "the plan says how `averaged` is averaged"
            rule = get_ema_multi_avg_fn(plan.average.decay)
            self.average = AveragedModel(hooks.averaged, multi_avg_fn=rule)
        self.parallel = fabric.strategy.setup_module(task)
        self.step, self.tally = 0, Tally()

    def advance(self, batch: object) -> None:
        """One step."""
        with self.fabric.autocast():
            outcome = self.parallel(batch, self.step)
        means = {"loss": outcome.total, **outcome.means}
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(outcome.total)
        if self.plan.descent.clip_norm is not None:
            parameters = self.optimiser.param_groups[0]["params"]
            norm = nn.utils.clip_grad_norm_(parameters, self.plan.descent.clip_norm)
            means["gradient"] = norm
        self.optimiser.step()
        self.step += 1
        if self.average is not None:
            assert self.plan.average is not None
            assert self.hooks.averaged is not None
            if self.step % self.plan.average.every == 0:
                self.average.update_parameters(self.hooks.averaged)
        self.schedule.advance(lambda: float(self.mean(outcome.total.detach())))
        self.tally.add(means, outcome.latest, outcome.counts)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        mean = self.fabric.all_reduce(value, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean

    def row(self, rhythm: RunSettings) -> dict:
        """The steps since the last row, and a fresh start for the next."""
        tally, self.tally = self.tally.of_all_processes(), Tally()
        row = {"step": self.step, "learning_rate": self.schedule.rate, **tally.columns()}
        if not math.isfinite(row["loss"]):
            raise UserError(
                f"The loss became {row['loss']} by step {self.step} ({self.plan.title}); lower its"
                " learning_rate."
            )
        if self.hooks.describe is not None:
            row |= self.hooks.describe(tally.counts)
        due = self.step % rhythm.validate_every == 0 or self.step == self.plan.steps
        if self.hooks.validate is not None and due:
            module = self.task if self.average is None else self.average.module
            found = self.optimiser.param_groups[0]["params"][0].new_tensor(
                self.hooks.validate(module)
            )
            row["validation"] = float(self.mean(found))
            if self.hooks.measure is not None:
                row |= self.hooks.measure(module)
        return row

    def facts(self) -> dict:
        """What a checkpoint says of its training."""
        return {
            "settings": self.plan.settings,
            "code": code_digest("training", *self.plan.packages),
            "batch_size": self.plan.batch_size,
            "processes": self.fabric.world_size,
            "products": products.name,
            "step": self.step,
        }

    def parts(self) -> dict:
        """What has a state dict."""
        parts = {"task": self.task, "optimiser": self.optimiser, "schedule": self.schedule}
        return parts if self.average is None else {**parts, "average": self.average}

    def save(self, checkpoints: Checkpoints, rows: list[dict]) -> None:
        """Writes the checkpoint of this step; every process must call it."""
        tally = self.tally.of_all_processes()
        if self.leads:
            state = {name: part.state_dict() for name, part in self.parts().items()}
            state |= {"rows": rows, "tally": vars(tally)}
            checkpoints.save(Checkpoint(state, self.facts()))

    def restore(self, checkpoint: Checkpoint) -> list[dict]:
        """Puts a checkpoint's state in place and gives the rows so far."""
        for name, part in self.parts().items():
            part.load_state_dict(checkpoint.state[name])
        self.step = checkpoint.facts["step"]
        self.tally.take_up(checkpoint.state["tally"], self.fabric.device, self.leads)
        return checkpoint.state["rows"]


def _begin(run: _Run, checkpoints: Checkpoints | None) -> list[dict]:
    """The rows so far: of the checkpoint that is gone on from, or none."""
    run.fabric.barrier()
    found = None if checkpoints is None else checkpoints.load()
    if checkpoints and found and found.facts["settings"] != run.facts()["settings"]:
        raise UserError(
            f"{checkpoints.newest} belongs to a training with other settings; delete it or give"
            " this training its own folder."
        )
    if found is not None and found.facts["code"] != run.facts()["code"]:
        run.fabric.print(
            "The code has changed since the checkpoint; starting over.", file=sys.stderr
        )
        found = None
    if found is None:
        if run.hooks.start is not None:
            run.hooks.start()
        return []
    if found.facts["processes"] != run.fabric.world_size:
        run.fabric.print(
            f"Going on with {run.fabric.world_size} processes after {found.facts['processes']};"
            f" the batch stays {run.plan.batch_size}.",
            file=sys.stderr,
        )
    if found.facts["products"] != products.name:
        kept = use_products(found.facts["products"])
        run.fabric.print(f"Going on with the products it began with: {kept}.", file=sys.stderr)
    return run.restore(found)


def _all_stop(run: _Run, wish: Wish, rhythm: RunSettings) -> bool:
    """Whether to stop here. Several processes agree on it when a row is due."""
    if run.fabric.world_size == 1:
        return bool(wish.signal)
    if run.step % rhythm.log_every:
        return False
    asked = run.optimiser.param_groups[0]["params"][0].new_tensor(float(bool(wish.signal)))
    return float(run.mean(asked)) > 0


def _stop(run: _Run, wish: Wish) -> None:
    run.fabric.barrier()
    run.fabric.print(
        f"Stopped by {wish.signal or 'a signal'} after step {run.step} of {run.plan.steps}; it is"
        " saved: run the same command again to go on from there.",
        file=sys.stderr,
    )
    raise SystemExit(STOPPED)

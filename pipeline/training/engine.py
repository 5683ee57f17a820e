"""The one training engine: batch, loss, step, average; validate, log, checkpoint. It reads from top
to bottom.

A training depends on its settings and its step numbers alone: what draws at random makes its
generator of (seed, step). Killed and taken up again, it therefore ends with the same bytes, and
with several processes as with one, but for the rounding of sums.
"""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from pipeline.runtime.cpu import use_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.products import products
from pipeline.runtime.progress import progress
from pipeline.runtime.run import RunSettings, run_settings
from pipeline.training.ahead import read_ahead
from pipeline.training.checkpoint import Checkpoint, Checkpoints, read_checkpoint
from pipeline.training.optimiser import Average, Descent
from pipeline.training.processes import alone
from pipeline.training.selection import Selection
from pipeline.training.signals import STOPPED, Wish, wish_to_stop
from pipeline.training.state import Run
from pipeline.training.telling import Telling

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Outcome:
    """What a step gives: the loss to descend, and what the history tells of it, by name.

    `means` are averaged over the steps of a row, `counts` added up, both over the processes too.
    """

    total: Tensor
    means: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)

    def detached(self) -> "Outcome":
        """The same without what gradients need."""
        return replace(self, total=self.total.detach())


@dataclass(frozen=True)
class Plan:
    """What decides a training, apart from what is trained and its batches.

    `batch_size` is that of all processes together; `tokens` is how many an example has, where it
    has any. `settings` (JSON values) and the code of the `packages` of `pipeline` are those by
    which a checkpoint is known as this training's.
    """

    title: str
    steps: int
    batch_size: int
    descent: Descent
    settings: dict
    packages: tuple[str, ...]
    average: Average | None = None
    bf16: bool = False
    selection: Selection | None = None
    tokens: int = 0


@dataclass(frozen=True)
class Hooks:
    """What only some trainings do.

    `start` prepares an untrained task, before the first step; `begin_with` is the checkpoint of
    another training whose weights, optimiser and average are the start. `averaged` is the module
    whose moving average is kept, validated and, at the end, put in its place. `validate` gives the
    loss on held-out data of that average, or of the task, and `measure` further columns beside it,
    the same in every process. `describe` makes columns of added-up counts. `split` cuts a batch
    into equal parts that pass one after the other. `check` raises UserError for a training that
    cannot go on; it is asked at every row and before every checkpoint. `select` gives the loss by
    which `plan.selection` chooses. `compiled` are modules that torch.compile may take. `snapshot`
    keeps the module of a step, `ended` the state at the end, both in the process that leads.
    """

    start: Callable[[], None] | None = None
    averaged: nn.Module | None = None
    validate: Callable[[nn.Module], float] | None = None
    measure: Callable[[nn.Module], dict[str, float]] | None = None
    describe: Callable[[dict[str, Tensor]], dict[str, float]] | None = None
    split: Callable[[object], Sequence[object]] | None = None
    check: Callable[[], None] | None = None
    begin_with: Checkpoint | None = None
    select: Callable[[nn.Module], float] | None = None
    compiled: Sequence[nn.Module] = ()
    snapshot: Callable[[nn.Module, int], None] | None = None
    ended: Callable[[Checkpoint], None] | None = None


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
    tensors or what has `to`. Checkpoints, the growing history.csv and the pace go to `folder`: a
    run that finds a checkpoint goes on from it. SIGINT and SIGTERM end the process with code 75
    after the step in progress, which is saved. Raises UserError when the loss is not finite, when
    the processes cannot share the batch, and for a checkpoint of another training.
    """
    fabric, rhythm = fabric or alone(plan.bf16), run_settings()
    if plan.batch_size % fabric.world_size:
        raise UserError(
            f"batch_size is {plan.batch_size}, which {fabric.world_size} processes cannot share"
            " evenly; start a number of processes that divides it."
        )
    run = Run(task, plan, hooks, fabric)
    checkpoints = None if folder is None else Checkpoints(folder)
    rows = _begin(run, checkpoints)
    telling = Telling(plan, rhythm, folder if run.leads else None, rows, run.step)
    task.train()
    steps = range(run.step, plan.steps)
    pinned = fabric.device.type == "cuda"
    batches: Generator = read_ahead(batch_at, steps, rhythm.workers, pinned)
    if run.leads:
        batches = progress(batches, plan.title, len(steps), lambda: telling.words)
    with wish_to_stop() as wish, closing(batches):
        for batch in batches:
            run.advance(fabric.to_device(batch))
            last = run.is_over()
            if last or run.step % rhythm.log_every == 0:
                telling.tell(run.row(rhythm, last))
            if rhythm.snapshot_every and run.step % rhythm.snapshot_every == 0 and not last:
                run.snapshot()
            stops = not last and checkpoints is not None and _all_stop(run, wish, rhythm)
            if checkpoints is not None and not last:
                if stops or run.step % rhythm.checkpoint_every == 0:
                    run.save(checkpoints, telling.rows)
                if stops:
                    _stop(run, wish)
            if last and run.step < plan.steps:
                break
    telling.close()
    run.finish(telling.rows)
    return telling.rows


def _begin(run: Run, checkpoints: Checkpoints | None) -> list[dict]:
    """The rows so far: of the checkpoint that is gone on from, or none."""
    found = None if checkpoints is None else _found(run, checkpoints)
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
        if run.hooks.begin_with is not None:
            run.take_over(run.hooks.begin_with)
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


def _found(run: Run, checkpoints: Checkpoints) -> Checkpoint | None:
    """The checkpoint that is there: the process that leads finds and verifies it, and the others
    read the same one, or hear the same mistake.
    """
    found, told = None, ("", None)
    if run.leads:
        try:
            found = checkpoints.load()
            told = ("", found and found.path)
        except UserError as error:
            told = (str(error), None)
    mistake, path = run.fabric.broadcast(told)
    if mistake:
        raise UserError(mistake)
    return found if run.leads or path is None else read_checkpoint(path, is_verified=True)


def _all_stop(run: Run, wish: Wish, rhythm: RunSettings) -> bool:
    """Whether to stop here. Several processes agree on it when a row is due."""
    if run.fabric.world_size == 1:
        return bool(wish.signal)
    if run.step % rhythm.log_every:
        return False
    asked = run.optimiser.param_groups[0]["params"][0].new_tensor(float(bool(wish.signal)))
    return float(run.mean(asked)) > 0


def _stop(run: Run, wish: Wish) -> None:
    run.fabric.barrier()
    run.fabric.print(
        f"Stopped by {wish.signal or 'a signal'} after step {run.step} of {run.plan.steps}; it is"
        " saved: run the same command again to go on from there.",
        file=sys.stderr,
    )
    raise SystemExit(STOPPED)

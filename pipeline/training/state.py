"""A training in progress: everything that a checkpoint holds, and how it moves on by one step."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.runtime.code import code_digest
from pipeline.runtime.errors import UserError
from pipeline.runtime.products import products
from pipeline.runtime.run import RunSettings, run_settings
from pipeline.training.average import MovingAverage
from pipeline.training.checkpoint import Checkpoint, Checkpoints
from pipeline.training.history import Tally
from pipeline.training.optimiser import LRSchedule, build_optimiser
from pipeline.training.selection import Chosen

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from pipeline.training.engine import Hooks, Outcome, Plan


class Run:
    """Task, optimiser, schedule, average, the step they have come to, and what is told of it."""

    def __init__(self, task: nn.Module, plan: "Plan", hooks: "Hooks", fabric: "Fabric"):
        self.task, self.plan, self.hooks, self.fabric = task.to(fabric.device), plan, hooks, fabric
        self.leads = fabric.global_rank == 0
        self.optimiser = build_optimiser(plan.descent, task)
        self.schedule = LRSchedule(plan.descent, self.optimiser, plan.steps, self.mean)
        self.average = None
        if hooks.averaged is not None:
            assert plan.average is not None, "the plan says how `averaged` is averaged"
            self.average = MovingAverage(hooks.averaged, plan.average.decay)
        self.parallel = fabric.strategy.setup_module(task)
        self.step, self.tally = 0, Tally()
        self.chosen = None if plan.selection is None else Chosen(plan.selection)
        if (backend := run_settings().compile) is not None:
            for module in hooks.compiled:
                module.compile(backend=backend)

    def advance(self, batch: object) -> None:
        """One step, of one pass or of several whose gradients add up to the same."""
        parts = self.hooks.split(batch) if self.hooks.split is not None else [batch]
        self.optimiser.zero_grad(set_to_none=True)
        outcomes = [
            self._descended(part, 1 / len(parts), is_last=number == len(parts))
            for number, part in enumerate(parts, start=1)
        ]
        norm = {}
        if self.plan.descent.clip_norm is not None:
            parameters = self.optimiser.param_groups[0]["params"]
            norm["gradient"] = nn.utils.clip_grad_norm_(parameters, self.plan.descent.clip_norm)
        self.optimiser.step()
        self.step += 1
        if self.average is not None:
            assert self.plan.average is not None
            assert self.hooks.averaged is not None
            if self.step % self.plan.average.every == 0:
                self.average.update(self.hooks.averaged)
        self.schedule.advance(torch.stack([one.total for one in outcomes]).mean())
        self.tally.add(
            [replace(one, means={"loss": one.total, **one.means, **norm}) for one in outcomes]
        )

    def _descended(self, part: object, share: float, is_last: bool) -> "Outcome":
        """What a pass over a part of the batch tells; its gradients are added to what is there, and
        exchanged between processes after the last one.
        """
        with self._exchange(is_last):
            with self.fabric.autocast():
                outcome: Outcome = self.parallel(part, self.step)
            self.fabric.backward(outcome.total * share)
        return outcome.detached()

    def _exchange(self, now: bool) -> AbstractContextManager:
        if now or not isinstance(self.parallel, DistributedDataParallel):
            return nullcontext()
        return self.parallel.no_sync()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        mean = self.fabric.all_reduce(value, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean

    def is_over(self) -> bool:
        """Whether this was the last step; looks at held-out rows where one is due."""
        if self.chosen is not None and self.step % self.chosen.selection.every == 0:
            assert self.hooks.select is not None, "a selection has something to choose by"
            loss = self.judged(self.hooks.select(self.current))
            self.chosen.look(loss, self.step, self.current)
            self.tally.latest["selection"] = torch.tensor(loss, device=self.fabric.device).double()
        return self.step == self.plan.steps or (self.chosen is not None and self.chosen.is_over)

    def row(self, rhythm: RunSettings, is_last: bool) -> dict:
        """The steps since the last row, and a fresh start for the next."""
        self.schedule.settle()
        tally, self.tally = self.tally.of_all_processes(), Tally()
        self._check(tally)
        row = {"step": self.step, "processes": self.fabric.world_size}
        row |= {"learning_rate": self.schedule.rate, **tally.columns()}
        if self.hooks.describe is not None:
            row |= self.hooks.describe(tally.counts)
        if self.step % rhythm.validate_every == 0 or is_last:
            if self.hooks.validate is not None:
                row["validation"] = self.judged(self.hooks.validate(self.current))
            if self.hooks.measure is not None:
                row |= self.hooks.measure(self.current)
        return row

    @property
    def current(self) -> nn.Module:
        """What the training would end with here."""
        return self.task if self.average is None else self.average.module

    def judged(self, loss: float) -> float:
        """The mean over all processes of a loss that each found on its part of held-out rows."""
        return float(self.mean(torch.tensor(loss, device=self.fabric.device)))

    def _check(self, tally: Tally) -> None:
        """Raises UserError for a training that cannot go on."""
        if self.hooks.check is not None:
            self.hooks.check()
        if "loss" in tally.sums and not math.isfinite(loss := tally.columns()["loss"]):
            raise UserError(
                f"The loss became {loss} by step {self.step} ({self.plan.title}); lower its"
                " learning_rate."
            )

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
        further = {"average": self.average, "chosen": self.chosen}
        return parts | {name: part for name, part in further.items() if part is not None}

    def save(self, checkpoints: Checkpoints, rows: list[dict]) -> None:
        """Writes the checkpoint of this step; every process must call it."""
        self.schedule.settle()
        tally = self.tally.of_all_processes()
        self._check(tally)
        if self.leads:
            checkpoints.save(self._checkpoint(rows, tally))

    def _checkpoint(self, rows: list[dict], tally: Tally) -> Checkpoint:
        state = {name: part.state_dict() for name, part in self.parts().items()}
        return Checkpoint(state | {"rows": rows, "tally": vars(tally)}, self.facts())

    def snapshot(self) -> None:
        """Keeps what the training would end with here; the result does not know of it."""
        if self.leads and self.hooks.snapshot is not None:
            self.hooks.snapshot(self.current, self.step)

    def finish(self, rows: list[dict]) -> None:
        """Puts the average, or the chosen weights, into the module that was trained."""
        if self.leads and self.hooks.ended is not None:
            self.hooks.ended(self._checkpoint(rows, Tally()))
        self.task.eval()
        target = self.task if self.hooks.averaged is None else self.hooks.averaged
        if self.average is not None:
            target.load_state_dict(self.average.module.state_dict())
        if self.chosen is not None:
            self.chosen.put_in(target)

    def restore(self, checkpoint: Checkpoint) -> list[dict]:
        """Puts a checkpoint's state in place and gives the rows so far."""
        for name, part in self.parts().items():
            part.load_state_dict(checkpoint.state[name])
        self.step = checkpoint.facts["step"]
        self.tally.take_up(checkpoint.state["tally"], self.fabric.device, self.leads)
        return checkpoint.state["rows"]

    def take_over(self, other: Checkpoint) -> None:
        """Begins with the weights, the optimiser's moments and the average of another training,
        under this one's own rates. Raises UserError where they do not fit.
        """
        own = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimiser.param_groups
        ]
        try:
            for name in ("task", "optimiser", "average"):
                if name in self.parts():
                    self.parts()[name].load_state_dict(other.state[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"{other.path} is of a training of another model ({str(error).splitlines()[-1]});"
                " its optimiser cannot go on with this one."
            ) from None
        for group, settings in zip(self.optimiser.param_groups, own):
            group.update(settings)

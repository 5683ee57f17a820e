"""The weights that looked best on held-out rows, and an end before the last step."""

import pytest
import torch

from pipeline.training.engine import Hooks, fit
from pipeline.training.selection import Selection
from tests.training.test_engine import Killed, Line, batch_at, dying_at, plan

LOSSES = {5: 3.0, 10: 1.0, 15: 2.0, 20: 1.5, 25: 0.5}


def hooks(task, taken):
    """Looks that give the losses above, whatever was learned, and keep what they saw."""

    def look(module):
        step = 5 * (len(taken) + 1)
        taken[step] = module.line.weight.detach().clone()
        return LOSSES[step]

    return Hooks(select=look)


@pytest.mark.parametrize(
    ("selection", "ends", "weights_of"),
    [
        (Selection(every=5), 25, 25),
        (Selection(every=5, patience=2), 20, 10),
        (Selection(every=5, patience=2, best=False), 20, 20),
        (Selection(every=5, patience=1), 15, 10),
    ],
)
def test_the_best_look_is_kept_and_patience_ends_the_training(
    run_yaml, tmp_path, selection, ends, weights_of
):
    run_yaml(log_every=5, checkpoint_every=7)
    task, taken = Line(), {}
    history = fit(task, batch_at, plan(steps=25, selection=selection), None, hooks(task, taken))
    assert [row["step"] for row in history] == list(range(5, ends + 1, 5))
    assert [row["selection"] for row in history] == [LOSSES[row["step"]] for row in history]
    assert task.line.weight.equal(taken[weights_of])

    killed, seen = Line(), {}
    with pytest.raises(Killed):
        fit(killed, dying_at(12), plan(steps=25, selection=selection), tmp_path, hooks(task, seen))
    seen = {step: weight for step, weight in seen.items() if step <= 7}  # the checkpoint's
    resumed = Line()
    again = fit(resumed, batch_at, plan(steps=25, selection=selection), tmp_path, hooks(task, seen))
    assert again == history
    assert resumed.line.weight.equal(task.line.weight)


def test_without_a_selection_the_last_weights_stay():
    one, other = Line(), Line()
    fit(one, batch_at, plan())
    fit(other, batch_at, plan(selection=Selection(every=100)), None, Hooks(select=lambda _: 0.0))
    assert one.line.weight.equal(other.line.weight)
    assert torch.isfinite(one.line.weight).all()

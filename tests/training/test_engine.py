"""The engine on a line: live history, rotation, changed settings and code, signals."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.runtime.cpu import use_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.products import products
from pipeline.runtime.seeds import torch_generator
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.engine import Hooks, Outcome, Plan, fit
from pipeline.training.optimiser import Average, Descent

ROOT = Path(__file__).parents[2]


class Line(nn.Module):
    """Learns y = 2 x + 1."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(1, 1)
        with torch.no_grad():
            self.line.weight.fill_(0.0)
            self.line.bias.fill_(0.0)

    def forward(self, x, step):
        loss = (self.line(x) - 2 * x - 1).square().mean()
        return Outcome(loss, {"half": loss / 2}, counts={"rows": torch.tensor([len(x)])})


def batch_at(step):
    return torch.randn(4, 1, generator=torch_generator(0, step))


def plan(**changes):
    settings = {
        "title": "the line",
        "steps": 20,
        "batch_size": 4,
        "descent": Descent(0.1, "cosine", clip_norm=1.0),
        "settings": {"seed": 0},
        "packages": (),
    }
    return Plan(**{**settings, **changes})


class Killed(Exception):
    pass


def dying_at(step):
    def give(number):
        if number == step:
            raise Killed
        return batch_at(number)

    return give


def read(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_line_is_learned_averaged_and_told(run_yaml, tmp_path):
    run_yaml(log_every=30, validate_every=60)
    task = Line()
    hooks = Hooks(
        averaged=task.line,
        validate=lambda line: float(line.bias.detach()),
        describe=lambda counts: {"rows": int(counts["rows"])},
    )
    average = Average(decay=0.5, every=1)
    history = fit(task, batch_at, plan(steps=80, average=average), tmp_path / "run", hooks)
    assert [row["step"] for row in history] == [30, 60, 80]
    assert [row["rows"] for row in history] == [120, 120, 80]
    assert ["validation" in row for row in history] == [False, True, True]
    assert history[-1]["validation"] == float(task.line.bias.detach())
    assert history[-1]["half"] == pytest.approx(history[-1]["loss"] / 2)
    assert history[-1]["loss"] < 0.05 * history[0]["loss"]
    assert torch.allclose(task.line.weight, torch.tensor(2.0), atol=0.1)
    assert not task.training


def test_a_killed_training_leaves_its_curve_and_a_resumed_one_cuts_it_to_its_checkpoint(
    run_yaml, tmp_path
):
    run_yaml(log_every=1, checkpoint_every=6, validate_every=4)
    hooks = Hooks(validate=lambda task: 0.0)
    whole = fit(Line(), batch_at, plan(), tmp_path / "whole", hooks)
    killed = tmp_path / "killed"
    with pytest.raises(Killed):
        fit(Line(), dying_at(11), plan(), killed, hooks)
    assert [int(row["step"]) for row in read(killed / "history.csv")] == list(range(1, 12))
    with pytest.raises(Killed):
        fit(Line(), dying_at(6), plan(), killed, hooks)  # reads the checkpoint of step 6, and dies
    assert [int(row["step"]) for row in read(killed / "history.csv")] == list(range(1, 7))
    assert fit(Line(), batch_at, plan(), killed, hooks) == whole
    assert (killed / "history.csv").read_bytes() == (tmp_path / "whole/history.csv").read_bytes()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_checkpoint_gives_way_and_the_end_is_the_same(
    run_yaml, tmp_path, capsys, workers
):
    run_yaml(checkpoint_every=4)
    whole, resumed = Line(), Line()
    fit(whole, batch_at, plan())
    with pytest.raises(Killed):
        fit(Line(), dying_at(14), plan(), tmp_path / "run")
    newest = Checkpoints(tmp_path / "run").newest
    newest.write_bytes(newest.read_bytes()[:-3])
    run_yaml(checkpoint_every=4, workers=workers)
    fit(resumed, batch_at, plan(), tmp_path / "run")
    assert "going on from the one before, of step 8" in capsys.readouterr().err
    assert resumed.line.weight.equal(whole.line.weight)


def test_other_settings_are_refused_and_other_code_begins_anew(
    run_yaml, tmp_path, monkeypatch, capsys
):
    run_yaml(checkpoint_every=4)
    with pytest.raises(Killed):
        fit(Line(), dying_at(14), plan(), tmp_path / "run")
    with pytest.raises(UserError, match="belongs to a training with other settings"):
        fit(Line(), batch_at, plan(settings={"seed": 1}), tmp_path / "run")
    run_yaml(checkpoint_every=5, log_every=3)  # what decides no result is no other setting
    begun = []
    monkeypatch.setattr("pipeline.training.state.code_digest", lambda *names: "other")
    fit(Line(), batch_at, plan(), tmp_path / "run", Hooks(start=lambda: begun.append(1)))
    assert begun == [1]
    assert "The code has changed" in capsys.readouterr().err


def test_a_resumed_training_keeps_the_products_it_began_with(run_yaml, tmp_path, capsys):
    run_yaml(checkpoint_every=5)
    try:
        with pytest.raises(Killed):
            fit(Line(), dying_at(8), plan(), tmp_path)
        assert products.name == "torch"
        assert use_products("onednn") == "onednn"
        fit(Line(), batch_at, plan(), tmp_path)
        assert products.name == "torch"
        assert "Going on with the products it began with: torch." in capsys.readouterr().err
    finally:
        use_products("torch")


def test_a_loss_that_is_no_number_is_told(run_yaml, tmp_path):
    run_yaml(log_every=2)
    with pytest.raises(UserError, match=r"became nan by step 2 \(the line\); lower its learning"):
        fit(Line(), lambda step: batch_at(step) * float("nan"), plan())


PROGRAM = """
import sys, time
from pathlib import Path
from tests.training.test_engine import Line, batch_at, fit, plan

def slowly(step):
    time.sleep(0.05)
    return batch_at(step)

task = Line()
fit(task, slowly, plan(steps=60), Path(sys.argv[1]))
print(task.line.weight.item())
"""


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 0)])
def test_a_signal_ends_after_a_saved_step_with_a_sentence_and_a_code(
    run_yaml, tmp_path, number, workers
):
    run_yaml(log_every=1, checkpoint_every=1000, workers=workers)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run")]
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    curve, deadline = tmp_path / "run" / "history.csv", time.monotonic() + 60
    while time.monotonic() < deadline and not (curve.exists() and len(read(curve)) > 5):
        time.sleep(0.02)
    os.killpg(started.pid, number)  # the workers hear it too, as from a terminal
    told = started.communicate(timeout=60)[1]
    step = Checkpoints(tmp_path / "run").load().facts["step"]
    assert started.returncode == 75, told
    sentence = f"Stopped by {signal.Signals(number).name} after step {step} of 60; it is saved"
    assert sentence in told
    assert "Traceback" not in told
    assert 5 < step < 60
    run_yaml(log_every=1)
    whole, resumed = Line(), Line()
    fit(whole, batch_at, plan(steps=60))
    assert len(fit(resumed, batch_at, plan(steps=60), tmp_path / "run")) == 60
    assert resumed.line.weight.equal(whole.line.weight)

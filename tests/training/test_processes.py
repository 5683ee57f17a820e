"""Two gloo processes against one, and several passes against one: the same batches, the same losses
and parameters but for rounding; one that is killed ends the other.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipeline.runtime.errors import UserError
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.engine import Plan, fit
from pipeline.training.optimiser import Descent
from tests.helpers.gloo_process import PATIENCE
from tests.helpers.small_denoiser import config, train, write_stores

ROOT = Path(__file__).parents[2]
SCHEDULES = ("constant", "cosine", "plateau")
STEPS = 30
RHYTHM = {
    "log_every": 5,
    "bound_every": 5,
    "validate_every": 10,
    "validation_batches": 2,
    "checkpoint_every": 6,
}


def started(folder, steps, *schedules, world=2):
    """`world` processes that train together, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TORCHELASTIC_RUN_ID": "test",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", "tests.helpers.gloo_process", str(folder), str(steps)]
    return [
        subprocess.Popen(
            [*command, *schedules],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def single(stores, folder, schedule):
    settings = config(schedule=schedule, steps=STEPS, **PATIENCE)
    return train(stores, folder, settings, "sample_inter")


def same_course(found, expected):
    """Two histories that tell the same but for rounding, whoever worked on them."""
    assert [row.keys() for row in found] == [row.keys() for row in expected]
    for row, other in zip(found, expected):
        told = {name: value for name, value in other.items() if name != "processes"}
        assert {name: row[name] for name in told} == pytest.approx(told, rel=1e-3, abs=1e-5)


def near(name, found, expected):
    """Equal but for rounding. A key's bias has no gradient but rounding, which Adam blows up."""
    if name.endswith("attention.qkv.bias"):
        found, expected = (value.unflatten(0, (3, -1))[[0, 2]] for value in (found, expected))
    torch.testing.assert_close(
        found, expected, rtol=1e-3, atol=1e-5, msg=lambda text: f"{name}: {text}"
    )


def test_two_processes_or_two_passes_train_what_one_trains(tmp_path, run_yaml, monkeypatch):
    run_yaml(**RHYTHM)
    stores = write_stores(tmp_path)
    whole = {
        schedule: single(stores, tmp_path / f"{schedule}_alone", schedule) for schedule in SCHEDULES
    }
    real, calls = torch.optim.AdamW.step, []

    def dies_at_the_eighth(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch.optim.AdamW, "step", dies_at_the_eighth)
        single(stores, tmp_path / "plateau", "plateau")

    # the plateau goes on after step 6, the others begin
    together = started(tmp_path, STEPS, *SCHEDULES)
    run_yaml(**RHYTHM, micro_batch=2)
    passes = {
        schedule: single(stores, tmp_path / f"{schedule}_parts", schedule) for schedule in SCHEDULES
    }
    told = [process.communicate(timeout=600)[1] for process in together]
    assert [process.returncode for process in together] == [0, 0], told
    assert "Going on with 2 processes after 1; the batch stays 4." in told[0]
    for schedule, (weights, history) in whole.items():
        first, second = (
            torch.load(tmp_path / f"{schedule}.{rank}.pt", weights_only=True) for rank in range(2)
        )
        for name, value in weights.items():
            assert first["weights"][name].equal(second["weights"][name]), name
            near(name, first["weights"][name], value)
            near(name, passes[schedule][0][name], value)
        assert first["history"] == second["history"]
        same_course(first["history"], history)
        same_course(passes[schedule][1], history)
        worked = [row["processes"] for row in first["history"]]
        assert worked == ([1] if schedule == "plateau" else [2]) + [2] * 5
    rates = [row["learning_rate"] for row in whole["plateau"][1]]
    assert rates[-1] < rates[0]  # the rule has acted

    assert Checkpoints(tmp_path / "cosine").load().facts["step"] == 24
    weights, history = single(stores, tmp_path / "cosine", "cosine")  # two processes, then one
    for name, value in whole["cosine"][0].items():
        near(name, weights[name], value)
    same_course(history, whole["cosine"][1])
    assert [row["processes"] for row in history] == [2] * 4 + [1] * 2


def test_a_process_that_is_killed_ends_the_others_with_a_sentence(tmp_path, run_yaml):
    run_yaml(log_every=1, checkpoint_every=5)
    write_stores(tmp_path)
    first, second = started(tmp_path, 100_000, "constant")
    curve, deadline = tmp_path / "constant" / "history.csv", time.monotonic() + 300
    while time.monotonic() < deadline and not (
        curve.exists() and len(curve.read_text().splitlines()) > 7
    ):
        time.sleep(0.05)
    second.send_signal(signal.SIGKILL)
    told = first.communicate(timeout=300)[1]
    second.communicate()
    assert first.returncode == 1
    assert "Error: Another of the 2 processes of this training has ended" in told
    assert "Traceback" not in told
    assert Checkpoints(tmp_path / "constant").load().facts["step"] >= 5


def test_a_batch_that_the_processes_cannot_share_is_refused():
    class Three:
        global_rank, world_size = 0, 3

    plan = Plan("training", 1, 4, Descent(1e-3), {}, ())
    with pytest.raises(UserError, match="batch_size is 4, which 3 processes cannot share"):
        fit(torch.nn.Linear(1, 1), lambda step: None, plan, fabric=Three())


def test_the_engine_starts_without_what_it_does_not_need():
    program = """
import sys
from pipeline.training.processes import alone
fabric = alone()
assert (fabric.world_size, fabric.global_rank, str(fabric.device)) == (1, 0, "cpu")
assert not [name for name in ("torchmetrics", "torchvision", "scipy") if name in sys.modules]
import torchmetrics
assert torchmetrics.__version__
"""
    environment = {**os.environ, "CDCD_DEVICE": "cpu", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)

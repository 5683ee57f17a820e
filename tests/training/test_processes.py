"""Two gloo processes against one: the same batches, the same losses and parameters but for
rounding.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.runtime.errors import UserError
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.engine import Plan, fit
from pipeline.training.optimiser import Descent
from tests.helpers.gloo_process import SETTINGS
from tests.helpers.small_denoiser import config, train, write_stores

ROOT = Path(__file__).parents[2]
SCHEDULES = ("constant", "cosine", "plateau")
RHYTHM = {
    "log_every": 4,
    "bound_every": 4,
    "validate_every": 4,
    "validation_batches": 2,
    "checkpoint_every": 6,
}


def together(folder, *schedules, world=2):
    """Trains with `world` processes, as torchrun starts them."""
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
    command = [sys.executable, "-m", "tests.helpers.gloo_process", str(folder), *schedules]
    started = [
        subprocess.Popen(
            command,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    told = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0] * world, told
    return told


def single(stores, folder, schedule):
    settings = config(schedule=schedule, **SETTINGS)
    return train(stores, folder, settings, "sample_inter")


def near(name, found, expected):
    """Equal but for rounding. A key's bias has no gradient but rounding, which Adam blows up."""
    if name.endswith("attention.qkv.bias"):
        found, expected = (value.unflatten(0, (3, -1))[[0, 2]] for value in (found, expected))
    torch.testing.assert_close(
        found, expected, rtol=1e-3, atol=1e-5, msg=lambda text: f"{name}: {text}"
    )


def test_two_processes_train_what_one_trains(tmp_path, run_yaml, monkeypatch):
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

    told = together(tmp_path, *SCHEDULES)  # the plateau goes on after step 6, the others begin
    assert "Going on with 2 processes after 1; the batch stays 4." in told[0]
    for schedule, (weights, history) in whole.items():
        first, second = (
            torch.load(tmp_path / f"{schedule}.{rank}.pt", weights_only=True) for rank in range(2)
        )
        for name, value in weights.items():
            assert first["weights"][name].equal(second["weights"][name]), name
            near(name, first["weights"][name], value)
        assert first["history"] == second["history"]
        assert [row.keys() for row in first["history"]] == [row.keys() for row in history]
        for row, expected in zip(first["history"], history):
            assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)
    rates = [row["learning_rate"] for row in whole["plateau"][1]]
    assert rates[-1] < rates[0]  # the rule has acted

    assert Checkpoints(tmp_path / "cosine").load().facts["step"] == 12
    weights, history = single(stores, tmp_path / "cosine", "cosine")  # two processes, then one
    for name, value in whole["cosine"][0].items():
        near(name, weights[name], value)
    assert [row["loss"] for row in history] == pytest.approx(
        [row["loss"] for row in whole["cosine"][1]], rel=1e-4
    )


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

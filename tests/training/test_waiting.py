"""The CPU waits for an accelerator when a row is due, and at no other step; shown on a pretended
one. Every trained parameter takes part in every step, so that no process looks for idle ones.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

from pipeline.diffusion.objective import Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.model.network import CaptionInputs, CaptionModel, build_network
from pipeline.model.training import DenoiserTask
from pipeline.training.ahead import read_ahead
from pipeline.training.batches import Batch
from tests.helpers.small_denoiser import config

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
import torch
from tests.helpers import pretended_accelerator as pretended
pretended.register()
torch.set_num_threads(1)
from tests.helpers.run_file import write_run
from tests.helpers.small_denoiser import config, train, write_stores
folder = Path(sys.argv[1])
stores = write_stores(folder)
with pretended.Pretence():
    for schedule in ("cosine", "plateau"):
        reads = []
        for steps in (6, 14):
            rhythm = {"log_every": steps, "checkpoint_every": 1000, "bound_every": 1000}
            write_run(folder / "home", **rhythm, validate_every=1000, validation_batches=1)
            pretended.READS.clear()
            settings = config(steps=steps, schedule=schedule, plateau_patience=50)
            train(stores, folder / f"{schedule}{steps}", settings, "step_inter")
            reads.append(list(pretended.READS))
        assert len(reads[0]) > 3, "rows are read"
        assert len(reads[0]) == len(reads[1]), (schedule, reads)
"""


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch cannot pretend to have an accelerator",
)
def test_more_steps_between_two_rows_are_no_more_reads(tmp_path):
    environment = {**os.environ, "CDCD_HOME": str(tmp_path / "home"), "CDCD_DEVICE": "elsewhere"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("null", [0.0, 0.5])
def test_every_trained_parameter_has_a_gradient_at_every_step(null):
    settings = config()
    network = build_network(
        CaptionModel(denoiser=settings.model.denoiser),
        CaptionInputs(vocabulary=None, clip_size=(5, 6)),
        n_codes=8,
        grid=(4, 4),
        n_steps=10,
        seed=0,
    )
    loss = settings.loss.model_copy(update={"null_probability": null})
    task = DenoiserTask(network, Objective(MaskAndReplace(8, 10), loss, "vanilla"), seed=0)
    assert network.empty.requires_grad == bool(null)
    batch = Batch(torch.zeros(4, 16, dtype=torch.long), {"clip_text": torch.rand(4, 5, 6)}, {})
    task(batch, 0).total.backward()
    assert all(p.grad is not None for p in task.parameters() if p.requires_grad)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_pinned_where_a_gpu_fetches_them(monkeypatch, workers):
    """Without a GPU nothing can be pinned; that it is asked for can be seen."""
    asked = []
    monkeypatch.setattr("pipeline.training.ahead.pin_memory", lambda b: asked.append(b) or b)
    if workers:
        made = []
        monkeypatch.setattr(
            "pipeline.training.ahead.DataLoader", lambda *_, **told: made.append(told) or [1]
        )
        assert list(read_ahead(lambda step: step, range(3), 1, pinned=True)) == [1]
        assert made[0]["pin_memory"]
    else:
        assert list(read_ahead(lambda step: step, range(3), 0, pinned=True)) == [0, 1, 2]
        assert asked == [0, 1, 2]


def test_a_batch_falls_into_equal_parts_that_know_their_place():
    batch = Batch(torch.arange(6)[:, None], {"label": torch.arange(6)}, {}, number=1, parts=2)
    halves = batch.split(4)  # the greatest equal parts of at most four rows are of three
    assert [part.x_0.flatten().tolist() for part in halves] == [[0, 1, 2], [3, 4, 5]]
    assert [(part.number, part.parts, part.is_last) for part in halves] == [
        (2, 4, False),
        (3, 4, True),
    ]
    (whole,) = batch.split(None)
    assert (whole.number, whole.parts, whole.is_last) == (1, 2, True)

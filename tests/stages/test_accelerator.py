"""On an accelerator every stage keeps its tensors together and learns the same; shown on a
pretended one.
"""

import csv
import json
import os
import re
import subprocess
import sys

import pytest
from torch.utils import backend_registration

from tests.helpers.house import ROOT, SMALL, STAGES, run, small_params, write_params

if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
    pytest.skip("this PyTorch cannot pretend to have an accelerator", allow_module_level=True)


def elsewhere(folder, *commands):
    """Runs commands of `cdcd` in `folder` on the pretended accelerator."""
    environment = {
        **os.environ,
        "CDCD_HOME": str(folder / "home"),
        "CDCD_DEVICE": "elsewhere",
        "PYTHONPATH": str(ROOT),
    }
    words = [
        sys.executable,
        str(ROOT / "tests/helpers/pretended_accelerator.py"),
        *(json.dumps(command) for command in commands),
    ]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("dataset", SMALL)
def test_every_stage_runs_there_and_training_loses_what_it_loses_on_the_cpu(
    dataset, tmp_path, monkeypatch
):
    write_params(tmp_path, small_params(contrast="step_inter+sample_intra"))
    done = elsewhere(tmp_path, *([stage, dataset] for stage in STAGES))
    assert done.returncode == 0, done.stderr[-2000:]
    operations = dict(re.findall(r'\["(\w+)", "\w+"\] did (\d+) operations elsewhere', done.stderr))
    assert list(operations) == list(STAGES)
    assert all(
        int(operations[stage]) > 100
        for stage in ("codec", "tokenize", "train", "sample", "evaluate")
    ), operations
    there = losses(tmp_path / "data" / dataset)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    run("train", dataset)
    assert losses(tmp_path / "data" / dataset) == pytest.approx(there, rel=1e-4)


def losses(folder):
    with open(folder / "model/history.csv", newline="") as file:
        return [float(row["main"]) for row in csv.DictReader(file)]


def test_a_tensor_left_behind_is_noticed():
    program = """
import torch
from tests.helpers.pretended_accelerator import Pretence, register
register()
with Pretence():
    away = torch.ones(3, device="elsewhere")
    assert str(away.device) == "elsewhere:0" and (away * 2).sum().item() == 6
    away + torch.ones(3)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "aten::add: 1 of its tensors were left behind on the CPU." in done.stderr

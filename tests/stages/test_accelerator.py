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

from pipeline.generation.bundle import write_bundle
from tests.helpers.house import ROOT, SMALL, STAGES, run, small_params, write_params
from tests.helpers.small_models import dance_files, picture_files, write_dance, write_openpose

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


def test_finished_models_make_and_edit_there(tmp_path):
    for kind, make in (
        ("class", picture_files),
        ("caption", picture_files),
        ("dance", dance_files),
    ):
        (tmp_path / kind).mkdir()
        words = {"kind": "body25"} if kind == "dance" else {"task": kind}
        write_bundle(make(tmp_path / kind, **words), tmp_path / f"{kind}.safetensors")
    write_dance(tmp_path / "d.mp4", 1.3, fps=20)
    write_openpose(tmp_path / "poses" / "d", 26)
    pictures = ["--model", "class.safetensors", "--label"]
    dances = ["--model", "dance.safetensors", "--pose", "openpose", "--poses", "poses"]
    commands = [
        ["generate", *pictures, "cat", "--guidance", "2"],
        ["generate", "--model", "caption.safetensors", "--text", "a red circle"],
        ["edit", "generated/cat.png", *pictures, "dog", "--rectangle", "0,0,4,8"],
        ["generate", "d.mp4", *dances],
        ["edit", "generated/d.wav", "--dance", "d.mp4", "--span", "0:0.5", *dances],
    ]
    done = elsewhere(tmp_path, *commands)
    assert done.returncode == 0, done.stderr[-2000:]
    operations = re.findall(r"did (\d+) operations elsewhere", done.stderr)
    assert len(operations) == len(commands)
    assert min(map(int, operations)) > 100
    assert (tmp_path / "edited" / "d.mp4").exists()


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

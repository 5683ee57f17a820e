"""The prefix of run.yaml starts the stage once, and what cannot be started is told."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.errors import UserError
from pipeline.training.launch import LAUNCHED, launched, start_under_prefix

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys
from pipeline.training.launch import start_under_prefix
start_under_prefix("train", "digits")
print("went on")
"""


def test_the_command_is_that_of_the_stage_behind_the_prefix():
    stage = [sys.executable, "-m", "stages", "train", "digits"]
    assert launched("srun --ntasks 4", ("train", "digits")) == ["srun", "--ntasks", "4", *stage]
    torchrun = launched("torchrun --nproc_per_node=4", ("train", "digits"))
    assert Path(torchrun[0]).name == "torchrun"
    assert torchrun[1:] == ["--nproc_per_node=4", "--no-python", *stage]


@pytest.mark.parametrize("environment", [{}, {LAUNCHED: "1"}, {"SLURM_STEP_NUM_TASKS": "2"}])
def test_the_stage_starts_itself_under_the_prefix_once(tmp_path, run_yaml, environment):
    run_yaml(launch=f"{sys.executable} -c 'import sys, os; print(sys.argv[1:])'")
    slurm = {"SLURM_STEP_NUM_NODES": "1", **environment}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, **slurm, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if environment:
        assert told == "went on"
    else:
        words = ast.literal_eval(told)
        assert words == [sys.executable, "-m", "stages", "train", "digits"]


@pytest.mark.parametrize("prefix", ["", "nowhere-to-be-found -n 4", "srun 'unfinished"])
def test_a_prefix_that_cannot_be_started_is_told(run_yaml, monkeypatch, prefix):
    run_yaml(launch=prefix)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(UserError, match="run.yaml: launch .*torchrun --nproc_per_node=4"):
        start_under_prefix("train", "digits")

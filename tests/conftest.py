"""One thread and one cache of compiled code for each test process; shapes checked in all of them.

Two processes with two threads each on two cores spend their time waiting for each other; and two
processes that compile librosa's functions into one numba cache at the same time can leave it
damaged, which ends in a segmentation fault.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # also for the commands that tests start

from pipeline.runtime.scratch import home

os.environ["NUMBA_CACHE_DIR"] = str(
    home() / "numba" / os.environ.get("PYTEST_XDIST_WORKER", "alone")
)

import json

import pytest
import torch
from jaxtyping import install_import_hook

import tests.helpers.shape_checks  # noqa: F401 (the hook names it)

install_import_hook(
    ["pipeline.diffusion", "pipeline.model", "pipeline.codecs"],
    "tests.helpers.shape_checks.checked",
)
torch.set_num_threads(1)


@pytest.fixture
def run_yaml(tmp_path, monkeypatch):
    """Writes run.yaml, for this test alone."""

    def write(**settings):
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "home" / "run.yaml").write_text(json.dumps(settings))
        monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))

    return write


@pytest.fixture(autouse=True)
def no_shipped_models(monkeypatch, tmp_path_factory):
    """What comes with the package is looked at in tests/test_shipped.py alone."""
    monkeypatch.setattr("cdcd.finding.SHIPPED", tmp_path_factory.getbasetemp() / "none shipped")

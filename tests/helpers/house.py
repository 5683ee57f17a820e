"""The embedded data sets shrunk to the smallest sizes, and their stages as commands."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from typer.testing import CliRunner

from stages.__main__ import STAGES as ALL_STAGES
from stages.__main__ import app
from tests.helpers.run_file import write_run

ROOT = Path(__file__).resolve().parents[2]
STAGES = tuple(stage for stage in ALL_STAGES if stage != "report")
SMALL = {
    "toy_dance": {
        "download": {"train": 20, "val": 10, "test": 10, "size": 96, "sample_rate": 11025},
        "extract.visual": {"fps": 8.0, "size": 32, "window": 16},
        "extract.visual.training": {"steps": 2, "batch_size": 2},
        "codec": {"weights": None},
        "codec.architecture": {"width": 32, "blocks": [1, 1], "iterations": 2},
    },
    "toy_shapes": {
        "download": {"train": 40, "val": 10, "test": 10},
        "judge": {"steps": 2, "batch_size": 8},
    },
    "digits": {"download": {"val": 20, "test": 20}, "judge": {"steps": 2, "batch_size": 8}},
}
SMALL_EVERYWHERE = {
    "codec.training": {"steps": 3, "batch_size": 4, "warmup_steps": 1},
    "train": {"steps": 3, "batch_size": 4},
    "train.optimiser": {"warmup_steps": 1},
    "train.model.denoiser": {"layers": 1, "width": 32},
    "sample": {"seeds": [0, 1], "media": 2},
    "sample.sampling": {"steps": 4},
    "evaluate": {"bootstrap_draws": 20, "examples": 2},
}


OFTEN = {"checkpoint_every": 1, "log_every": 1, "validate_every": 2, "validation_batches": 1} | {
    "sample_batch": 8
}


def small_params(**changes):
    params = {name: read(ROOT / "params" / f"{name}.yaml") for name in SMALL}
    for dataset, own in SMALL.items():
        for path, values in {**SMALL_EVERYWHERE, **own}.items():
            section = params[dataset]
            for key in path.split("."):
                section = section[key]
            section.update(values)
    return {"datasets": list(SMALL), "contrast": "preset", **params, **changes}


def read(file):
    return YAML(typ="safe", pure=True).load(file)


def write_params(folder, params):
    """params.yaml, and params/NAME.yaml of every data set whose settings are among `params`."""
    own = {name: value for name, value in params.items() if isinstance(value, dict)}
    (folder / "params").mkdir(exist_ok=True)
    for name, settings in own.items():
        YAML().dump(settings, folder / "params" / f"{name}.yaml")
    top = {name: value for name, value in params.items() if name not in own}
    YAML().dump(top, folder / "params.yaml")
    write_run(folder / "home", **OFTEN)


def run(*words):
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cli(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "stages", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )

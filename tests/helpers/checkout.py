"""The settings of a data set shrunk in size alone and taken through every stage by `cdcd`; what may
replace published weights.
"""

from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.codecs.jukebox import JukeboxArchitecture, JukeboxVQVAE
from pipeline.metrics import few
from pipeline.metrics.results import read_results
from pipeline.runtime.files import write_json
from pipeline.storage import weights
from stages.__main__ import app
from tests.helpers.house import ROOT, STAGES, read, run, write_params

SMALL = {  # sizes and counts, nothing else
    "extract.visual": {"size": 32, "window": 16},
    "extract.visual.training": {"steps": 2, "batch_size": 2},
    "codec.architecture": {"width": 16, "blocks": [1, 1], "dimension": 16, "n_codes": 32},
    "codec.training": {"steps": 3, "batch_size": 4},
    "negatives": {"n_intra": 2, "n_inter": 2},
    "judge": {"steps": 2, "batch_size": 4, "width": 8, "pictures": 50},
    "train": {"steps": 3, "batch_size": 4, "diffusion_steps": 8},
    "train.model.denoiser": {"layers": 1, "width": 32, "heads": 4},
    "train.model.condition": {
        "motion_width": 8,
        "motion_blocks": 1,
        "visual_width": 8,
        "width": 32,
    },
    "train.model.text": {"layers": 1, "width": 32},
    "train.optimiser": {"warmup_steps": 1},
    "train.average": {"every": 1},
    "sample": {"seeds": [0, 1], "media": 2},
    "sample.sampling": {"steps": 4},
    "evaluate": {"bootstrap_draws": 20, "examples": 2},
}


@cache
def _settings(dataset: str) -> dict:
    return read(ROOT / "params" / f"{dataset}.yaml")


def preset(dataset: str, **download: object) -> dict:
    """A data set's settings; only where its files lie, and in which of its forms, is changed."""
    section = deepcopy(_settings(dataset))
    assert set(download) <= set(section["download"])
    section["download"] |= {
        key: str(value) if isinstance(value, Path) else value for key, value in download.items()
    }
    return section


def shrink(section: dict) -> None:
    """Makes settings small: every size in SMALL that they have."""
    if section["train"].pop("epochs", None):
        section["train"]["steps"] = 0  # by its number below
    for path, sizes in SMALL.items():
        part = section
        for key in path.split("."):
            part = (part or {}).get(key)
        if part:
            part.update({key: size for key, size in sizes.items() if key in part})
    if section["codec"].get("training"):
        section["codec"]["training"]["warmup_steps"] = 1


def without_published_weights(section: dict, donor: str) -> None:
    """What docs/datasets.md says: codec, judge and text encoder of an embedded data set, trained on
    the spot.
    """
    other = preset(donor)
    section |= {"codec": other["codec"], "judge": other["judge"]}
    size = "sample_rate" if section["task"] == "dance" else "image_size"
    section["media"][size] = other["media"][size]
    if section["task"] == "caption":
        section["extract"] |= {"text": "bpe", "weights": None}
        section["train"]["model"]["text"] = other["train"]["model"]["text"] | {"length": 77}


def run_stages(folder: Path, stages: tuple[str, ...] = STAGES, **sections: dict) -> None:
    """Runs the stages of a data set, given by its section, in `folder`, which keeps weights and
    unfinished work as well.
    """
    write_params(
        folder, {"datasets": list(sections), "contrast": "sample_intra+step_inter", **sections}
    )
    with inside(folder):
        for dataset in sections:
            for stage in stages:
                run(stage, dataset)


def check(folder: Path, dataset: str) -> list[str]:
    """What `cdcd download DATASET --check` says; that it writes nothing."""
    before = sorted(folder.rglob("*"))
    with inside(folder):
        result = CliRunner().invoke(app, ["download", dataset, "--check"], catch_exceptions=False)
    assert sorted(folder.rglob("*")) == before
    assert result.exit_code == 1
    return result.stdout.splitlines()


@contextmanager
def inside(folder: Path):
    """`folder` is where commands run and where weights are kept. Miniatures have too few items for
    their figures to mean anything; that all are computed is what is looked at.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CDCD_HOME", str(folder / "home"))
        patch.setattr(few, "LEAST_TEST_CLIPS", 1)
        patch.setattr(few, "LEAST_TEST_SONGS", 1)
        yield


def stand_in(folder: Path, name: str, write) -> None:
    """Puts what `write(path)` makes, a small random network, where `cdcd weights get` keeps the
    published one of that name.
    """
    with inside(folder):
        entry = weights.entry(name)
        entry.path.parent.mkdir(parents=True)
        write(entry.path)
        write_json(entry.record, {"stored_size": entry.path.stat().st_size})


def jukebox(path: Path) -> None:
    """A Jukebox VQ-VAE as published, three levels with hops 8, 32 and 128, but narrow and
    random.
    """
    sizes = {
        "strides": [[2, 2, 2], [2, 2], [2, 2]],
        "width": [8, 8, 8],
        "depth": [1, 1, 1],
        "dimension": 8,
        "n_codes": 16,
    }
    JukeboxVQVAE(JukeboxArchitecture(sample_rate=22050, dilation_growth=3, **sizes)).save(
        path, {"weights": "random"}
    )


def finished(folder: Path, dataset: str, metrics: set[str]) -> dict[tuple[str, str], float]:
    """The means by (row, metric), after seeing that there are samples, a table with the given
    metrics, and examples.
    """
    results = read_results(folder / "reports" / "metrics" / dataset / "table.csv")
    means = {(result.row, result.metric): result.mean for result in results}
    assert {"ground_truth", "reconstruction", "model", "model_shuffled", "nearest_neighbour"} <= {
        row for row, _ in means
    }
    assert metrics <= {metric for row, metric in means if row == "model"}
    assert all(np.isfinite(means["model", metric]) for metric in metrics)
    with h5py.File(folder / "data" / dataset / "samples" / "samples.h5") as samples:
        assert (samples["tokens"][:, 0] != samples["tokens"][:, 1]).any()
    assert (folder / "reports" / "examples" / dataset / "examples.json").exists()
    return means

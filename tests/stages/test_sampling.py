"""What the stage `sample` draws beside its main samples, and what it leaves away."""

import json

import h5py
import numpy as np
import pytest

from pipeline.runtime.errors import UserError
from stages.config import read_dataset
from tests.helpers.house import run, small_params, write_params


def changed(folder, dataset, **changes):
    """Rewrites params/DATASET.yaml with other keys of `sample` and `evaluate`."""
    params = small_params(contrast="step_intra")
    for path, value in changes.items():
        section, key = path.split("__")
        params[dataset][section][key] = value
    write_params(folder, params)


def fields(folder, dataset):
    with h5py.File(folder / "data" / dataset / "samples" / "samples.h5") as samples:
        return {name: samples[name][:] for name in samples if name in ("tokens", "shuffled")}


@pytest.mark.parametrize("dataset", ["toy_dance", "digits"])
def test_the_ladder_at_the_weight_of_the_samples_is_the_samples(house, dataset):
    weight = small_params()[dataset]["sample"]["sampling"]["guidance"]
    folder = house / "data" / dataset / "samples"
    with h5py.File(folder / "ladder.h5") as ladder, h5py.File(folder / "samples.h5") as samples:
        weights = json.loads(ladder.attrs["provenance"])["weights"]
        ids, known = list(ladder["ids"].asstr()), list(samples["ids"].asstr())
        rows = [known.index(one) for one in ids]
        steps = ladder["tokens"][:]
        assert (steps[:, weights.index(weight)] == samples["tokens"][:][rows, 0]).all()
    if dataset == "toy_dance":  # three steps teach the digits' model nothing of its condition
        assert len({step.tobytes() for step in np.moveaxis(steps, 1, 0)}) == len(weights)


@pytest.mark.parametrize(("dataset", "key"), [("toy_dance", "clips"), ("digits", "items")])
def test_the_page_shows_the_ladder(house, dataset, key):
    folder = house / "reports" / "examples" / dataset
    shown = json.loads((folder / "ladder.json").read_text())[key]
    entries = shown[0]["sounds" if key == "clips" else "images"]
    assert [entry["row"] for entry in entries] == [f"guidance {w}" for w in (0, 1, 2, 4)]
    assert all((folder / entry.get("audio", entry.get("image"))).exists() for entry in entries)
    assert (house / "reports" / "figures" / f"{dataset}_ladder.png").exists()
    assert "What a stronger adherence does" in (house / "reports" / "index.html").read_text()


@pytest.mark.parametrize("dataset", ["toy_dance", "digits"])
def test_without_controls_the_model_is_drawn_and_measured_alike_and_alone(inside, dataset):
    table = inside / "reports" / "metrics" / dataset / "table.csv"
    try:
        run("sample", dataset)
        run("evaluate", dataset)
        whole, lines = fields(inside, dataset), table.read_text().splitlines()
        changed(inside, dataset, sample__controls=False, evaluate__controls=False)
        run("sample", dataset)
        run("evaluate", dataset)
        alone = fields(inside, dataset)
        assert set(alone) == {"tokens"}
        assert (alone["tokens"] == whole["tokens"]).all()
        mine, again = (
            [line for line in several if line.startswith("model,")]
            for several in (lines, table.read_text().splitlines())
        )
        assert again == mine
        assert "\nground_truth," not in table.read_text()
    finally:
        write_params(inside, small_params(contrast="step_intra"))
        run("sample", dataset)
        run("evaluate", dataset)


def test_a_dance_model_plays_from_movement_or_pictures_alone(inside):
    own = fields(inside, "toy_dance")["tokens"]
    try:
        drawn = []
        for part in ("visual", "motion"):
            changed(inside, "toy_dance", sample__without=part)
            run("sample", "toy_dance")
            drawn.append(fields(inside, "toy_dance")["tokens"])
        assert (drawn[0] != own).any()
        assert (drawn[1] != own).any()
        assert (drawn[0] != drawn[1]).any()
    finally:
        write_params(inside, small_params(contrast="step_intra"))
        run("sample", "toy_dance")


def test_what_a_model_cannot_do_without_is_told_before_anything_is_drawn(inside):
    changed(inside, "digits", sample__without="visual")
    with pytest.raises(UserError, match=r"sample\.without is visual, which only a dance model"):
        read_dataset("digits")
    params = small_params(contrast="vanilla")
    params["digits"]["train"]["loss"]["null_probability"] = 0.0
    write_params(inside, params)
    with pytest.raises(UserError, match=r"sample\.ladder draws under guidance"):
        read_dataset("digits")

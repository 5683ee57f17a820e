"""A model is found by name: shipped, kept, built here or in another revision, or by its path."""

import csv
import shutil
import subprocess
from pathlib import Path

import pytest

import cdcd
from cdcd import finding
from pipeline.generation.bundle import write_bundle
from pipeline.generation.music import MusicModel
from pipeline.generation.pictures import PictureModel
from pipeline.model.network import load_model, save_model
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import write_json
from pipeline.storage.weights import weights_file
from pipeline.training.following import announce, snapshot_file
from tests.helpers.house import ROOT, read, write_params
from tests.helpers.small_models import TRAINED_ON, dance_files, picture_files


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A checkout's settings without anything built, in which commands run."""
    params = {"datasets": ["digits"], "contrast": "preset"}
    write_params(tmp_path, params | {"digits": read(ROOT / "params" / "digits.yaml")})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    return tmp_path


def build(folder: Path, seed: int = 0) -> None:
    """Puts a model of `digits` where `dvc repro` would."""
    home = folder / "data" / "digits"
    for name in ("model", "codec", "extractor", "parts"):
        (home / name).mkdir(parents=True, exist_ok=True)
    files = picture_files(home / "parts", "class")
    network = load_model(files.network)
    network.denoiser.output.bias.data += seed
    save_model(network, home / "model" / "model.safetensors", TRAINED_ON)
    shutil.move(files.codec, home / "codec" / "codec.safetensors")
    shutil.rmtree(home / "parts")
    (home / "extractor" / "README.md").write_text("none\n")
    write_json(home / "model" / "about.json", {"parameters": 5, **TRAINED_ON})
    with open(home / "model" / "history.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([("step", "main"), (10, 1.0), (20, 0.5)])


def test_a_training_that_goes_on_is_listened_to_through_its_last_snapshot(house):
    with pytest.raises(UserError, match="has left weights yet; set snapshot_every in .*run.yaml"):
        cdcd.load("digits@training")
    build(house)
    folder = house / "home" / "scratch" / "goes_on"
    folder.mkdir(parents=True)
    announce(folder, "digits", 40)
    network = load_model(house / "data/digits/model/model.safetensors")
    for step in (10, 20):
        network.denoiser.output.bias.data.fill_(step)
        save_model(network, snapshot_file(folder, step), TRAINED_ON)
    shutil.rmtree(house / "data" / "digits" / "model")  # as DVC does before it trains
    model = cdcd.load("digits@training")
    assert (model.network.output.bias == 20).all()
    assert model.generate(label=0, steps=2)


def test_what_is_not_there_is_told_with_what_to_do(house):
    with pytest.raises(UserError, match="No model comes with this version.*cdcd train digits"):
        cdcd.load(task="class")
    with pytest.raises(UserError, match=r"^data/digits/model.*cdcd train digits"):
        cdcd.load("digits")
    with pytest.raises(
        UserError, match="no model called 'nonsense'; there are .*digits.*cdcd_aist"
    ):
        cdcd.load("nonsense")
    with pytest.raises(UserError, match="nothing.safetensors does not exist"):
        cdcd.load("nothing.safetensors")


def test_the_model_of_a_data_set_that_was_built_here(house):
    build(house)
    model = cdcd.load("digits")
    assert isinstance(model, PictureModel)
    assert (model.task, model.settings.licence) == ("class", "mit")
    assert model.reads.classes == ("cat", "dog", "7")
    assert "20 steps" in model.card
    assert cdcd.load(task="class").name == "digits"


def test_a_shipped_model_comes_first_and_is_called_as_its_task(house, monkeypatch):
    build(house)
    monkeypatch.setattr(finding, "SHIPPED", house / "shipped")
    (house / "shipped").mkdir()
    write_bundle(picture_files(house, "class"), house / "shipped" / "class.safetensors")
    write_bundle(dance_files(house), house / "shipped" / "dance.safetensors")
    assert cdcd.load(task="class").name == "small_class"
    assert isinstance(cdcd.load(), MusicModel)
    assert cdcd.load("digits").name == "digits"
    assert finding.model_names()[:3] == ["class", "dance", "toy_dance"]


def test_a_bundle_is_opened_by_its_path(house):
    files = picture_files(house, "class")
    write_bundle(files, house / "mine.safetensors")
    write_bundle(files, house / "hub")
    for given in ("mine.safetensors", house / "hub", str(house / "hub")):
        assert cdcd.load(given).name == "small_class"


def git(*words: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


def test_a_model_of_another_revision_leaves_the_workspace_alone(house):
    from dvc.repo import Repo

    build(house, seed=1)
    git("init", "-q", "-b", "main")
    outputs = [f"data/digits/{name}" for name in ("model", "codec", "extractor")]
    with Repo.init() as repo:
        for output in outputs:
            repo.add(output)
    git("add", "params.yaml", "params", ".dvc", *(f"{output}.dvc" for output in outputs))
    git("commit", "-qm", "first")
    git("tag", "first")
    old = load_model(weights_file("data/digits/model/model.safetensors"))
    build(house, seed=2)
    before = {file: file.read_bytes() for file in (house / "data").rglob("*") if file.is_file()}
    now, then = cdcd.load("digits"), cdcd.load("digits", rev="first")
    assert (then.network.denoiser.output.bias == old.denoiser.output.bias).all()
    assert (now.network.denoiser.output.bias != old.denoiser.output.bias).all()
    assert then.generate(label="cat", steps=4).images.shape == (1, 3, 8, 8)
    assert before == {
        file: file.read_bytes() for file in (house / "data").rglob("*") if file.is_file()
    }
    shutil.rmtree(house / "home" / "revisions")
    shutil.rmtree(house / ".dvc" / "cache")
    with pytest.raises(UserError, match="neither in DVC's cache nor in a remote"):
        cdcd.load("digits", rev="first")
    with pytest.raises(UserError, match="--rev second cannot be read"):
        cdcd.load("digits", rev="second")
    with pytest.raises(UserError, match="--rev goes with a data set"):
        cdcd.load("cdcd_aist", rev="first")

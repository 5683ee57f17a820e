"""`cdcd verify` finds any flipped bit in what a data set holds and says what brings the file
back.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipeline.runtime.files import write_json
from pipeline.storage.manifest import Clip, write_manifest
from pipeline.storage.store import write_store
from pipeline.storage.tensors import write_tensors
from pipeline.training.history import write_history
from stages.__main__ import app

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "model.safetensors": Path("data/digits/model/model.safetensors"),
    "codec.safetensors": Path("data/digits/codec/codec.safetensors"),
    "tokens.h5": Path("data/digits/tokens.h5"),
    "samples.h5": Path("data/digits/samples/samples.h5"),
    "manifest.csv": Path("data/digits/raw/manifest.csv"),
    "a.png": Path("data/digits/raw/a.png"),
    "history.csv": Path("data/digits/model/history.csv"),
    "about.json": Path("data/digits/model/about.json"),
}


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A data set of one picture, and the dvc.lock that DVC would have written."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    if (ROOT / "params").exists():
        shutil.copytree(ROOT / "params", tmp_path / "params")
    for file in FILES.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(FILES["manifest.csv"], [Clip("a", "a.png", "train", label="1")])
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)).save(
        FILES["a.png"]
    )
    for name in ("tokens", "samples"):
        with write_store(FILES[f"{name}.h5"], name, ["a"], {"codec": "x"}) as store:
            store.field("tokens", (64,), "uint16")
            store.write("tokens", 0, np.arange(64))
    for name in ("model", "codec"):
        write_tensors(FILES[f"{name}.safetensors"], {"w": torch.ones(100)}, {"class": name})
    write_history(FILES["history.csv"], [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}])
    write_json(FILES["about.json"], {"parameters": 100})
    outs = []
    for out in sorted(Path("data/digits").iterdir()):
        if out.is_file():
            outs.append(f"- path: {out}\n      md5: {_md5(out)}")
            continue
        entries = [
            {"md5": _md5(file), "relpath": str(file.relative_to(out))}
            for file in sorted(out.rglob("*"))
        ]
        listing = json.dumps(entries, sort_keys=True).encode()
        digest = hashlib.md5(listing).hexdigest() + ".dir"
        outs.append(f"- path: {out}\n      md5: {digest}")
        place = Path(".dvc/cache/files/md5") / digest[:2] / digest[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(listing)
    lock = "schema: '2.0'\nstages:\n  made@digits:\n    outs:\n    " + "\n    ".join(outs) + "\n"
    Path("dvc.lock").write_text(lock)
    return tmp_path


def _md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def verify():
    result = CliRunner().invoke(app, ["verify", "digits"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def test_a_whole_data_set_passes(built):
    code, said = verify()
    assert code == 0, said
    assert "whole" in said
    assert "damaged" not in said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.02, 0.5, 0.97])
def test_any_flipped_bit_is_found_by_name(built, name, place):
    data = bytearray(FILES[name].read_bytes())
    data[int(place * len(data))] ^= 16
    FILES[name].write_bytes(data)
    code, said = verify()
    assert code == 1
    assert str(FILES[name]) in said
    assert "dvc checkout" in said


@pytest.mark.parametrize("name", ["model.safetensors", "codec.safetensors", "tokens.h5"])
def test_weights_and_stores_need_no_lock_to_be_verified(built, name):
    Path("dvc.lock").unlink()
    data = bytearray(FILES[name].read_bytes())
    data[len(data) * 3 // 4] ^= 1
    FILES[name].write_bytes(data)
    code, said = verify()
    assert code == 1
    assert f"{FILES[name]} is damaged" in said


def test_nothing_is_nothing_to_damage(built):
    shutil.rmtree("data")
    assert verify() == (0, "digits: nothing is here yet.")

import os
import pickle
import sys
import types

import pytest
import torch
from safetensors.torch import save_file

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.storage.tensors import (
    has_digest,
    read_about,
    read_shapes,
    read_state_dict,
    read_tensors,
    write_tensors,
)

STATE = {
    "a": torch.arange(3.0),
    "b": {"c": torch.ones(2, 2, dtype=torch.int64), "d/e": torch.zeros(1)},
}


class Evil:
    """Touches a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_that_would_run_something_is_refused(tmp_path, zipped):
    proof, path = tmp_path / "executed", tmp_path / "evil.pt"
    torch.save(
        {"state_dict": {"w": torch.ones(2)}, "x": Evil(proof)},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(UserError, match=r"evil.pt is refused.*system"):
        read_tensors(path)
    assert not proof.exists()


def test_a_plain_pickle_is_refused(tmp_path):
    proof, path = tmp_path / "executed", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Evil(proof)))
    with pytest.raises(UserError):
        read_tensors(path)
    assert not proof.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_lightning_callbacks_are_read_as_inert_stand_ins(tmp_path, zipped, monkeypatch):
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    callback = type("ModelCheckpoint", (), {"__module__": name})
    module.ModelCheckpoint = callback
    for package in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    monkeypatch.setitem(sys.modules, name, module)
    instance = callback()
    instance.best = 3
    content = {
        "callbacks": {callback: {"best": 1.0}},
        "kept": [instance],
        "state_dict": {"w": torch.ones(2)},
    }
    torch.save(content, tmp_path / "lightning.ckpt", _use_new_zipfile_serialization=zipped)
    monkeypatch.delitem(sys.modules, name)
    assert torch.equal(
        read_state_dict(tmp_path / "lightning.ckpt", "state_dict")["w"], torch.ones(2)
    )


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_only_tensors_come_back(tmp_path, zipped):
    content = {**STATE, "step": 3, "name": "x", "parameter": torch.nn.Parameter(torch.ones(1))}
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    tensors = read_tensors(tmp_path / "x.pt")
    assert set(tensors) == {"a", "b", "parameter"}
    assert torch.equal(tensors["b"]["c"], STATE["b"]["c"])


def test_safetensors_keep_folders_and_what_is_said_about_them(tmp_path):
    state = {"a": STATE["a"], "b": {"c": STATE["b"]["c"]}}
    for name in ("one", "two"):
        write_tensors(tmp_path / name, state, {"class": "X", "n": [1, 2], "z": None})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert torch.equal(read_tensors(tmp_path / "one")["b"]["c"], state["b"]["c"])
    assert read_about(tmp_path / "one") == {"class": "X", "n": [1, 2], "z": None}


def test_module_prefixes_are_stripped(tmp_path):
    torch.save({"model": {"module.w": torch.ones(1)}}, tmp_path / "x.pt")
    assert list(read_state_dict(tmp_path / "x.pt", "model")) == ["w"]


@pytest.mark.parametrize(
    "content", [b"", b"<html>no</html>", b"PK\x03\x04 cut", b"\x80\x02", os.urandom(300)]
)
def test_other_files_are_told_in_a_sentence(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(UserError, match="x.pt"):
        read_tensors(tmp_path / "x.pt")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_truncated_checkpoint_is_told(tmp_path, zipped):
    torch.save({"w": torch.ones(1000)}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    (tmp_path / "x.pt").write_bytes((tmp_path / "x.pt").read_bytes()[:2000])
    with pytest.raises(UserError, match="x.pt"):
        read_tensors(tmp_path / "x.pt")


def test_truncated_safetensors_are_told(tmp_path):
    write_tensors(tmp_path / "x", {"w": torch.ones(1000)}, {})
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:2000])
    with pytest.raises(UserError, match="damaged"):
        read_tensors(tmp_path / "x")


def test_one_flipped_bit_of_ours_is_refused_or_changes_no_tensor(tmp_path):
    state = {"a": torch.arange(50.0), "b": {"c": torch.ones(4, dtype=torch.bfloat16)}}
    about = {"class": "Network", "steps": 80}
    write_tensors(tmp_path / "whole", state, about)
    whole = (tmp_path / "whole").read_bytes()
    start = len(whole) - 50 * 4 - 4 * 2
    refused = 0
    for place in range(0, 8 * len(whole), 7):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        (tmp_path / "x").write_bytes(data)
        try:
            content = read_tensors(tmp_path / "x")
            assert place < 8 * start  # no bit of the numbers passes
            assert torch.equal(content["a"], state["a"])
            assert torch.equal(content["b"]["c"], state["b"]["c"])
            assert read_about(tmp_path / "x") in (None, about | _misspelt(tmp_path / "x"))
        except UserError:
            refused += 1
    assert refused > 0.8 * len(range(0, 8 * len(whole), 7))


def _misspelt(path):
    """What a bit in the digest's own name leaves behind: a digest under another name."""
    about = read_about(path) or {}
    return {key: value for key, value in about.items() if key not in ("class", "steps")}


def test_the_sentence_names_the_file_and_the_command(tmp_path):
    write_tensors(tmp_path / "model.safetensors", {"w": torch.ones(1000)}, {})
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(DamagedFile, match=r"model.safetensors.*dvc checkout --force"):
        read_state_dict(tmp_path / "model.safetensors")


def test_files_without_a_digest_are_still_read(tmp_path):
    save_file({"w": torch.ones(3)}, tmp_path / "old", metadata={"cdcd": '{"class": "Network"}'})
    save_file({"w": torch.ones(3)}, tmp_path / "foreign", metadata={"format": "pt"})
    assert read_about(tmp_path / "old") == {"class": "Network"}
    assert read_about(tmp_path / "foreign") is None
    for name in ("old", "foreign"):
        assert torch.equal(read_tensors(tmp_path / name)["w"], torch.ones(3))
        assert not has_digest(tmp_path / name)
    write_tensors(tmp_path / "new", {"w": torch.ones(3)}, {})
    assert has_digest(tmp_path / "new")


def test_shapes_are_read_from_the_header(tmp_path):
    write_tensors(tmp_path / "new", {"net": {"w": torch.ones(3, 2)}, "b": torch.ones(5)}, {})
    assert read_shapes(tmp_path / "new") == {"net/w": (3, 2), "b": (5,)}
    (tmp_path / "cut").write_bytes((tmp_path / "new").read_bytes()[:-1])
    with pytest.raises(DamagedFile):
        read_shapes(tmp_path / "cut")

"""Checkpoints: the same state back, a damaged one told from a whole one, the one before kept."""

import pickle
import random

import pytest
import torch
from safetensors.torch import save_file

from pipeline.runtime.errors import UserError
from pipeline.training.checkpoint import (
    Checkpoint,
    Checkpoints,
    Damaged,
    read_checkpoint,
    write_checkpoint,
)

SHARED = torch.arange(6.0).reshape(2, 3)
STATE = {
    "task": {
        "a": SHARED,
        "b": SHARED,
        "t": SHARED.T,
        "none": torch.zeros(0),
        "one": torch.tensor(3),
    },
    "optimiser": {0: {"step": torch.tensor(2.0), "half": torch.ones(3, dtype=torch.bfloat16)}},
    "betas": (0.9, 0.99),
    "rows": [{"step": 1, "loss": 0.1 + 0.2, "worst": float("inf"), "name": "ä", "on": True}],
    "nothing": None,
}


def facts(step):
    return {"settings": {"lr": 1e-3}, "code": "c", "batch_size": 4, "processes": 1, "step": step}


def same(found, expected):
    if isinstance(expected, torch.Tensor):
        return found.dtype == expected.dtype and found.equal(expected)
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[k], expected[k]) for k in expected)
    return type(found) is type(expected) and found == expected


def test_a_state_comes_back_as_it_was(tmp_path):
    write_checkpoint(tmp_path / "c", Checkpoint(STATE, facts(7)))
    found = read_checkpoint(tmp_path / "c")
    assert same(found.state, STATE)
    assert found.facts == facts(7)
    write_checkpoint(tmp_path / "again", found)
    assert (tmp_path / "c").read_bytes() == (tmp_path / "again").read_bytes()


def test_what_is_no_state_is_refused(tmp_path):
    with pytest.raises(TypeError, match="set"):
        write_checkpoint(tmp_path / "c", Checkpoint({"a": {1, 2}}, facts(0)))
    assert not list(tmp_path.iterdir())


def test_any_flipped_bit_and_any_cut_is_noticed(tmp_path):
    write_checkpoint(tmp_path / "c", Checkpoint(STATE, facts(7)))
    whole, chance = (tmp_path / "c").read_bytes(), random.Random(0)
    for _ in range(150):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        (tmp_path / "c").write_bytes(changed)
        try:
            assert same(read_checkpoint(tmp_path / "c").state, STATE)  # padding, or a space
        except Damaged:
            continue
    for _ in range(30):
        (tmp_path / "c").write_bytes(whole[: chance.randrange(len(whole))])
        with pytest.raises(Damaged):
            read_checkpoint(tmp_path / "c")


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>not found</html>"),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"step": 3})),
    "torch": lambda path: torch.save({"state": {"step": 5}}, path),
    "weights": lambda path: save_file({"a": torch.zeros(2)}, path),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_gives_way_to_the_one_before_or_is_told_in_a_sentence(
    tmp_path, kind, capsys
):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(Checkpoint(STATE, facts(step)))
    assert len(list(tmp_path.iterdir())) == 2
    assert checkpoints.load().facts["step"] == 3
    FOREIGN[kind](checkpoints.newest)
    assert checkpoints.load().facts["step"] == 2
    assert "is damaged" in capsys.readouterr().err
    FOREIGN[kind](checkpoints.previous)
    with pytest.raises(UserError, match=r"checkpoint\.safetensors is damaged .*; delete it"):
        checkpoints.load()


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "absent").load() is None


def test_killed_between_two_names_the_one_before_is_taken(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(Checkpoint(STATE, facts(1)))
    checkpoints.newest.rename(checkpoints.previous)
    assert checkpoints.load().facts["step"] == 1


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), RuntimeError("I/O error: No space left on device")],
)
def test_a_full_disk_is_a_sentence_and_harms_no_earlier_checkpoint(tmp_path, monkeypatch, error):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(Checkpoint(STATE, facts(1)))

    def full(*_args, **_options):
        raise error

    monkeypatch.setattr("pipeline.storage.tensors.save_file", full)
    with pytest.raises(UserError, match="No space left on the disk"):
        checkpoints.save(Checkpoint(STATE, facts(2)))
    assert checkpoints.load().facts["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == [checkpoints.newest.name]

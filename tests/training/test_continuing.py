"""A finished training that goes on as a new one, and a compiled one that loads uncompiled."""

import pytest
import torch

from pipeline.model.around import around
from pipeline.model.network import load_model
from pipeline.runtime.errors import UserError
from pipeline.training.checkpoint import Checkpoints, read_checkpoint
from tests.helpers.small_denoiser import config, train, write_stores


def kept(tmp_path):
    (file,) = (tmp_path / "home" / "trained").glob("*.safetensors")
    return file


def test_a_finished_training_goes_on_with_optimiser_and_averages(tmp_path, run_yaml, capsys):
    run_yaml(keep_optimiser=True, log_every=6)
    stores, settings = write_stores(tmp_path), config(steps=12, schedule="constant")
    first = around("digits", None, tmp_path / "first", {})
    _, early = train(stores, tmp_path / "first", settings, around=first)
    assert "are kept in" in capsys.readouterr().out
    state = read_checkpoint(kept(tmp_path)).state
    further = config(steps=1, seed=2, schedule="constant", warmup_steps=0)
    run_yaml(log_every=1)
    second = around("digits", kept(tmp_path), tmp_path / "second", {})
    weights, late = train(stores, tmp_path / "second", further, around=second)
    assert len(late) == 1
    for name, value in weights.items():  # one step of the average away from where it was
        before = state["average"]["module"][name]
        assert (value - before).abs().max() <= 0.1 * 0.02 + 0.1 * (
            state["task"][f"network.{name}"] - before
        ).abs().max()
    assert late[0]["main"] < early[0]["main"]
    with pytest.raises(UserError, match="training of another model"):
        wider = config(model=settings.model.model_copy(update={"denoiser": wide(settings)}))
        train(stores, tmp_path / "third", wider, around=second)


def wide(settings):
    return settings.model.denoiser.model_copy(update={"width": 64})


def test_a_damaged_start_is_told(tmp_path, run_yaml):
    run_yaml(keep_optimiser=True)
    first = around("digits", None, tmp_path / "first", {})
    train(write_stores(tmp_path), tmp_path / "first", config(steps=4), around=first)
    file = kept(tmp_path)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="train.init .* is damaged"):
        around("digits", file, tmp_path / "second", {})


def test_a_compiled_training_leaves_what_loads_uncompiled(tmp_path, run_yaml):
    run_yaml(snapshot_every=2, checkpoint_every=2)
    stores, settings = write_stores(tmp_path), config(steps=4)
    plain, _ = train(stores, tmp_path / "plain", settings)
    run_yaml(snapshot_every=2, checkpoint_every=2, compile="eager")
    compiled = around("digits", None, tmp_path / "compiled", {})
    weights, _ = train(stores, tmp_path / "compiled", settings, around=compiled)
    assert list(weights) == list(plain)
    assert all(torch.allclose(weights[name], plain[name], atol=1e-5) for name in plain)
    task = Checkpoints(tmp_path / "compiled").load().state["task"]
    assert not [name for name in task if "_orig_mod" in name]
    load_model(tmp_path / "compiled" / "snapshots" / "00000002.safetensors")

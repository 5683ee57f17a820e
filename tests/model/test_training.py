"""Training of the denoiser: it learns, and a resumed run is the uninterrupted one bit for bit."""

import pytest
import torch

from pipeline.runtime.errors import UserError
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.optimiser import Average
from tests.helpers.small_denoiser import config, train, write_stores


@pytest.fixture
def stores(tmp_path):
    return write_stores(tmp_path)


@pytest.mark.parametrize(
    "setting", ["vanilla", "step_intra", "step_inter", "sample_intra", "sample_inter"]
)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    stores, tmp_path, setting, monkeypatch, run_yaml
):
    run_yaml(log_every=4, bound_every=4, validate_every=4, validation_batches=1, checkpoint_every=5)
    whole, whole_history = train(stores, tmp_path / "whole", config(), setting)
    real, calls = torch.optim.AdamW.step, []

    def dies_at_the_eighth(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", dies_at_the_eighth)
    with pytest.raises(KeyboardInterrupt):
        train(stores, tmp_path / "stopped", config(), setting)
    monkeypatch.setattr(torch.optim.AdamW, "step", real)
    assert Checkpoints(tmp_path / "stopped").load().facts["step"] == 5
    resumed, resumed_history = train(stores, tmp_path / "stopped", config(), setting)
    assert resumed_history == whole_history
    assert all(resumed[name].equal(whole[name]) for name in whole)


def test_the_loss_falls_and_the_history_says_so(stores, tmp_path, run_yaml):
    run_yaml(log_every=50, validate_every=50)
    _, history = train(stores, tmp_path / "run", config(steps=150), "sample_inter")
    assert [row["step"] for row in history] == [50, 100, 150]
    assert history[-1]["validation"] < 0.6 * history[0]["validation"]
    assert {"contrast", "negative_sample_inter", "bound_sample_inter", "gradient"} <= set(
        history[-1]
    )
    # the labels decide the tokens: without one, two codes of three are left at each place
    assert history[-1]["adherence"] > max(0.2, 1.5 * history[0]["adherence"])
    assert {"adherence_t50", "adherence_t75", "adherence_t100"} <= set(history[-1])


def test_looking_at_adherence_changes_no_weight(stores, tmp_path, run_yaml):
    run_yaml(log_every=4, validate_every=4)
    often, seen = train(stores, tmp_path / "often", config(), "sample_inter")
    run_yaml(log_every=12, validate_every=12, validation_batches=1)
    once, _ = train(stores, tmp_path / "once", config(), "sample_inter")
    assert all("adherence" in row for row in seen)
    assert all(often[name].equal(once[name]) for name in once)
    unknown = config(loss=config().loss.model_copy(update={"null_probability": 0.0}))
    _, history = train(stores, tmp_path / "unknown", unknown, "vanilla")
    assert not any("adherence" in name for row in history for name in row)


def test_the_form_cca_goes_on_from_a_model_and_keeps_it_out_of_its_own(stores, tmp_path, run_yaml):
    run_yaml(log_every=4, validate_every=4, checkpoint_every=5)
    contrast = config().contrast.model_copy(
        update={"form": "cca", "negatives_per_step": None, "temperature": 4.0, "inter_weight": 5.0}
    )
    settings = config(init="any.safetensors", contrast=contrast)
    tuned, history = train(stores, tmp_path / "run", settings, "sample_inter")
    plain, _ = train(stores, tmp_path / "plain", config(), "vanilla")
    assert history[0]["contrast"] > 0
    assert set(tuned) == set(plain)
    saved = Checkpoints(tmp_path / "run").load().state["task"]
    assert not any("reference" in name for name in saved)
    again, _ = train(stores, tmp_path / "run", settings, "sample_inter")
    assert all(again[name].equal(tuned[name]) for name in tuned)
    with pytest.raises(UserError, match="train.init"):
        train(stores, tmp_path / "no", config(contrast=contrast), "sample_inter")


def test_a_loss_that_is_no_number_stops_the_run_with_a_sentence(stores, tmp_path):
    wild = config(learning_rate=1e30, warmup_from=1e30, clip_norm=1e30)
    with pytest.raises(UserError, match="(finite|loss)"):
        train(stores, tmp_path / "run", wild)


def test_a_training_too_short_for_its_average_is_refused():
    with pytest.raises(ValueError, match="nothing would be learned"):
        config(steps=5, average=Average(decay=0.9, every=6))


def test_a_length_in_epochs_is_that_of_as_many_steps_of_the_global_batch():
    given = config(steps=None, epochs=2.5)
    assert (given.in_steps(12).steps, given.in_steps(13).steps) == (8, 9)
    with pytest.raises(ValueError, match="exactly one of the two"):
        config(epochs=2.5)
    with pytest.raises(UserError, match="0.1 epochs of 12 rows are 1 steps; .*nothing would"):
        config(steps=None, epochs=0.1, average=Average(decay=0.9, every=2)).in_steps(12)
    with pytest.raises(UserError, match="warmup_steps is 3, but 0.5 epochs of 12 rows are 2 steps"):
        config(steps=None, epochs=0.5).in_steps(12)

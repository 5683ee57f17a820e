"""What a training tells while it goes on, and that telling changes nothing of its result."""

import pytest

from pipeline.model.around import around
from pipeline.training.following import KEPT, announce, unfinished
from tests.helpers.small_denoiser import config, train, write_stores
from tests.training.test_engine import read

QUIET = {"log_every": 4, "bound_every": 4, "validate_every": 4, "validation_batches": 1}
LOUD = QUIET | {"snapshot_every": 2, "keep_optimiser": True, "checkpoint_every": 3}


def test_snapshots_tensorboard_and_a_kept_optimiser_change_no_weight(tmp_path, run_yaml):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run_yaml(**QUIET)
    stores = write_stores(tmp_path)
    plain, history = train(stores, tmp_path / "plain", config(), "sample_inter")
    run_yaml(**LOUD, tensorboard=str(tmp_path / "board"))
    folder = tmp_path / "told"
    surroundings = around("digits", None, folder, {"contrast": "sample_inter"})
    weights, told = train(stores, folder, config(), "sample_inter", around=surroundings)
    assert told == history
    assert all(weights[name].equal(plain[name]) for name in plain)

    assert [int(row["step"]) for row in read(folder / "pace.csv")] == [4, 8, 12]
    assert all(float(row["tokens_per_s"]) > 0 for row in read(folder / "pace.csv"))
    assert float(read(folder / "pace.csv")[-1]["left_s"]) == 0
    snapshots = [file.stem for file in sorted((folder / "snapshots").glob("*"))]
    assert snapshots == ["00000006", "00000008", "00000010"][-KEPT:]
    assert list((tmp_path / "home" / "trained").glob("digits_*.safetensors"))
    (board,) = (tmp_path / "board").iterdir()
    events = accumulator.EventAccumulator(str(board)).Reload()
    assert [event.step for event in events.Scalars("main")] == [4, 8, 12]
    assert {"tokens_per_s", "validation", "gap_sample_inter"} <= set(events.Tags()["scalars"])


def test_the_history_tells_the_loss_by_t_and_what_sets_negatives_apart(tmp_path, run_yaml):
    run_yaml(log_every=30, bound_every=30, validate_every=30)
    _, history = train(write_stores(tmp_path), tmp_path / "run", config(steps=30), "sample_inter")
    row = history[-1]
    parts = [row[f"kl_{part}_of_5"] for part in range(1, 6)]
    assert min(parts) > 0
    assert row["processes"] == 1
    assert {"main", "auxiliary", "contrast", "gradient", "bound_sample_inter"} <= set(row)
    assert row["gap_sample_inter"] < row["negative_sample_inter"]


def test_word_of_an_unfinished_training_is_for_its_checkout_and_goes_with_its_folder(
    tmp_path, run_yaml, monkeypatch
):
    run_yaml()
    (tmp_path / "here").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert unfinished("digits") is None
    announce(tmp_path / "work", "digits", 40)
    assert unfinished("digits").steps == 40
    assert unfinished("toy_dance") is None
    monkeypatch.chdir(tmp_path)
    assert unfinished("digits") is None
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "work").rmdir()
    assert unfinished("digits") is None

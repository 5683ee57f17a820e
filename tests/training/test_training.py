"""The training loop on small stores: it learns, and a resumed run is the uninterrupted one bit for
bit.
"""

import numpy as np
import pytest
import torch

from pipeline.diffusion.contrast import Contrast
from pipeline.diffusion.objective import Loss
from pipeline.model.denoiser import DenoiserConfig
from pipeline.model.network import ClassInputs, ClassModel, build_network
from pipeline.negatives import derangements
from pipeline.runtime.errors import UserError
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.store import Store, write_store
from pipeline.training.batches import TrainingBatches, rows_at
from pipeline.training.loop import Average, Train, train_network
from pipeline.training.optimiser import LRSchedule, Optimiser, build_optimiser
from tests.helpers.run_file import write_run

N, LENGTH, CODES = 12, 16, 8
INTERVALS = {"log_every": 4, "bound_every": 4, "validate_every": 4} | {
    "validation_batches": 1,
    "checkpoint_every": 5,
}


@pytest.fixture(autouse=True)
def intervals(tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    write_run(tmp_path / "home", **INTERVALS)


@pytest.fixture
def stores(tmp_path):
    ids = [f"clip{row}" for row in range(N)]
    labels = np.arange(N) % 2
    with write_store(tmp_path / "tokens.h5", "tokens", ids, {"n_codes": CODES}) as store:
        store.field("tokens", (LENGTH,), "uint16")
        store.write(
            "tokens", slice(None), (labels[:, None] * 3 + np.arange(LENGTH) % 3).astype(np.uint16)
        )
    with write_store(tmp_path / "conditions.h5", "conditions", ids, {"inputs": ["label"]}) as store:
        store.field("label", (), "int64")
        store.write("label", slice(None), labels)
    with write_store(tmp_path / "negatives.h5", "negatives", ids, {"intra": "tokens"}) as store:
        store.field("intra", (3, 4), "uint16")
        store.field("inter", (3,), "int32")
        for row in range(N):
            store.write("intra", row, derangements(np.random.default_rng(row), 3, 4))
            store.write("inter", row, [(row + 1) % N, (row + 3) % N, (row + 5) % N])
    return [Store(tmp_path / f"{name}.h5", name) for name in ("tokens", "conditions", "negatives")]


def config(**changes) -> Train:
    denoiser = DenoiserConfig(
        layers=1,
        width=32,
        heads=2,
        feed_forward="linear",
        factor=2,
        positions="learned",
        zero_init=True,
    )
    contrast = Contrast(
        form="difference",
        chains="parallel",
        scale="mean",
        keep_positive=False,
        intra_weight=0.01,
        inter_weight=0.01,
        direction="decreasing",
        temperature=1.0,
        negatives_per_step=2,
        contrastive_steps=None,
        cap=12.0,
    )
    optimiser = Optimiser(
        learning_rate=5e-3,
        betas=(0.9, 0.96),
        weight_decay=0.01,
        warmup_steps=3,
        warmup_from=1e-4,
        schedule="cosine",
        plateau_patience=5,
        clip_norm=1.0,
    )
    settings = {
        "seed": 1,
        "init": None,
        "steps": 12,
        "batch_size": 4,
        "diffusion_steps": 10,
        "bf16": False,
        "model": ClassModel(denoiser=denoiser),
        "loss": Loss(
            t_sampling="importance",
            auxiliary_weight=0.01,
            auxiliary_direction="decreasing",
            null_probability=0.1,
        ),
        "contrast": contrast,
        "optimiser": optimiser,
        "average": Average(decay=0.9, every=1),
    }
    return Train[ClassModel](**{**settings, **changes})


def run(stores, folder, settings, setting="step_intra"):
    tokens, conditions, negatives = stores
    kinds = () if setting == "vanilla" else (setting.split("_")[1],)
    training = TrainingBatches(
        tokens, conditions, negatives, tokens.ids, kinds, settings.batch_size, settings.seed
    )
    validation = TrainingBatches(tokens, conditions, None, tokens.ids[:4], (), 4, 0)
    network = build_network(
        settings.model,
        ClassInputs(n_classes=2),
        n_codes=CODES,
        grid=(4, 4),
        n_steps=settings.diffusion_steps,
        seed=settings.seed,
    )
    folder.mkdir(exist_ok=True)
    history = train_network(
        network, settings, setting, training, validation, folder, torch.device("cpu")
    )
    return network.state_dict(), history


@pytest.mark.parametrize(
    "setting", ["vanilla", "step_intra", "step_inter", "sample_intra", "sample_inter"]
)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(stores, tmp_path, setting, monkeypatch):
    whole, whole_history = run(stores, tmp_path / "whole", config(), setting)
    real, calls = torch.optim.AdamW.step, []

    def dies_at_the_eighth(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", dies_at_the_eighth)
    with pytest.raises(KeyboardInterrupt):
        run(stores, tmp_path / "stopped", config(), setting)
    monkeypatch.setattr(torch.optim.AdamW, "step", real)
    assert torch.load(tmp_path / "stopped" / "train.pt", weights_only=True)["state"]["step"] == 5
    resumed, resumed_history = run(stores, tmp_path / "stopped", config(), setting)
    assert resumed_history == whole_history
    assert all(resumed[name].equal(whole[name]) for name in whole)


def test_the_loss_falls_and_the_history_says_so(stores, tmp_path):
    write_run(tmp_path / "home", **INTERVALS | {"log_every": 50, "validate_every": 50})
    _, history = run(stores, tmp_path / "run", config(steps=150), "sample_inter")
    assert [row["step"] for row in history] == [50, 100, 150]
    assert history[-1]["validation"] < 0.6 * history[0]["validation"]
    assert {"contrast", "negative_sample_inter", "bound_sample_inter", "gradient", "lr"} <= set(
        history[-1]
    )


def test_every_epoch_visits_every_row_once_and_ranks_share_nothing():
    rows = np.concatenate([rows_at(step, 5, 20, seed=3) for step in range(8)])
    assert sorted(rows[:20]) == sorted(rows[20:]) == list(range(20))
    assert rows[:20].tolist() != rows[20:].tolist()


def test_batches_hold_the_negatives_of_their_own_rows(stores):
    tokens, conditions, negatives = stores
    batches = TrainingBatches(tokens, conditions, negatives, tokens.ids, ("intra", "inter"), 6, 0)
    batch = batches[2]
    rows = rows_at(2, 6, N, 0)
    assert batch.inputs["label"].tolist() == [row % 2 for row in rows]
    for place, row in enumerate(rows):
        own = tokens["tokens"][int(row)].reshape(4, 4)
        for order, negative in zip(negatives["intra"][int(row)], batch.negatives["intra"][place]):
            assert negative.reshape(4, 4).tolist() == own[order].tolist()
        partners = negatives["inter"][int(row)]
        assert batch.negatives["inter"][place].tolist() == tokens["tokens"][partners].tolist()


def test_orders_of_a_grid_move_patches(stores, tmp_path):
    """`intra: tokens` of pictures: a 4 x 4 grid of codes, four patches of 2 x 2."""
    tokens, conditions, _ = stores
    about = {"intra": "tokens", "grid": [4, 4]}
    with write_store(tmp_path / "grid.h5", "negatives", list(tokens.ids), about) as store:
        store.field("intra", (1, 4), "uint16")
        store.write("intra", slice(None), np.tile([1, 0, 3, 2], (N, 1, 1)))
    negatives = Store(tmp_path / "grid.h5", "negatives")
    batch = TrainingBatches(tokens, conditions, negatives, tokens.ids, ("intra",), 5, 0)[0]
    for x_0, negative in zip(batch.x_0, batch.negatives["intra"]):
        picture = x_0.reshape(4, 4)
        assert negative[0].reshape(4, 4).equal(picture[:, [2, 3, 0, 1]])


def test_captions_are_chosen_among_the_real_ones(tmp_path):
    with write_store(tmp_path / "c.h5", "conditions", ["a", "b"], {"inputs": ["text"]}) as store:
        store.field("captions", (), "int32")
        store.field("text", (3, 77), "int32")
        store.write("captions", slice(None), [1, 3])
        store.write("text", slice(None), np.arange(6).reshape(2, 3, 1) * np.ones((1, 1, 77)))
    conditions = Store(tmp_path / "c.h5", "conditions")
    seen = [
        condition_inputs(conditions, np.array([0, 1]), np.random.default_rng(seed))["text"][:, 0]
        for seed in range(30)
    ]
    assert {int(text[0]) for text in seen} == {0}
    assert {int(text[1]) for text in seen} == {3, 4, 5}
    assert condition_inputs(conditions, np.array([1, 0]))["text"][:, 0].tolist() == [3, 0]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_the_learning_rate_follows_its_course(schedule):
    settings = config().optimiser.model_copy(update={"schedule": schedule})
    optimiser = build_optimiser(settings, torch.nn.Linear(1, 1))
    course, rates = LRSchedule(settings, optimiser, 40), []
    for _ in range(40):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        course.advance(1.0)
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(5e-3)
    assert (rates[-1] == pytest.approx(5e-3)) == (schedule == "constant")


def test_a_loss_that_is_no_number_stops_the_run_with_a_sentence(stores, tmp_path):
    wild = config(
        optimiser=config().optimiser.model_copy(
            update={"learning_rate": 1e30, "warmup_from": 1e30, "clip_norm": 1e30}
        )
    )
    with pytest.raises(UserError, match="(finite|loss)"):
        run(stores, tmp_path / "run", wild)


def test_a_training_too_short_for_its_average_is_refused():
    with pytest.raises(ValueError, match="nothing would be learned"):
        config(steps=5, average=Average(decay=0.9, every=6))


def test_epochs_become_steps_of_the_global_batch():
    settings = config(steps=None, epochs=2.5)
    assert settings.in_steps(12).steps == 8  # 2.5 * 12 / 4, rounded up
    assert config().in_steps(12) == config()
    for lengths in ({"steps": None}, {"steps": 3, "epochs": 1}):
        with pytest.raises(ValueError, match="exactly one of the two"):
            config(**lengths)
    with pytest.raises(UserError, match="1 steps.*nothing would be learned"):
        config(steps=None, epochs=0.1, average=Average(decay=0.9, every=6)).in_steps(12)

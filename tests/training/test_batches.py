"""Batches by step number: every row once an epoch, its own negatives, one caption each."""

import numpy as np
import pytest
import torch

from pipeline.storage.conditions import condition_inputs
from pipeline.storage.store import Store, write_store
from pipeline.training.batches import TrainingBatches, rows_at
from tests.helpers.small_denoiser import N, write_stores


@pytest.fixture
def stores(tmp_path):
    return write_stores(tmp_path)


def test_every_epoch_visits_every_row_once_():
    rows = np.concatenate([rows_at(step, 5, 20, seed=3) for step in range(8)])
    assert sorted(rows[:20]) == sorted(rows[20:]) == list(range(20))
    assert rows[:20].tolist() != rows[20:].tolist()


def test_batches_hold_the_negatives_of_their_own_rows(stores):
    tokens, conditions, negatives = stores
    batches = TrainingBatches(tokens, conditions, negatives, tokens.ids, ("intra", "inter"), 6, 0)
    batch = batches.at(2)
    rows = rows_at(2, 6, N, 0)
    assert batch.inputs["label"].tolist() == [row % 2 for row in rows]
    for place, row in enumerate(rows):
        own = tokens["tokens"][int(row)].reshape(4, 4)
        for order, negative in zip(negatives["intra"][int(row)], batch.negatives["intra"][place]):
            assert negative.reshape(4, 4).tolist() == own[order].tolist()
        partners = negatives["inter"][int(row)]
        assert batch.negatives["inter"][place].tolist() == tokens["tokens"][partners].tolist()


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


def test_processes_share_the_rows_of_one_batch(stores, tmp_path):
    tokens, _, negatives = stores
    with write_store(tmp_path / "t.h5", "conditions", tokens.ids, {"inputs": ["text"]}) as store:
        store.field("captions", (), "int32")
        store.field("text", (5, 4), "int32")
        store.write("captions", slice(None), np.arange(N) % 5 + 1)
        store.write("text", slice(None), np.arange(5 * N).reshape(N, 5, 1) * np.ones((1, 1, 4)))
    common = (tokens, Store(tmp_path / "t.h5", "conditions"), negatives, tokens.ids, ("inter",), 6)
    for step in range(3):
        whole = TrainingBatches(*common, seed=4).at(step)
        parts = [TrainingBatches(*common, seed=4, rank=rank, world=3).at(step) for rank in range(3)]
        assert torch.cat([part.x_0 for part in parts]).equal(whole.x_0)
        texts = torch.cat([part.inputs["text"] for part in parts])
        assert texts.equal(whole.inputs["text"])
        negatives_told = torch.cat([part.negatives["inter"] for part in parts])
        assert negatives_told.equal(whole.negatives["inter"])

"""Training a codec: it learns, resumes to the same bytes, and changes nothing but what it
should.
"""

import math

import numpy as np
import pytest
import torch

from pipeline.codecs.training import CodecTraining, train_codec
from pipeline.runtime.errors import UserError
from pipeline.training.checkpoint import Checkpoints
from tests.helpers.codec_learners import (
    CRITIC,
    GUMBEL,
    picture_learner,
    pictures,
    sound_learner,
    sounds,
    transform_learner,
)
from tests.helpers.run_file import write_run

SETTINGS = CodecTraining(
    steps=7,
    batch_size=4,
    learning_rate=2e-3,
    final_learning_rate=1e-3,
    warmup_steps=2,
    betas=(0.9, 0.99),
    bf16=False,
)


@pytest.fixture(autouse=True)
def intervals(tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    write_run(tmp_path / "home", log_every=3, checkpoint_every=2)


LEARNERS = {
    "sound": (sound_learner, sounds),
    "transform": (transform_learner, sounds),
    "picture": (picture_learner, pictures),
    "picture with critic": (lambda: picture_learner(**CRITIC), pictures),
    "gumbel": (lambda: picture_learner("gumbel", **GUMBEL), pictures),
}


class Killed(Exception):
    pass


def dying(source, after):
    calls = []

    def give(generator, size):
        calls.append(size)
        if len(calls) > after:
            raise Killed
        return source(generator, size)

    return give


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_killed_training_resumes_to_the_same_bytes(tmp_path, kind, run_yaml):
    run_yaml(log_every=3, checkpoint_every=2)
    make, source = LEARNERS[kind]
    whole = make()
    history = train_codec(whole, source, SETTINGS, tmp_path / "whole", seed=5)

    with pytest.raises(Killed):
        train_codec(make(), dying(source, 4 + 5), SETTINGS, tmp_path / "killed", seed=5)
    assert Checkpoints(tmp_path / "killed").load().facts["step"] in (4, 6)
    torch.manual_seed(99)
    resumed = make()
    for parameter in resumed.parameters():
        parameter.data.add_(1.0)  # whatever it starts from, the checkpoint decides
    again = train_codec(resumed, source, SETTINGS, tmp_path / "killed", seed=5)

    assert again == history
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("kind", sorted(set(LEARNERS) - {"transform"}))  # test_transform does
def test_training_learns_and_tells_its_history(tmp_path, kind, run_yaml):
    run_yaml(log_every=20)
    make, source = LEARNERS[kind]
    write_run(tmp_path / "home", log_every=20)
    settings = SETTINGS.model_copy(update={"steps": 80, "learning_rate": 1e-2})
    history = train_codec(make(), source, settings, tmp_path, seed=0)
    assert [row["step"] for row in history] == [20, 40, 60, 80]
    term = "l2" if kind == "sound" else "l1"
    assert history[-1][term] < 0.75 * history[0][term]
    assert all(1 <= row["perplexity"] <= row["used_codes"] <= 16 for row in history)
    assert all(math.isfinite(value) for row in history for value in row.values())
    assert ("critic" in history[-1]) == (kind == "picture with critic")


def test_another_seed_gives_another_codec_and_the_same_seed_the_same(tmp_path):
    codecs = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        learner = sound_learner()
        train_codec(learner, sounds, SETTINGS, tmp_path / folder, seed)
        codecs.append(learner.codec.encoder.level_blocks[0].model[0][0].weight)
    assert torch.equal(codecs[0], codecs[1])
    assert not torch.equal(codecs[0], codecs[2])


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, run_yaml):
    run_yaml(checkpoint_every=2)
    with pytest.raises(Killed):
        train_codec(sound_learner(), dying(sounds, 4 + 5), SETTINGS, tmp_path, seed=0)
    other = SETTINGS.model_copy(update={"learning_rate": 1.0})
    with pytest.raises(UserError, match="other settings"):
        train_codec(sound_learner(), sounds, other, tmp_path, seed=0)


def test_a_diverging_training_is_told(tmp_path):
    with pytest.raises(UserError, match="lower its learning_rate"):
        train_codec(
            sound_learner(), lambda g, n: sounds(g, n) * math.nan, SETTINGS, tmp_path, seed=0
        )


def test_only_the_level_in_use_learns(tmp_path):
    learner = sound_learner()
    before = {name: tensor.clone() for name, tensor in learner.codec.state_dict().items()}
    train_codec(learner, sounds, SETTINGS, tmp_path, seed=0)
    changed = {
        name
        for name, tensor in learner.codec.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    mine = {
        name
        for name in before
        if name.startswith(("encoders.1.", "decoders.1.", "bottleneck.level_blocks.1."))
    }
    assert changed == mine


def test_fine_tuning_begins_at_the_given_codewords():
    learner = sound_learner(keep_codebook=True)
    learner.codec.quantiser.k.normal_()
    before = learner.codec.quantiser.k.clone()
    learner.start(lambda number, size: sounds(np.random.default_rng(number), size), 4, seed=0)
    assert torch.equal(learner.codec.quantiser.k, before)
    assert learner.variance == pytest.approx(0.125, rel=0.2)  # of sines with amplitude 0.5


def test_learning_rate_warms_up_and_falls_along_a_cosine():
    rates = [SETTINGS.descent().rate_at(step, SETTINGS.steps) for step in range(8)]
    assert rates[0] == pytest.approx(1e-3)
    assert rates[1] == rates[2] == pytest.approx(2e-3)
    assert rates[7] == pytest.approx(1e-3)
    assert rates[2:] == sorted(rates[2:], reverse=True)

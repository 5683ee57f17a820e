"""The transform codec: frames and tokens in step, windows as good as the whole, files that say what
they hold, a codebook whose dead codes come back.
"""

import math

import numpy as np
import pytest
import torch

from pipeline.codecs.recipes import AudioCodec
from pipeline.codecs.sound import load_sound_codec, new_sound_codec
from pipeline.codecs.sound_learner import sound_learner
from pipeline.codecs.training import CodecTraining, train_codec
from pipeline.codecs.transform import TransformCodec
from pipeline.codecs.transform_layers import QUIETEST, Frames
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.tensors import read_about
from tests.helpers.codec_learners import (
    LEVELS,
    SOUND,
    TRANSFORM,
    TRANSFORM_OBJECTIVE,
    sounds,
    transform_learner,
)

HOP = TRANSFORM.hop
SETTINGS = CodecTraining(
    steps=60,
    batch_size=8,
    learning_rate=5e-3,
    final_learning_rate=1e-3,
    warmup_steps=2,
    betas=(0.8, 0.95),
    bf16=False,
)


def codec(**changes) -> TransformCodec:
    """One with weights that let every part have its say, attention included."""
    torch.manual_seed(1)
    made = TransformCodec(TRANSFORM.model_copy(update=changes))
    for parameter in made.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    made.quantiser.k.copy_(torch.nn.functional.normalize(torch.randn_like(made.quantiser.k)))
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    learner = transform_learner()
    history = train_codec(learner, sounds, SETTINGS, tmp_path_factory.mktemp("trained"), seed=0)
    return learner.codec.eval().requires_grad_(False), history


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 0.3


@pytest.mark.parametrize("hop", [8, 15, 350])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_frames_give_the_waveform_back(hop, length):
    frames, waveform = Frames(hop), noise(2, hop * length)
    spectrum = frames(waveform)
    assert spectrum.shape == (2, length, 2 * hop + 1)
    assert torch.allclose(frames.inverse(spectrum), waveform, atol=1e-5)


def test_frame_k_is_centred_on_the_samples_of_token_k():
    hop, k = 32, 5
    click = torch.zeros(1, 10 * hop)
    click[0, k * hop + hop // 2] = 1
    energy = Frames(hop)(click).abs().square().sum(2)[0]
    assert energy.argmax() == k
    assert energy[k - 1] == pytest.approx(energy[k + 1].item(), rel=1e-4)


def test_a_full_scale_sine_has_magnitude_one():
    hop = 64
    sine = torch.sin(2 * math.pi * 0.125 * torch.arange(20 * hop))[None]
    assert Frames(hop)(sine).abs().amax(2)[0, 5:15].numpy() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("samples", "length"), [(1, 1), (HOP, 1), (HOP + 1, 2), (40 * HOP, 40)])
def test_every_begun_hop_is_a_token(samples, length):
    network = codec()
    codes = network.encode(noise(2, samples))
    assert codes.shape == (2, length)
    assert codes.dtype == torch.int64
    assert network.decode(codes).shape == (2, length * HOP)


def test_silence_at_the_end_is_what_a_last_hop_is_filled_with():
    network, waveform = codec(), noise(1, 5 * HOP - 3)
    whole = torch.nn.functional.pad(waveform, (0, 3))
    assert torch.equal(network.encode(waveform), network.encode(whole))


@pytest.mark.parametrize("heads", [0, 2])
@pytest.mark.parametrize("tokens_at_once", [1, 7, 64])
def test_windows_equal_the_whole(heads, tokens_at_once):
    network, waveform = codec(heads=heads, blocks=(2, 3)), noise(2, 150 * HOP + 5)
    whole = network.encode(waveform, samples_at_once=10**9)
    assert len(whole.unique()) > 3
    assert torch.equal(network.encode(waveform, tokens_at_once * HOP), whole)
    sound = network.decode(whole, samples_at_once=10**9)
    again = network.decode(whole, samples_at_once=tokens_at_once * HOP)
    assert (again - sound).norm() < 0.01 * sound.norm()  # rounding grows with the iterations


def test_a_batch_is_what_its_rows_are():
    network, waveform = codec(), noise(5, 20 * HOP)
    rows = torch.cat([network.encode(row[None]) for row in waveform])
    assert torch.equal(network.encode(waveform, samples_at_once=2 * 20 * HOP), rows)


def test_a_tiny_training_learns_and_uses_its_codes(trained):
    _, history = trained
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["used_codes"] > 8


def test_what_was_decoded_is_encoded_as_nearly_the_same_sound(trained):
    network, _ = trained
    waveform = sounds(np.random.default_rng(7), 16)
    once = network(waveform)
    level = network.magnitudes(once)
    again = network.magnitudes(network(once))
    other = network.magnitudes(network(once[torch.randperm(16)]))
    assert (again - level).norm() < 0.6 * level.norm()
    assert (other - level).norm() > 1.2 * (again - level).norm()


def test_a_file_holds_the_codec_and_says_so(tmp_path, trained):
    network, _ = trained
    path = tmp_path / "codec.safetensors"
    network.save(path, {"weights": "trained here"})
    loaded = load_sound_codec(path, level=2, sample_rate=8000)
    assert isinstance(loaded, TransformCodec)
    assert not loaded.training
    assert read_about(path)["class"] == "TransformCodec"
    assert loaded.provenance["weights"] == "trained here"
    assert len(loaded.provenance["sha256"]) == 64
    waveform = sounds(np.random.default_rng(0), 4)
    assert torch.equal(loaded.encode(waveform), network.encode(waveform))
    loaded.save(tmp_path / "again.safetensors", {"weights": "trained here"})
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_half_as_many_bytes_hold_nearly_the_same_codec(tmp_path, trained):
    network, _ = trained
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    network.save(whole, {})
    network.save(half, {}, dtype=torch.bfloat16)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    loaded = TransformCodec.load(half)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    codes = network.encode(sounds(np.random.default_rng(0), 8))
    sound = network.decode(codes)
    assert (loaded.decode(codes) - sound).abs().mean() < 0.05 * sound.abs().mean()


def test_dead_codes_revive():
    learner = transform_learner()
    learner.start(lambda number, size: sounds(np.random.default_rng(number), size), 8, seed=0)
    learner.codec.quantiser.k[3:] = 100.0  # out of reach
    learner.bottleneck.sums[3:] = 100.0
    generator = torch.Generator().manual_seed(0)
    batch = sounds(np.random.default_rng(5), 8)
    used = [len(learner(batch, step, generator).codes.unique()) for step in range(40)]
    assert used[0] <= 3
    assert used[-1] > 8


def test_the_terms_are_what_they_say():
    learner = transform_learner()
    batch = sounds(np.random.default_rng(5), 4)
    codewords = learner.codec.quantiser.k.clone()  # they move as the losses are taken
    losses = learner(batch, 0, torch.Generator().manual_seed(0))
    target = learner.codec.frames(batch).abs().clamp_min(QUIETEST)
    levels = learner.codec.spectrum(codewords[losses.codes].view(4, -1, 4).transpose(1, 2))
    rate = [learner.codec.sample_rate * k / 64 for k in range(33)]
    heavy = torch.tensor([1 / (700 + hertz) for hertz in rate])
    apart = ((levels - target.log()).abs() * heavy / heavy.mean()).mean()
    assert losses.terms["levels"].item() == pytest.approx(apart.item(), rel=1e-4)
    relative = sum(
        float((levels[row].exp() - target[row]).norm() / target[row].norm()) for row in range(4)
    )
    assert losses.terms["relative"].item() == pytest.approx(relative / 4, rel=1e-4)


@pytest.mark.parametrize(
    ("waveform", "words"),
    [
        (torch.zeros(1, 0), "shorter than one code"),
        (torch.zeros(16), "shaped"),
        (torch.full((1, 64), math.nan), "not numbers"),
    ],
)
def test_what_is_no_sound_is_refused(waveform, words):
    with pytest.raises(UserError, match=words):
        codec().encode(waveform)


def test_codes_that_do_not_exist_are_refused():
    with pytest.raises(UserError, match="0 to 15"):
        codec().decode(torch.tensor([[16]]))


def test_another_sample_rate_is_refused(tmp_path):
    path = tmp_path / "codec.safetensors"
    codec().save(path, {})
    with pytest.raises(UserError, match=r"safetensors is a transform codec for 8000 Hz.*16000"):
        load_sound_codec(path, sample_rate=16000)
    with pytest.raises(UserError, match="codec.architecture is a transform codec for 8000 Hz"):
        new_sound_codec(TRANSFORM, 22050)
    assert new_sound_codec(LEVELS, 22050).sample_rate == 22050


@pytest.mark.parametrize(
    ("changes", "words"), [({"kernel": 4}, "odd"), ({"heads": 5}, "do not divide")]
)
def test_sizes_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        TransformCodec(TRANSFORM.model_copy(update=changes))


def test_the_kind_is_jukebox_unless_said():
    section = {
        "weights": "vqvae.pth.tar",
        "level": 0,
        "architecture": LEVELS.model_dump(exclude={"kind"}),
        "sample_rate": 8000,
        "peak": None,
        "crop": 256,
        "objective": SOUND.model_dump(exclude={"kind"}),
        "training": None,
        "seed": 0,
    }
    assert validate(AudioCodec, section, "codec").architecture == LEVELS
    section |= {
        "architecture": TRANSFORM.model_dump(),
        "objective": TRANSFORM_OBJECTIVE.model_dump(),
    }
    assert validate(AudioCodec, section, "codec").architecture == TRANSFORM
    section["architecture"] = {"kind": "transform", "hop": 16}
    with pytest.raises(UserError, match=r"codec\.architecture\.transform\.width is missing"):
        validate(AudioCodec, section, "codec")
    section["architecture"] = {"kind": "wavelet"}
    with pytest.raises(UserError, match="jukebox.*transform"):
        validate(AudioCodec, section, "codec")


def test_the_objective_of_the_other_kind_is_refused():
    with pytest.raises(UserError, match="kind: transform"):
        sound_learner(TransformCodec(TRANSFORM), SOUND, keep_codebook=False)
    with pytest.raises(UserError, match="kind: jukebox"):
        sound_learner(new_sound_codec(LEVELS, 8000), TRANSFORM_OBJECTIVE, keep_codebook=False)

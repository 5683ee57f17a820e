"""Codebooks and the terms of the codecs' objectives against their definitions."""

import numpy as np
import pytest
import torch

from pipeline.codecs.bottlenecks import Averages, EMACodebook, Gumbel, GumbelRelaxation
from pipeline.codecs.critic import Perceptual
from pipeline.codecs.quantisers import Codebook, GumbelQuantiser, as_latent, as_rows, nearest_codes
from pipeline.codecs.spectral_distances import SpectralDistance
from pipeline.runtime.errors import UserError
from tests.helpers.codec_learners import (
    AVERAGES,
    CRITIC,
    GUMBEL,
    SPECTRA,
    picture_learner,
    pictures,
    sounds,
)


def test_nearest_codes_are_the_brute_force_ones():
    generator = torch.Generator().manual_seed(0)
    rows, codebook = torch.randn(50, 3, generator=generator), torch.randn(9, 3, generator=generator)
    expected = [
        min(range(9), key=lambda k: float((row - codebook[k]).square().sum())) for row in rows
    ]
    assert nearest_codes(rows, codebook).tolist() == expected


def test_rows_and_latents_are_inverse_and_row_major():
    latent = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(as_rows(latent)[5], latent[0, :, 1, 1])
    assert torch.equal(as_latent(as_rows(latent), latent), latent)


def test_codewords_follow_the_mean_of_their_vectors():
    codebook = Codebook(2, 1)
    codebook.k.copy_(torch.tensor([[0.0], [10.0]]))
    averages = EMACodebook(codebook, Averages(decay=0.5, revive_below=0.0))
    averages(torch.tensor([[[1.0, 2.0, 12.0]]]), 0, torch.Generator())
    # counts: 0.5 * 1 + 0.5 * [2, 1]; sums: 0.5 * [0, 10] + 0.5 * [3, 12]
    assert averages.counts.tolist() == [1.5, 1.0]
    assert codebook.k.flatten().tolist() == [1.0, 11.0]


def test_a_dead_code_restarts_at_a_vector_of_the_batch_and_is_then_used():
    codebook = Codebook(3, 2)
    codebook.k.copy_(torch.tensor([[0.0, 0.0], [5.0, 5.0], [1000.0, 1000.0]]))
    averages = EMACodebook(codebook, Averages(decay=0.5, revive_below=0.4))
    generator = torch.Generator().manual_seed(0)
    batch = torch.tensor([[[0.0, 0.2, 5.0, 5.2], [0.0, 0.2, 5.0, 5.2]]])
    seen = set()
    for step in range(4):
        seen |= set(averages(batch, step, generator).codes.tolist())
    assert codebook.k.abs().max() < 6
    assert seen == {0, 1, 2}


def test_the_straight_through_gradient_and_the_commitment():
    codebook = Codebook(2, 1)
    codebook.k.copy_(torch.tensor([[0.0], [10.0]]))
    latent = torch.tensor([[[1.0, 8.0]]], requires_grad=True)
    quantised = EMACodebook(codebook, AVERAGES)(latent, 0, torch.Generator())
    assert quantised.latent.detach().tolist() == [[[0.0, 10.0]]]
    assert float(quantised.loss) == pytest.approx((1 + 4) / 2)
    quantised.latent.sum().backward(retain_graph=True)
    assert latent.grad.tolist() == [[[1.0, 1.0]]]
    latent.grad = None
    quantised.loss.backward()
    assert latent.grad.tolist() == [[[1.0, -2.0]]]


def test_gumbel_divergence_and_temperature():
    torch.manual_seed(0)
    quantiser = GumbelQuantiser(5, 3)
    relaxation = GumbelRelaxation(
        quantiser, Gumbel(temperature=1.0, final_temperature=0.01, anneal_steps=10)
    )
    latent = torch.randn(2, 3, 2, 2)
    quantised = relaxation(latent, 10, torch.Generator().manual_seed(0))
    logits = quantiser.proj(latent)
    q = logits.softmax(1)
    assert float(quantised.loss) == pytest.approx(
        float((q * (q * 5).log()).sum(1).mean()), rel=1e-4
    )
    assert torch.equal(quantised.codes, logits.argmax(1).flatten())
    distance = (
        (as_rows(quantised.latent)[:, None] - quantiser.table).detach().norm(dim=2).min(1).values
    )
    assert distance.median() < 1e-3  # nearly one codeword when cold


def test_a_quantiser_needs_the_settings_of_its_kind():
    with pytest.raises(UserError, match="nearest quantiser does not go with"):
        picture_learner("nearest", **GUMBEL)


def test_critic_and_codec_do_not_disturb_each_other(tmp_path):
    learner = picture_learner(**CRITIC, l1=0.0, l2=0.0, commitment=0.0)
    losses = learner(pictures(np.random.default_rng(0), 4), 5, torch.Generator().manual_seed(0))
    (of_critic,) = torch.autograd.grad(
        losses.terms["critic"], learner.critic.model[0].weight, retain_graph=True
    )
    losses.total.backward()
    assert torch.equal(learner.critic.model[0].weight.grad, of_critic)


def test_the_perceptual_distance_reads_vgg_weights(tmp_path):
    from torchvision.models import vgg16

    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in vgg16(weights=None).state_dict().items()}
    features = {
        name: torch.randn(shape) * 0.05
        for name, shape in shapes.items()
        if name.startswith("features.")
    }
    torch.save(features, tmp_path / "vgg16.pt")
    learner = picture_learner(perceptual=Perceptual(weight=1.0, vgg16=tmp_path / "vgg16.pt"))
    images = torch.rand(1, 3, 32, 32)
    assert learner.perceptual(images, images) == 0
    assert learner.perceptual(images, images.flip(3)) > 0
    assert not any(parameter.requires_grad for parameter in learner.perceptual.parameters())


@pytest.mark.parametrize("scale", ["magnitude", "log", "both"])
def test_spectral_distance_is_zero_only_for_the_same_sound(scale):
    distance = SpectralDistance(SPECTRA.model_copy(update={"scale": scale}))
    sound = sounds(np.random.default_rng(0), 2)
    assert distance(sound, sound) == 0
    assert distance(-sound, sound) < 1e-4  # phase is not heard
    assert distance(sound * 0.5, sound) > 0.1
    silence = torch.zeros(2, 256, requires_grad=True)
    distance(silence, sound).backward()
    assert torch.isfinite(silence.grad).all()

import math

import numpy as np
import pytest
import torch

from pipeline.codecs.bottlenecks import AveragedCodebook, Averages, Gumbel, GumbelRelaxation
from pipeline.codecs.critic import Critic, Perceptual
from pipeline.codecs.jukebox import JukeboxArchitecture, JukeboxVQVAE
from pipeline.codecs.jukebox_objective import JukeboxLearner, JukeboxObjective
from pipeline.codecs.quantisers import Codebook, GumbelQuantiser, as_latent, as_rows, nearest_codes, perplexity
from pipeline.codecs.reconstruction import judge_pictures, judge_reconstructions, judge_sound
from pipeline.codecs.spectral import Spectra, SpectralDistance
from pipeline.codecs.training import CodecTraining, train_codec
from pipeline.codecs.vqgan import VQGAN, VQGANArchitecture
from pipeline.codecs.vqgan_layers import Sizes
from pipeline.codecs.vqgan_objective import VQGANLearner, VQGANObjective
from pipeline.runtime import Mistake

AVERAGES = Averages(decay=0.9, revive_below=0.3)
SPECTRA = Spectra(resolutions=((64, 16, 32), (32, 8, 16)), scale="magnitude")
SOUND = JukeboxObjective(
    l2=1.0, linf=0.02, linf_samples=32, spectral=1.0, spectra=SPECTRA, commitment=0.02, codebook=AVERAGES
)
PICTURES = VQGANObjective(l1=1.0, l2=1.0, commitment=0.25, bottleneck=AVERAGES, perceptual=None, critic=None)
SETTINGS = CodecTraining(
    steps=7, batch_size=4, learning_rate=2e-3, final_learning_rate=1e-3, warmup_steps=2, betas=(0.9, 0.99), amp=False,
    log_every=3, checkpoint_every=2,
)  # fmt: skip
LEVELS = JukeboxArchitecture(
    sample_rate=8000, strides=((4,), (2,)), width=(6, 6), depth=(1, 1), dilation_growth=3, dimension=4, n_codes=16
)


def sound_learner(objective=SOUND, **options):
    torch.manual_seed(0)
    return JukeboxLearner(JukeboxVQVAE(LEVELS), objective, **options)


def picture_learner(quantiser="nearest", **changes):
    torch.manual_seed(0)
    sizes = Sizes(
        double_z=False, z_channels=4, resolution=8, in_channels=3, out_ch=3, ch=8, ch_mult=(1, 1), num_res_blocks=1,
        attn_resolutions=(), dropout=0.0,
    )  # fmt: skip
    codec = VQGAN(VQGANArchitecture(quantiser=quantiser, embed_dim=4, n_embed=16, ddconfig=sizes))
    return VQGANLearner(codec, PICTURES.model_copy(update=changes))


GUMBEL = {"bottleneck": Gumbel(temperature=1.0, final_temperature=0.5, anneal_steps=5), "commitment": 1e-4}
CRITIC = {"critic": Critic(weight=0.5, start=3, width=8, layers=1)}


def sounds(generator, size):
    time = np.arange(256) / 8000
    pitch = generator.uniform(100, 1000, (size, 1))
    return torch.from_numpy(0.5 * np.sin(2 * np.pi * pitch * time + generator.uniform(0, 6, (size, 1)))).float()


def pictures(generator, size):  # four flat squares of black or white
    colours = torch.from_numpy(generator.integers(0, 2, (size, 1, 2, 2))).float().expand(-1, 3, -1, -1)
    return torch.nn.functional.interpolate(colours, size=8)


LEARNERS = {
    "sound": (sound_learner, sounds),
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
def test_a_killed_training_resumes_to_the_same_bytes(tmp_path, kind):
    make, source = LEARNERS[kind]
    whole = make()
    history = train_codec(whole, source, SETTINGS, tmp_path / "whole", seed=5)

    with pytest.raises(Killed):
        train_codec(make(), dying(source, 4 + 5), SETTINGS, tmp_path / "killed", seed=5)
    assert (tmp_path / "killed" / "codec.pt").exists()
    torch.manual_seed(99)
    resumed = make()
    for parameter in resumed.parameters():
        parameter.data.add_(1.0)  # whatever it starts from, the checkpoint decides
    again = train_codec(resumed, source, SETTINGS, tmp_path / "killed", seed=5)

    assert again == history
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("kind", LEARNERS)
def test_training_learns_and_tells_its_history(tmp_path, kind):
    make, source = LEARNERS[kind]
    settings = SETTINGS.model_copy(update={"steps": 80, "log_every": 20, "learning_rate": 1e-2})
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


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    with pytest.raises(Killed):
        train_codec(sound_learner(), dying(sounds, 4 + 5), SETTINGS, tmp_path, seed=0)
    other = SETTINGS.model_copy(update={"learning_rate": 1.0})
    with pytest.raises(Mistake, match="other settings"):
        train_codec(sound_learner(), sounds, other, tmp_path, seed=0)


def test_a_diverging_training_is_told(tmp_path):
    with pytest.raises(Mistake, match="lower its learning_rate"):
        train_codec(sound_learner(), lambda g, n: sounds(g, n) * math.nan, SETTINGS, tmp_path, seed=0)


def test_only_the_level_in_use_learns(tmp_path):
    learner = sound_learner()
    before = {name: tensor.clone() for name, tensor in learner.codec.state_dict().items()}
    train_codec(learner, sounds, SETTINGS, tmp_path, seed=0)
    changed = {name for name, tensor in learner.codec.state_dict().items() if not torch.equal(tensor, before[name])}
    mine = {name for name in before if name.startswith(("encoders.1.", "decoders.1.", "bottleneck.level_blocks.1."))}
    assert changed == mine


def test_fine_tuning_begins_at_the_given_codewords():
    learner = sound_learner(keep_codebook=True)
    learner.codec.quantiser.k.normal_()
    before = learner.codec.quantiser.k.clone()
    learner.start(lambda number, size: sounds(np.random.default_rng(number), size), 4, seed=0)
    assert torch.equal(learner.codec.quantiser.k, before)
    assert learner.variance == pytest.approx(0.125, rel=0.2)  # of sines with amplitude 0.5


def test_learning_rate_warms_up_and_falls_along_a_cosine():
    rates = [SETTINGS.learning_rate_at(step) for step in range(8)]
    assert rates[0] == pytest.approx(1e-3)
    assert rates[1] == rates[2] == pytest.approx(2e-3)
    assert rates[7] == pytest.approx(1e-3)
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_nearest_codes_are_the_brute_force_ones():
    generator = torch.Generator().manual_seed(0)
    rows, codebook = torch.randn(50, 3, generator=generator), torch.randn(9, 3, generator=generator)
    expected = [min(range(9), key=lambda k: float((row - codebook[k]).square().sum())) for row in rows]
    assert nearest_codes(rows, codebook).tolist() == expected


def test_rows_and_latents_are_inverse_and_row_major():
    latent = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(as_rows(latent)[5], latent[0, :, 1, 1])
    assert torch.equal(as_latent(as_rows(latent), latent), latent)


def test_codewords_follow_the_mean_of_their_vectors():
    codebook = Codebook(2, 1)
    codebook.k.copy_(torch.tensor([[0.0], [10.0]]))
    averages = AveragedCodebook(codebook, Averages(decay=0.5, revive_below=0.0))
    averages(torch.tensor([[[1.0, 2.0, 12.0]]]), 0, torch.Generator())
    # counts: 0.5 * 1 + 0.5 * [2, 1]; sums: 0.5 * [0, 10] + 0.5 * [3, 12]
    assert averages.counts.tolist() == [1.5, 1.0]
    assert codebook.k.flatten().tolist() == [1.0, 11.0]


def test_a_dead_code_restarts_at_a_vector_of_the_batch_and_is_then_used():
    codebook = Codebook(3, 2)
    codebook.k.copy_(torch.tensor([[0.0, 0.0], [5.0, 5.0], [1000.0, 1000.0]]))
    averages = AveragedCodebook(codebook, Averages(decay=0.5, revive_below=0.4))
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
    quantised = AveragedCodebook(codebook, AVERAGES)(latent, 0, torch.Generator())
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
    relaxation = GumbelRelaxation(quantiser, Gumbel(temperature=1.0, final_temperature=0.01, anneal_steps=10))
    latent = torch.randn(2, 3, 2, 2)
    quantised = relaxation(latent, 10, torch.Generator().manual_seed(0))
    logits = quantiser.proj(latent)
    q = logits.softmax(1)
    assert float(quantised.loss) == pytest.approx(float((q * (q * 5).log()).sum(1).mean()), rel=1e-4)
    assert torch.equal(quantised.codes, logits.argmax(1).flatten())
    distance = (as_rows(quantised.latent)[:, None] - quantiser.table).detach().norm(dim=2).min(1).values
    assert distance.median() < 1e-3  # nearly one codeword when cold


def test_a_quantiser_needs_the_settings_of_its_kind():
    with pytest.raises(Mistake, match="nearest quantiser does not go with"):
        picture_learner("nearest", **GUMBEL)


def test_critic_and_codec_do_not_disturb_each_other(tmp_path):
    learner = picture_learner(**CRITIC, l1=0.0, l2=0.0, commitment=0.0)
    losses = learner(pictures(np.random.default_rng(0), 4), 5, torch.Generator().manual_seed(0))
    (of_critic,) = torch.autograd.grad(losses.terms["critic"], learner.critic.model[0].weight, retain_graph=True)
    losses.total.backward()
    assert torch.equal(learner.critic.model[0].weight.grad, of_critic)


def test_the_perceptual_distance_reads_vgg_weights(tmp_path):
    from torchvision.models import vgg16

    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in vgg16(weights=None).state_dict().items()}
    features = {name: torch.randn(shape) * 0.05 for name, shape in shapes.items() if name.startswith("features.")}
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


def test_perplexity_counts_codes_in_effective_use():
    assert perplexity(torch.tensor([5, 5, 0, 5])) == pytest.approx(3)
    assert perplexity(torch.tensor([7, 0])) == 1
    assert math.isnan(perplexity(torch.zeros(4)))


class Echo:
    """A codec that gives back what it got, but for the last half, which it silences or blackens."""

    n_codes, factor = 4, 1
    quantiser = Codebook(4, 1)

    def encode(self, x):
        self.given = x
        return torch.tensor([[0, 1, 1, 1]]).expand(len(x), 4)

    def decode(self, codes, grid=None):
        x = self.given.clone()
        x[..., x.shape[-1] // 2 :] = 0
        return x


def test_sound_is_judged_by_error_spectra_and_codes():
    sound = torch.randn(1, 44100, generator=torch.Generator().manual_seed(0))
    figures = judge_sound(Echo(), [sound, torch.zeros_like(sound)])
    assert figures["mse"] == pytest.approx(0.25, abs=0.01)
    assert figures["snr_db"] == pytest.approx(10 * math.log10(2), abs=0.1)
    assert figures["spectral_convergence"] == pytest.approx(math.sqrt(0.5), abs=0.03)
    assert (figures["used_codes"], figures["codes"]) == (2, 4)
    assert figures["perplexity"] == pytest.approx(math.exp(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75))))


def test_pictures_are_judged_by_error_and_codes():
    figures = judge_pictures(Echo(), [torch.ones(2, 3, 4, 4)])
    assert figures["mse"] == 0.5
    assert figures["psnr_db"] == pytest.approx(10 * math.log10(2))


def test_real_codecs_are_judged_row_by_row():
    class Content:
        def read(self, rows):
            return sounds(np.random.default_rng(rows[0]), len(rows))

    codec = sound_learner().codec.eval()
    figures = judge_reconstructions(codec, Content(), range(20))
    assert set(figures) >= {"mse", "snr_db", "spectral_convergence", "used_codes", "perplexity", "perplexity_share"}
    with pytest.raises(Mistake, match="split is empty"):
        judge_reconstructions(codec, Content(), [])

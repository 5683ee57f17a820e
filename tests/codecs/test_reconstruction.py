"""How well a codec gives back what it was given: errors, spectra and the use of its codes."""

import math

import numpy as np
import pytest
import torch

from pipeline.codecs.jukebox import JukeboxVQVAE
from pipeline.codecs.quantisers import Codebook, perplexity
from pipeline.codecs.reconstruction import (
    audio_reconstruction_scores,
    image_reconstruction_scores,
    reconstruction_scores,
)
from pipeline.codecs.vqgan import VQGAN
from pipeline.runtime.errors import UserError
from tests.helpers.codec_learners import sound_learner, sounds


def test_perplexity_counts_codes_in_effective_use():
    assert perplexity(torch.tensor([5, 5, 0, 5])) == pytest.approx(3)
    assert perplexity(torch.tensor([7, 0])) == 1
    assert math.isnan(perplexity(torch.zeros(4)))


class Echo(JukeboxVQVAE, VQGAN):
    """A codec that gives back what it got, but for the last half, which it silences or blackens."""

    n_codes, factor = 4, 1
    quantiser = Codebook(4, 1)

    def __init__(self):
        pass

    def encode(self, x):
        object.__setattr__(self, "given", x)
        return torch.tensor([[0, 1, 1, 1]]).expand(len(x), 4)

    def decode(self, codes, grid=None):
        x = self.given.clone()
        x[..., x.shape[-1] // 2 :] = 0
        return x


def test_sound_is_judged_by_error_spectra_and_codes():
    sound = torch.randn(1, 44100, generator=torch.Generator().manual_seed(0))
    figures = audio_reconstruction_scores(Echo(), [sound, torch.zeros_like(sound)])
    assert figures["mse"] == pytest.approx(0.25, abs=0.01)
    assert figures["snr_db"] == pytest.approx(10 * math.log10(2), abs=0.1)
    assert figures["spectral_convergence"] == pytest.approx(math.sqrt(0.5), abs=0.03)
    assert (figures["used_codes"], figures["codes"]) == (2, 4)
    assert figures["perplexity"] == pytest.approx(
        math.exp(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    )


def test_pictures_are_judged_by_error_and_codes():
    figures = image_reconstruction_scores(Echo(), [torch.ones(2, 3, 4, 4)])
    assert figures["mse"] == 0.5
    assert figures["psnr_db"] == pytest.approx(10 * math.log10(2))


def test_real_codecs_are_judged_row_by_row():
    class Content:
        def read(self, rows):
            return sounds(np.random.default_rng(rows[0]), len(rows))

    codec = sound_learner().codec.eval()
    figures = reconstruction_scores(codec, Content(), range(20))
    assert set(figures) >= {
        "mse",
        "snr_db",
        "spectral_convergence",
        "used_codes",
        "perplexity",
        "perplexity_share",
    }
    with pytest.raises(UserError, match="split is empty"):
        reconstruction_scores(codec, Content(), [])

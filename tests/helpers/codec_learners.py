"""Small codecs with their objectives, and the sounds and pictures that they learn from."""

import numpy as np
import torch

from pipeline.codecs.bottlenecks import Averages, Gumbel
from pipeline.codecs.critic import Critic
from pipeline.codecs.jukebox import JukeboxArchitecture, JukeboxVQVAE
from pipeline.codecs.jukebox_objective import JukeboxLearner, JukeboxObjective
from pipeline.codecs.spectral_distances import Spectra
from pipeline.codecs.transform import TransformArchitecture, TransformCodec
from pipeline.codecs.transform_objective import TransformLearner, TransformObjective
from pipeline.codecs.vqgan import VQGAN, VQGANArchitecture
from pipeline.codecs.vqgan_layers import Sizes
from pipeline.codecs.vqgan_objective import VQGANLearner, VQGANObjective

AVERAGES = Averages(decay=0.9, revive_below=0.3)
SPECTRA = Spectra(resolutions=((64, 16, 32), (32, 8, 16)), scale="magnitude")
SOUND = JukeboxObjective(
    l2=1.0,
    linf=0.02,
    linf_samples=32,
    spectral=1.0,
    spectra=SPECTRA,
    commitment=0.02,
    codebook=AVERAGES,
)
PICTURES = VQGANObjective(
    l1=1.0, l2=1.0, commitment=0.25, bottleneck=AVERAGES, perceptual=None, critic=None
)
LEVELS = JukeboxArchitecture(
    sample_rate=8000,
    strides=((4,), (2,)),
    width=(6, 6),
    depth=(1, 1),
    dilation_growth=3,
    dimension=4,
    n_codes=16,
)


TRANSFORM = TransformArchitecture(
    kind="transform",
    sample_rate=8000,
    hop=16,
    width=24,
    blocks=(1, 2),
    kernel=3,
    expansion=2,
    heads=2,
    span=3,
    dimension=4,
    n_codes=16,
    iterations=8,
)
TRANSFORM_OBJECTIVE = TransformObjective(
    kind="transform",
    mel=0.0,
    commitment=0.25,
    codebook=AVERAGES,
)


def transform_learner(**changes):
    torch.manual_seed(0)
    return TransformLearner(
        TransformCodec(TRANSFORM), TRANSFORM_OBJECTIVE.model_copy(update=changes)
    )


def sound_learner(objective=SOUND, **options):
    torch.manual_seed(0)
    return JukeboxLearner(JukeboxVQVAE(LEVELS), objective, **options)


def picture_learner(quantiser="nearest", **changes):
    torch.manual_seed(0)
    sizes = Sizes(
        double_z=False,
        z_channels=4,
        resolution=8,
        in_channels=3,
        out_ch=3,
        ch=8,
        ch_mult=(1, 1),
        num_res_blocks=1,
        attn_resolutions=(),
        dropout=0.0,
    )
    codec = VQGAN(VQGANArchitecture(quantiser=quantiser, embed_dim=4, n_embed=16, ddconfig=sizes))
    return VQGANLearner(codec, PICTURES.model_copy(update=changes))


GUMBEL = {
    "bottleneck": Gumbel(temperature=1.0, final_temperature=0.5, anneal_steps=5),
    "commitment": 1e-4,
}
CRITIC = {"critic": Critic(weight=0.5, start=3, width=8, layers=1)}


def sounds(generator, size):
    time = np.arange(256) / 8000
    pitch = generator.uniform(100, 1000, (size, 1))
    return torch.from_numpy(
        0.5 * np.sin(2 * np.pi * pitch * time + generator.uniform(0, 6, (size, 1)))
    ).float()


def pictures(generator, size):  # four flat squares of black or white
    colours = (
        torch.from_numpy(generator.integers(0, 2, (size, 1, 2, 2))).float().expand(-1, 3, -1, -1)
    )
    return torch.nn.functional.interpolate(colours, size=8)

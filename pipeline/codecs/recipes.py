"""How a data set gets its codec: published weights as they are, fine-tuned, or trained from nothing
on its training split.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.codecs.sound import (
    AnyArchitecture,
    AnyObjective,
    AnySoundCodec,
    load_sound_codec,
    new_sound_codec,
    sound_learner,
)
from pipeline.codecs.training import CodecTraining, train_codec
from pipeline.codecs.vqgan import VQGAN, VQGANArchitecture
from pipeline.codecs.vqgan_objective import VQGANLearner, VQGANObjective
from pipeline.media.content import Pictures, Sound
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import torch_generator
from pipeline.storage.weights import weights_file

READ_AT_ONCE = 64


class SoundCodec(Section):
    """The music codec.

    `weights`: a name of `cdcd weights list` or a file (OpenAI's, D2M-GAN's, ours) to use or, with
    `training`, to fine-tune; null trains `architecture` from nothing. `level` of published weights:
    0, 1, 2 for hops 8, 32, 128. `architecture` and `objective` are `kind: jukebox` (the one that
    goes without saying) or `kind: transform`. `peak`: every clip is scaled to it. `crop`: samples a
    training example has.
    """

    weights: str | None
    level: int
    architecture: AnyArchitecture | None
    sample_rate: int
    peak: float | None
    crop: int
    objective: AnyObjective | None
    training: CodecTraining | None
    seed: int


class PictureCodec(Section):
    """The image codec.

    `weights`: a name of `cdcd weights list` or a file (a published VQ-GAN or ours); null trains
    `architecture` from nothing. `config`: the taming yaml of published weights of another size
    (null: the published f8 and f16). `used_codes`: the file of the used codes, to which the tokens
    are restricted (null: all codes).
    """

    weights: str | None
    config: str | None
    used_codes: str | None
    architecture: VQGANArchitecture | None
    image_size: int
    objective: VQGANObjective | None
    training: CodecTraining | None
    seed: int


def make_sound_codec(
    config: SoundCodec, sound: Sound, rows: list[int], scratch: Path
) -> tuple[AnySoundCodec, list[dict]]:
    """The codec on the CPU, frozen, and the history of its training (empty when there was none)."""
    if config.weights is None:
        codec = _from_nothing(
            config, lambda: new_sound_codec(config.architecture, config.sample_rate)
        )
    else:
        codec = load_sound_codec(weights_file(config.weights), config.level, config.sample_rate)
    if config.training is None:
        return codec, []
    waveforms = _decoded_once(sound, rows, scratch / "waveforms.npy")

    def crops(generator: np.random.Generator, size: int) -> Tensor:
        chosen = generator.integers(0, len(rows), size)
        pieces = torch.from_numpy(waveforms[chosen].astype(np.float32) / 32767)
        return sound.crop(pieces, config.crop, generator)

    keep = config.weights is not None
    learner = sound_learner(codec, config.objective, keep_codebook=keep).to(device())
    history = train_codec(learner, crops, config.training, scratch, config.seed)
    return codec.cpu().eval().requires_grad_(False), history


def make_picture_codec(
    config: PictureCodec, pictures: Pictures, rows: list[int], scratch: Path
) -> tuple[VQGAN, list[dict]]:
    """The codec on the CPU, frozen, and the history of its training (empty when there was none)."""
    if config.weights is not None:
        return VQGAN.load(weights_file(config.weights), config.config, config.used_codes), []
    codec = _from_nothing(config, lambda: VQGAN(config.architecture))

    def crops(generator: np.random.Generator, size: int) -> Tensor:
        return pictures.read(
            [rows[index] for index in generator.integers(0, len(rows), size)], generator
        )

    learner = VQGANLearner(codec, config.objective).to(device())
    history = train_codec(learner, crops, config.training, scratch, config.seed)
    return codec.cpu().eval().requires_grad_(False), history


def _from_nothing(config: SoundCodec | PictureCodec, build) -> torch.nn.Module:
    """A codec with weights drawn from the section's seed alone."""
    if config.architecture is None or config.objective is None or config.training is None:
        raise UserError(
            "A codec without weights is trained: give codec.architecture, codec.objective and"
            " codec.training."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_generator(config.seed, "codec").initial_seed())
        return build()


def _decoded_once(sound: Sound, rows: list[int], path: Path) -> np.ndarray:
    """[n, T] int16, mapped from the disk: sound tracks are slow to decode, and crops are drawn from
    them thousands of times.
    """
    if not path.exists():
        length = round(sound.seconds * sound.sample_rate)
        starts = range(0, len(rows), READ_AT_ONCE)
        with atomic(path) as temporary:
            decoded = np.lib.format.open_memmap(temporary, "w+", np.int16, (len(rows), length))
            for start in progress(starts, "decoding sound tracks"):
                waveforms = sound.read(rows[start : start + READ_AT_ONCE])
                decoded[start : start + len(waveforms)] = (waveforms * 32767).round().numpy()
            decoded.flush()
    return np.load(path, mmap_mode="r")

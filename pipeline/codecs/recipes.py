"""How a data set gets its codec: published weights as they are, fine-tuned, or trained from nothing
on its training split.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from pipeline.codecs.sound import (
    AnyArchitecture,
    AnySoundCodec,
    load_sound_codec,
    new_sound_codec,
)
from pipeline.codecs.sound_learner import AnyObjective, sound_learner
from pipeline.codecs.training import CodecTraining, train_codec
from pipeline.codecs.used_codes import UsedCodes
from pipeline.codecs.vqgan import VQGAN, VQGANArchitecture
from pipeline.codecs.vqgan_objective import VQGANLearner, VQGANObjective
from pipeline.media.content import AudioClips
from pipeline.runtime.device import device
from pipeline.runtime.files import atomic
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import torch_generator
from pipeline.storage.weights import weights_file

READ_AT_ONCE = 64
C = TypeVar("C", bound=torch.nn.Module)


class AudioCodec(Section):
    """The music codec.

    `weights`: a name of `cdcd weights list` (`studio`: ours, which comes with this package) or a
    file (OpenAI's, D2M-GAN's, ours) to use or, with `fine_tune`, to train further; null trains
    `architecture` from nothing. What is not used may stand there. `level` of published weights: 0,
    1, 2 for hops 8, 32, 128. `architecture` and `objective` are `kind: jukebox` (the one that
    goes without saying) or `kind: transform`. `peak`: every clip is scaled to it. `crop`: samples a
    training example has.
    """

    weights: str | None
    level: int
    architecture: AnyArchitecture | None = None
    sample_rate: int
    peak: float | None = None
    crop: int
    objective: AnyObjective | None = None
    training: CodecTraining | None = None
    fine_tune: bool = False
    seed: int = 0

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return self.weights is None or self.fine_tune

    @model_validator(mode="after")
    def _has_all_it_needs(self) -> "AudioCodec":
        _check_recipe(self)
        return self


class ImageCodec(Section):
    """The image codec.

    `weights`: a name of `cdcd weights list` or a file (a published VQ-GAN or ours) to use or, with
    `fine_tune`, to train further; null trains `architecture` from nothing. `config`: the taming
    yaml of published weights of another size (null: the published f8 and f16). `used_codes`: to
    which codes the tokens are restricted: those of a file (the authors' tables), `computed`: those
    that occur in the training pictures, or null: all codes.
    """

    weights: str | None
    config: str | None = None
    used_codes: str | None = None
    architecture: VQGANArchitecture | None = None
    image_size: int
    objective: VQGANObjective | None = None
    training: CodecTraining | None = None
    fine_tune: bool = False
    seed: int = 0

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return self.weights is None or self.fine_tune

    @model_validator(mode="after")
    def _has_all_it_needs(self) -> "ImageCodec":
        _check_recipe(self)
        return self


def _check_recipe(codec: AudioCodec | ImageCodec) -> None:
    if codec.weights is None and None in (codec.architecture, codec.objective, codec.training):
        raise ValueError(
            "weights is null, so that the codec is trained: give architecture, objective and"
            " training"
        )
    if codec.fine_tune and None in (codec.objective, codec.training):
        raise ValueError("fine_tune trains further: give objective and training")


@runtime_checkable
class Pictures(Protocol):
    """Pictures of a data set, by row: `pipeline.media.content.Images`."""

    def read(self, rows: list[int], generator: np.random.Generator | None = None) -> Tensor:
        """[B, 3, H, W] in [0, 1]: centre crops, or random ones with a generator."""
        ...


def make_audio_codec(
    config: AudioCodec, sound: AudioClips, rows: list[int], scratch: Path
) -> tuple[AnySoundCodec, list[dict]]:
    """The codec on the CPU, frozen, and the history of its training (empty when there was none)."""
    if config.weights is None:
        sizes = config.architecture
        assert sizes is not None, "_check_recipe saw to it"
        codec = _from_nothing(config, lambda: new_sound_codec(sizes, config.sample_rate))
    else:
        codec = load_sound_codec(weights_file(config.weights), config.level, config.sample_rate)
    if not config.trains:
        return codec, []
    assert config.training is not None, "_check_recipe saw to it"
    waveforms = _decoded_once(sound, rows, scratch / "waveforms.npy")

    def crops(generator: np.random.Generator, size: int) -> Tensor:
        chosen = generator.integers(0, len(rows), size)
        pieces = torch.from_numpy(waveforms[chosen].astype(np.float32) / 32767)
        return sound.crop(pieces, config.crop, generator)

    learner = sound_learner(codec, config.objective, keep_codebook=config.fine_tune).to(device())
    history = train_codec(learner, crops, config.training, scratch, config.seed)
    return codec.cpu().eval().requires_grad_(False), history


def make_image_codec(
    config: ImageCodec, pictures: Pictures, rows: list[int], scratch: Path
) -> tuple[VQGAN, list[dict]]:
    """The codec on the CPU, frozen, and the history of its training (empty when there was none)."""
    if config.weights is None:
        sizes = config.architecture
        assert sizes is not None, "_check_recipe saw to it"
        codec, table = _from_nothing(config, lambda: VQGAN(sizes)), None
    else:
        yaml = None if config.config is None else Path(config.config)
        codec = VQGAN.load(weights_file(config.weights), yaml)
        table, codec.used_codes = codec.used_codes, None
    history = _train_pictures(config, codec, pictures, rows, scratch)
    if config.used_codes == "computed":
        codec.to(device()).eval()
        codes = (codec.encode(batch) for batch in _in_order(pictures, rows))
        table = UsedCodes.from_dataset(codes, codec.quantiser.table)
    elif config.used_codes is not None:
        table = UsedCodes.read(Path(config.used_codes).expanduser())
    codec.restrict_to(table)
    return codec.cpu().eval().requires_grad_(False), history


def _in_order(pictures: Pictures, rows: list[int]) -> Iterator[Tensor]:
    """All the pictures, a few at once."""
    starts = range(0, len(rows), READ_AT_ONCE)
    for start in progress(starts, "finding the used codes"):
        yield pictures.read(rows[start : start + READ_AT_ONCE]).to(device())


def _train_pictures(
    config: ImageCodec, codec: VQGAN, pictures: Pictures, rows: list[int], scratch: Path
) -> list[dict]:
    """The history of training or fine-tuning `codec` in place (empty when it is used as it is)."""
    if not config.trains:
        return []
    assert config.objective is not None, "_check_recipe saw to it"
    assert config.training is not None, "_check_recipe saw to it"

    def crops(generator: np.random.Generator, size: int) -> Tensor:
        return pictures.read(
            [rows[index] for index in generator.integers(0, len(rows), size)], generator
        )

    learner = VQGANLearner(codec, config.objective, keep_codebook=config.fine_tune)
    return train_codec(learner.to(device()), crops, config.training, scratch, config.seed)


def _from_nothing(config: AudioCodec | ImageCodec, build: Callable[[], C]) -> C:
    """A codec with weights drawn from the section's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_generator(config.seed, "codec").initial_seed())
        return build()


def _decoded_once(sound: AudioClips, rows: list[int], path: Path) -> np.ndarray:
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

"""The signal side of a task: how its clips or pictures are read, and with which codec they become
tokens.
"""

from pathlib import Path
from typing import overload

from pipeline.codecs.sound import AnySoundCodec, load_sound_codec
from pipeline.codecs.vqgan import VQGAN
from pipeline.media.content import AudioClips, Images
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import Manifest
from stages.config import AnyDataset, CaptionToImage, ClassToImage, DanceToMusic
from stages.paths import CODEC_FILE, Paths

Codec = AnySoundCodec | VQGAN


@overload
def open_content(settings: DanceToMusic, manifest: Manifest) -> AudioClips: ...
@overload
def open_content(settings: CaptionToImage | ClassToImage, manifest: Manifest) -> Images: ...
@overload
def open_content(settings: AnyDataset, manifest: Manifest) -> AudioClips | Images: ...
def open_content(settings: AnyDataset, manifest: Manifest) -> AudioClips | Images:
    """The reader of the data set's waveforms or pictures."""
    if isinstance(settings, DanceToMusic):
        return AudioClips(
            manifest, settings.codec.sample_rate, settings.clip_seconds, settings.codec.peak
        )
    return Images(manifest, settings.codec.image_size)


@overload
def open_codec(settings: DanceToMusic, paths: Paths) -> AnySoundCodec: ...
@overload
def open_codec(settings: CaptionToImage | ClassToImage, paths: Paths) -> VQGAN: ...
@overload
def open_codec(settings: AnyDataset, paths: Paths) -> Codec: ...
def open_codec(settings: AnyDataset, paths: Paths) -> Codec:
    """The data set's codec, on the accelerator if there is one."""
    path = paths.codec / CODEC_FILE
    if not path.exists():
        raise UserError(f"{path} does not exist; run `cdcd codec {paths.dataset}` first.")
    if isinstance(settings, DanceToMusic):
        return load_sound_codec(path, sample_rate=settings.codec.sample_rate).to(device())
    return VQGAN.load(path).to(device())


def checked(path: Path, stage: str, dataset: str) -> Path:
    """`path`; raises UserError naming the stage that makes it when it is missing."""
    if not path.exists():
        raise UserError(
            f"{path} does not exist; run `cdcd {stage} {dataset}` (or `dvc repro`) first."
        )
    return path

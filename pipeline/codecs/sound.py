"""Either codec of sound, Jukebox's VQ-VAE or the transform codec, told apart by what its settings
or its file say.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Discriminator, Tag

from pipeline.codecs.jukebox import JukeboxArchitecture, JukeboxVQVAE
from pipeline.codecs.transform import TransformArchitecture, TransformCodec
from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_about

AnySoundCodec = JukeboxVQVAE | TransformCodec


def kind_of(section: object) -> object:
    """Which codec a section describes, as read from a file or built; Jukebox's where it does not
    say.
    """
    if isinstance(section, dict):
        return section.get("kind", "jukebox")
    return getattr(section, "kind", None)


AnyArchitecture = Annotated[
    Annotated[JukeboxArchitecture, Tag("jukebox")]
    | Annotated[TransformArchitecture, Tag("transform")],
    Discriminator(kind_of),
]


def new_sound_codec(architecture: AnyArchitecture, sample_rate: int) -> AnySoundCodec:
    """An untrained codec of the architecture's kind; raises UserError for one of another rate."""
    if isinstance(architecture, TransformArchitecture):
        codec = TransformCodec(architecture)
    else:
        codec = JukeboxVQVAE(architecture)
    return _at_rate(codec, sample_rate, "codec.architecture")


def load_sound_codec(
    path: Path, level: int | None = None, sample_rate: int | None = None
) -> AnySoundCodec:
    """The frozen codec in a file, of whichever kind; `level` is for Jukebox's alone.

    `sample_rate` is the one to run it at (None: its own); a codec that cannot is refused with a
    UserError.
    """
    about = read_about(path) if Path(path).is_file() else None
    ours = (about or {}).get("class") == "TransformCodec"
    codec = TransformCodec.load(path) if ours else JukeboxVQVAE.load(path, level)
    return codec if sample_rate is None else _at_rate(codec, sample_rate, str(path))


def _at_rate(codec: AnySoundCodec, sample_rate: int, name: str) -> AnySoundCodec:
    """The codec at a rate: Jukebox's runs at any, as the dance-to-music systems run it at half the
    rate of its training; a transform codec at its own alone.
    """
    if isinstance(codec, TransformCodec) and sample_rate != codec.sample_rate:
        raise UserError(
            f"{name} is a transform codec for {codec.sample_rate} Hz, but codec.sample_rate is"
            f" {sample_rate}; make them equal."
        )
    codec.sample_rate = sample_rate
    return codec

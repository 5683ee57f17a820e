"""Either codec of sound with the losses that train it."""

from typing import Annotated

from pydantic import Discriminator, Tag

from pipeline.codecs.jukebox import JukeboxVQVAE
from pipeline.codecs.jukebox_objective import JukeboxLearner, JukeboxObjective
from pipeline.codecs.sound import AnySoundCodec, kind_of
from pipeline.codecs.transform import TransformCodec
from pipeline.codecs.transform_objective import TransformLearner, TransformObjective
from pipeline.runtime.errors import UserError

AnyObjective = Annotated[
    Annotated[JukeboxObjective, Tag("jukebox")] | Annotated[TransformObjective, Tag("transform")],
    Discriminator(kind_of),
]


def sound_learner(
    codec: AnySoundCodec, objective: AnyObjective | None, keep_codebook: bool
) -> JukeboxLearner | TransformLearner:
    """The codec with its losses; raises UserError for the objective of the other kind."""
    match codec, objective:
        case TransformCodec(), TransformObjective():
            return TransformLearner(codec, objective, keep_codebook)
        case JukeboxVQVAE(), JukeboxObjective():
            return JukeboxLearner(codec, objective, keep_codebook)
    kind = "transform" if isinstance(codec, TransformCodec) else "jukebox"
    raise UserError(f"A {kind} codec is trained by codec.objective of `kind: {kind}`.")

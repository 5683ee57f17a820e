"""The published checkpoints as finished models, with codec and what reads their conditions."""

from functools import cache
from pathlib import Path

from pipeline.diffusion.sampler import Sampling
from pipeline.generation.files import ModelFiles, needed_extractors
from pipeline.generation.settings import Classes, Dances, ModelSettings, Reads
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section, read_yaml, validate
from pipeline.storage.tensors import read_shapes
from pipeline.storage.weights import entry, find, is_here

TABLE = Path(__file__).with_name("released.yaml")
IMAGENET_CLASSES = 1000


class Released(Section):
    """One entry of released.yaml: names of `cdcd weights list` for the denoiser, its codec (at
    `level`, restricted to `used_codes`), and what it reads and how it draws.
    """

    checkpoint: str
    codec: str
    level: int | None = None
    used_codes: str | None = None
    data: str
    reads: Reads
    sampling: Sampling


@cache
def released_models() -> dict[str, Released]:
    """Every entry by the model's name."""
    return {
        name: validate(Released, content, name, TABLE.name)
        for name, content in read_yaml(TABLE).items()
    }


def released_files(name: str) -> ModelFiles:
    """The files of a published model; raises UserError that names all weights that are missing, and
    how to get them.
    """
    model = released_models()[name]
    settings = ModelSettings(
        name=name,
        reads=model.reads,
        sampling=model.sampling,
        data=model.data,
        licence=entry(model.checkpoint).licence,
    )
    extractors = needed_extractors(settings)
    wanted = [model.checkpoint, model.codec, *filter(None, [model.used_codes]), *extractors]
    if missing := [weights for weights in wanted if not is_here(entry(weights))]:
        commands = "; ".join(f"cdcd weights get {weights}" for weights in missing)
        raise UserError(
            f"The released model {name} needs weights that are not here: run `{commands}` (or"
            f" `cdcd weights add {missing[0]} FILE` for what you have already)."
        )
    checkpoint = find(model.checkpoint)
    return ModelFiles(
        settings.model_copy(update={"reads": _completed(settings.reads, checkpoint)}),
        checkpoint,
        find(model.codec),
        {weights: find(weights) for weights in extractors},
        f"# {name}\n\nPublished by its authors: {entry(model.checkpoint).page}\n",
        model.level,
        None if model.used_codes is None else find(model.used_codes),
    )


def _completed(reads: Reads, checkpoint: Path) -> Reads:
    """What a model reads, with what only its weights say: how long a dance is, how many classes."""
    if isinstance(reads, Dances):
        frames = _first_frames(checkpoint)
        return reads.model_copy(update={"clip_seconds": frames / reads.pose.fps})
    if isinstance(reads, Classes):
        return reads.model_copy(update={"classes": tuple(map(str, range(IMAGENET_CLASSES)))})
    return reads


def _first_frames(checkpoint: Path) -> int:
    """How many frames of motion the encoder of a published dance model reads."""
    name = "condition_codec_motion.model.0.weight"
    found = [shape for key, shape in read_shapes(checkpoint).items() if key.endswith(name)]
    if not found:
        raise UserError(
            f"{checkpoint} does not fit: {name}, of the motion encoder, is missing; read the"
            " whole training checkpoint."
        )
    return found[0][1]

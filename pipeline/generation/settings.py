"""What a finished model must know beside its weights, whether it lies in a data set's folders, in a
bundle, or was published by others.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from pipeline.diffusion.sampler import Sampling
from pipeline.features.i3d_source import VisualConfig
from pipeline.features.pose_reader import PoseConfig
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section


class Dances(Section):
    """What a dance model reads and plays: windows of `clip_seconds`, poses and pictures as `pose`
    and `visual` say, sound at `sample_rate` whose peak was `peak` in training (null: as it came).

    `visual` is null where the model was trained on ready video features; `genres` are the names of
    the genre numbers, for a model that takes one.
    """

    task: Literal["dance"] = "dance"
    clip_seconds: float = Field(gt=0)
    sample_rate: int = Field(gt=0)
    peak: float | None = None
    pose: PoseConfig
    visual: VisualConfig | None
    genres: tuple[str, ...] = ()


class Captions(Section):
    """What a caption model reads: `bpe` tokens, or CLIP's features of them; its pictures have
    `image_size` pixels a side.
    """

    task: Literal["caption"] = "caption"
    text: Literal["bpe", "clip"]
    image_size: int = Field(gt=0)


class Classes(Section):
    """The names of a class model's classes, in the order of their numbers; pictures of `image_size`
    pixels a side.
    """

    task: Literal["class"] = "class"
    classes: tuple[str, ...]
    image_size: int = Field(gt=0)


Reads = Annotated[Dances | Captions | Classes, Field(discriminator="task")]


class ModelSettings(Section):
    """A finished model's name, what it reads, how it draws unless told otherwise, the data that it
    was trained on, and the licence of its weights.
    """

    name: str
    reads: Reads
    sampling: Sampling
    data: str
    licence: str


def drawn_with(sampling: Sampling, changes: Mapping[str, object]) -> Sampling:
    """`sampling` with those of `changes` that are not None; raises UserError for a value out of
    range.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    if unknown := sorted(set(given) - set(Sampling.model_fields)):
        known = ", ".join(Sampling.model_fields)
        raise UserError(f"{unknown[0]} is no way of drawing; there are {known}.")
    try:
        return Sampling.model_validate(sampling.model_dump() | given)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        reason = problem["msg"][0].lower() + problem["msg"][1:]
        raise UserError(f"{key} is {problem['input']!r}: {reason}.") from None

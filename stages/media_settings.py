"""The section `media`: what stands there once is handed to every section that reads it."""

from copy import deepcopy
from pathlib import Path

from pydantic import BaseModel

from pipeline.runtime.errors import UserError

GIVES = {  # key of `media` -> the keys that take its value
    "clip_seconds": ("download.clip_seconds",),
    "sample_rate": ("codec.sample_rate", "codec.architecture.sample_rate"),
    "pose": ("extract.pose.kind", "train.model.condition.pose"),
    "fps": ("extract.pose.fps", "train.model.condition.fps"),
    "image_size": (
        "download.image_size",
        "codec.image_size",
        "codec.architecture.ddconfig.resolution",
        "judge.image_size",
    ),
}
LARGEST_JUDGED = 128  # pixels that a judge trained here looks at


def section_class(kind: type[BaseModel], name: str) -> type[BaseModel]:
    """The class of the section `name` of a data set's settings."""
    found = kind.model_fields[name].annotation
    assert isinstance(found, type), f"{name} is a section"
    assert issubclass(found, BaseModel), f"{name} is a section"
    return found


def with_media(content: dict, kind: type[BaseModel], file: Path) -> dict:
    """The content of a settings file with the values of `media` in every section of `kind` that
    reads them; raises UserError where one of those keys stands in the file as well.
    """
    content = deepcopy(content)
    download = section_class(kind, "download").model_fields
    for key, value in content["media"].items():
        for target in GIVES[key]:
            *path, last = target.split(".")
            section = content
            for name in path:
                section = section.get(name) if isinstance(section, dict) else None
            if not isinstance(section, dict) or (path == ["download"] and last not in download):
                continue
            if path == ["judge"] and section.get("kind") != "trained":
                continue
            if last in section:
                raise UserError(
                    f"{file}: {target} is what media.{key} says already; remove it, and set"
                    f" media.{key}."
                )
            section[last] = min(value, LARGEST_JUDGED) if path == ["judge"] else value
    return content


def in_the_files_words(sentence: str, file: Path) -> str:
    """A sentence about wrong keys in which the keys that `media` fills are called by its name, and
    the file is named.
    """
    for key, targets in GIVES.items():
        for target in targets:
            sentence = sentence.replace(f" {target} ", f" media.{key} ")
    return sentence if sentence.startswith(str(file)) else f"{file}: {sentence}"

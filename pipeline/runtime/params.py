"""The one reader of YAML settings, the base class of every section of them, and the kinds of
numbers that stand in them.
"""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.runtime.errors import UserError

S = TypeVar("S", bound=BaseModel)

# Every number of a section is one of these, or has bounds of its own: none is a text, a truth value
# or NaN, and none is without an end, so that a slip of the pen is told before the first stage.
Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]
Amount = Annotated[int, Field(strict=True, ge=0, le=10**9)]
Width = Annotated[int, Field(strict=True, ge=1, le=2**16)]
Codes = Annotated[int, Field(strict=True, ge=2, le=2**16)]  # stores keep them in 16 bits
SampleRate = Annotated[int, Field(strict=True, ge=4000, le=384_000)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Positive = Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False)]
Weight = Annotated[float, Field(strict=True, ge=0, le=1e9, allow_inf_nan=False)]
Rate = Annotated[float, Field(strict=True, gt=0, le=10, allow_inf_nan=False)]
Decay = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
FrameRate = Annotated[float, Field(strict=True, ge=1, le=1000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=0.01, le=3600, allow_inf_nan=False)]
Draws = Annotated[int, Field(strict=True, ge=2, le=10**6)]
Percent = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen group of settings in which no unknown key is accepted.

    Subclasses live beside the component they configure. What a user is likely to turn, or what
    differs from one data set to the next, has no default and stands in every file; a constant of
    the method has one, with its source in the docstring. What a validator of a whole section says
    begins with a key of it, before which the section's own name is put.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_yaml(path: Path) -> dict:
    """The mapping in a YAML 1.2 file (so that `5e-5` is a number); raises UserError when it is
    missing or malformed.
    """
    try:
        content = YAML(typ="safe", pure=True).load(Path(path))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; run from the folder that holds params.yaml and params/."
        ) from None
    except (YAMLError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" at line {line + 1}"
        reason = str(getattr(error, "problem", None) or error).partition("\n")[0]
        raise UserError(
            f"{path}{where} is not valid YAML: {reason or type(error).__name__}."
        ) from None
    if not isinstance(content, dict):
        raise UserError(
            f"{path} must hold a mapping of names to sections, not {type(content).__name__}."
        )
    return content


def validate(section: type[S], content: object, name: str, file: str = "params.yaml") -> S:
    """`content` as a `section`; raises UserError that names the first wrong, missing or unknown key
    below `name`.
    """
    try:
        return section.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: {_sentence(error, content, name)}.") from None


def _sentence(error: ValidationError, content: object, name: str) -> str:
    """What is wrong with each key, in one sentence."""
    problems = []
    for problem in error.errors():
        key = ".".join([*filter(None, [name]), *_written(problem["loc"], content)])
        match problem["type"]:
            case "missing":
                problems.append(f"{key} is missing")
            case "extra_forbidden":
                problems.append(f"{key} is not a known key (misspelt?)")
            case "value_error" if isinstance(problem["input"], dict):
                parts = [key, problem["msg"].removeprefix("Value error, ")]
                problems.append(".".join(filter(None, parts)))
            case _:
                reason = problem["msg"].removeprefix("Value error, ")
                reason = reason[0].lower() + reason[1:]
                problems.append(f"{key}{_shown(problem['input'])}: {reason}")
    return "; ".join(problems[:4]) + (
        f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
    )


def _written(place: tuple[int | str, ...], content: object) -> list[str]:
    """The parts of a place that stand in the file: not the kind that a section was taken for."""
    parts = []
    for number, part in enumerate(place):
        if isinstance(content, dict) and part not in content and number + 1 < len(place):
            continue
        parts.append(str(part))
        match content:
            case dict():
                content = content.get(part)
            case list() if isinstance(part, int) and part < len(content):
                content = content[part]
            case _:
                content = None
    return parts


def _shown(value: object) -> str:
    """What was written for a key, where that is short."""
    text = repr(value)
    return "" if isinstance(value, dict) or len(text) > 80 else f" is {text}"

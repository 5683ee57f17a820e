"""The one reader of YAML settings, and the base class of every section of them."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.runtime.errors import UserError

S = TypeVar("S", bound=BaseModel)


class Section(BaseModel):
    """A frozen group of settings in which no unknown key is accepted.

    Subclasses live beside the component they configure. What a user is likely to turn, or what
    differs from one data set to the next, has no default and stands in every file; a constant of
    the method has one, with its source in the docstring.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        raise UserError(f"{file}: {_sentence(error, name)}.") from None


def _sentence(error: ValidationError, name: str) -> str:
    """What is wrong with each key, in one sentence."""
    problems = []
    for problem in error.errors():
        key = ".".join([*filter(None, [name]), *(str(part) for part in problem["loc"])])
        match problem["type"]:
            case "missing":
                problems.append(f"{key} is missing")
            case "extra_forbidden":
                problems.append(f"{key} is not a known key (misspelt?)")
            case _:
                problems.append(
                    f"{key} is {problem['input']!r}:"
                    f" {problem['msg'][0].lower()}{problem['msg'][1:]}"
                )
    return "; ".join(problems[:4]) + (
        f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
    )

"""The page of settings, from the classes that check them."""

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import get_origin

from pydantic import BaseModel

import stages.config  # noqa: F401 (brings in every section)
from pipeline.runtime.params import Section
from pipeline.runtime.run import RunSettings

INTRODUCTION = """# Settings

Every key of params.yaml, params/NAME.yaml and run.yaml, by the class that checks it.
[params.md](../params.md) says which section has which class, and what a change reruns. A key
without a default stands in every file; a number out of its bounds is refused before the first
stage.
"""
ROOMS = {
    "stages.config": "The files",
    "pipeline.datasets": "`download`",
    "pipeline.features": "`extract`",
    "pipeline.codecs": "`codec`",
    "pipeline.negatives": "`negatives`",
    "pipeline.metrics": "`judge`, `evaluate`",
    "pipeline.model": "`train`: the model",
    "pipeline.diffusion": "`train`, `sample`: the diffusion",
    "pipeline.training": "`train`: the engine",
    "pipeline.runtime": "run.yaml",
}


def settings_page() -> str:
    """Every section of settings with its keys, as Markdown."""
    parts, found = [INTRODUCTION], [*_sections(Section), RunSettings]
    for room, title in ROOMS.items():
        here = [one for one in found if f"{one.__module__}.".startswith(f"{room}.")]
        here.sort(key=lambda one: (one.__module__, one.__name__))
        parts += [f"## {title}\n", *map(_section, here)] if here else []
    return "\n".join(parts)


def _sections(parent: type[BaseModel]) -> list[type[BaseModel]]:
    """The sections below a class, those made of others at run time aside."""
    children = []
    for child in parent.__subclasses__():
        named = "[" not in child.__name__ and get_origin(child) is None
        children += [child] if named and _is_public(child) else []
        children += _sections(child)
    return list({f"{one.__module__}.{one.__name__}": one for one in children}.values())


def _is_public(section: type[BaseModel]) -> bool:
    """Whether a file of settings holds such a section, and its module defines it by that name."""
    module = __import__(section.__module__, fromlist=["_"])
    return hasattr(module, section.__name__) and not section.__name__.startswith("_")


def _section(section: type[BaseModel]) -> str:
    file = Path(*section.__module__.split(".")).with_suffix(".py")
    parts = [f"### {section.__name__}\n", f"`{file}`\n", f"{inspect.getdoc(section) or ''}\n"]
    schema = section.model_json_schema(mode="validation")
    required, told = schema.get("required", []), _told(section)
    parts += ["| key | kind | default |", "|---|---|---|"]
    for key, about in schema.get("properties", {}).items():
        default = "" if key in required else f"`{_value(about.get('default'))}`"
        kind = ". ".join(filter(None, [_kind(about), told.get(key)]))
        parts.append(f"| `{key}` | {kind} | {default} |")
    return "\n".join([*parts, ""])


def _told(section: type[BaseModel]) -> dict[str, str]:
    """What stands below single keys in the class, by key."""
    body = ast.parse(dedent(inspect.getsource(section))).body[0]
    lines = body.body if isinstance(body, ast.ClassDef) else []
    return {
        key.target.id: " ".join(said.value.value.split())
        for key, said in pairwise(lines)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(said, ast.Expr)
        and isinstance(said.value, ast.Constant)
        and isinstance(said.value.value, str)
    }


def _kind(about: dict) -> str:
    """What may stand for a key, in words."""
    match about:
        case {"$ref": str(where)}:
            name = where.rsplit("/", 1)[-1].split("_")[0]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": list(several)} | {"oneOf": list(several)}:
            return " or ".join(dict.fromkeys(map(_kind, several)))
        case {"enum": list(values)}:
            return " or ".join(f"`{_value(value)}`" for value in values)
        case {"const": value}:
            return f"`{_value(value)}`"
        case {"type": "array"}:
            inner = about.get("items") or (about.get("prefixItems") or [{}])[0]
            return f"list of {_kind(inner)}"
        case {"type": str(name)}:
            return _NAMES.get(name, name) + _bounds(about)
    return "the section of the task or data set"


_NAMES = {"null": "null", "object": "mapping", "string": "text", "boolean": "true or false"}


def _bounds(about: dict) -> str:
    said = [
        f"{word} {_value(about[key])}"
        for key, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if key in about
    ]
    return f" {' '.join(said)}" if said else ""


def _value(value: object) -> str:
    """A value as YAML has it."""
    plain = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return plain[value]
    return f"{value:g}" if isinstance(value, float) else str(value)

"""The page of commands, from what `cdcd COMMAND --help` says."""

import re
from typing import Any

from stages.__main__ import STAGES, TOOLS, command_of

INTRODUCTION = """# Commands

`cdcd COMMAND` (the same as `python -m stages COMMAND`) runs in the folder that holds params.yaml;
`cdcd COMMAND --help` says what stands here. `dvc repro` runs the stages in their order. What cannot
be done ends with one sentence and exit code 1; a wrong command with 2, a signal with 75.
"""


def commands_page() -> str:
    """All stages and tools with their arguments and options, as Markdown."""
    parts = [INTRODUCTION, "## Stages\n", *map(_command, STAGES), "## Tools\n"]
    return "\n".join([*parts, *map(_command, TOOLS)])


def _command(name: str) -> str:
    command = command_of(name)
    if not hasattr(command, "commands"):
        return _described(command, name, "###")
    parts = [f"### {name}\n", f"{_sentences(command.help)}\n"]
    for inner, child in command.commands.items():
        parts.append(_described(child, f"{name} {inner}", "####"))
    return "\n".join(parts)


def _described(command: Any, name: str, level: str) -> str:
    shown = [one for one in command.params if one.name != "help" and not getattr(one, "hidden", 0)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    words = " ".join(map(_word, arguments))
    parts = [
        f"{level} {name}\n",
        f"    cdcd {name} {words}".rstrip() + "\n",
        _sentences(command.help),
    ]
    if shown:
        parts += ["", "| option | default | what it does |", "|---|---|---|", *map(_row, shown)]
    return "\n".join([*parts, ""])


def _row(option: Any) -> str:
    if option.param_type_name == "argument":
        names = _word(option)
    else:
        names = ", ".join([*option.opts, *option.secondary_opts])
    default = option.default
    plain = default is not None and default is not False and not callable(default)
    shown = f"`{default}`" if plain and default not in ((), []) else ""
    cells = (f"`{names}`", shown, str(getattr(option, "help", None) or ""))
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _word(argument: Any) -> str:
    """How an argument stands in the command."""
    name = argument.metavar or str(argument.name).upper()
    name = name if argument.required else f"[{name}]"
    return f"{name} ..." if argument.nargs == -1 else name


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _sentences(text: str | None) -> str:
    """A docstring as Markdown; its example as code."""
    plain = re.sub(r"\\b|\f", "", text or "").strip()
    before, example, after = plain.partition("Example: ")
    return f"{before.strip()}\n\nExample: `{' '.join(after.split())}`" if example else plain

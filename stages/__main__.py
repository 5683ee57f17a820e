"""The command line `cdcd` (the same as `python -m stages`): every stage, and the tools around
them.
"""

import ast
import errno
import sys
from importlib import import_module
from pathlib import Path

import typer
from typer.core import TyperGroup

from pipeline.runtime.threads import bound_threads

bound_threads()

STAGES = (
    "download",
    "extract",
    "codec",
    "tokenize",
    "negatives",
    "judge",
    "train",
    "sample",
    "evaluate",
    "report",
)
TOOLS = (
    *("generate", "edit", "export", "load", "fit", "compare", "listen", "mos"),
    *("preset", "weights", "verify", "clean"),
)


class OneByOne(TyperGroup):
    """Commands that are listed by their docstrings; of their files only the one that is called is
    imported.
    """

    def resolve_command(self, ctx, args: list[str]):
        """(name, command, remaining arguments): the command itself in place of its entry in the
        list.
        """
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else listed, rest


def load(name: str):
    """The command of stages/NAME.py: its function NAME, or its `app` where there are several."""
    if name in STAGES:
        sweep_outputs()
    module = import_module(f"stages.{name}")
    if hasattr(module, "app"):
        return typer.main.get_command(module.app)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(getattr(module, name))
    return typer.main.get_command(single)


def sweep_outputs() -> None:
    """Removes what killed stages left beside the outputs (`pipeline.runtime.litter`)."""
    from pipeline.runtime.litter import sweep

    for leftover in sweep(Path("data"), Path("reports")):
        print(f"Removed {leftover.path}, which a killed process left.", file=sys.stderr)


def description(name: str) -> str:
    """The docstring of the command of stages/NAME.py, or of the file where there are several,
    without importing it.
    """
    file = ast.parse((Path(__file__).parent / f"{name}.py").read_text())
    functions = [
        node for node in file.body if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    return ast.get_docstring(functions[0] if functions else file) or ""


app = typer.Typer(
    cls=OneByOne,
    help=(
        "Discrete contrastive diffusion: music for dances, pictures for captions and classes. "
        "`dvc repro` runs the stages in their order; each command below runs one of them."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (*STAGES, *TOOLS):
    app.command(command, help=description(command))(lambda: None)


def main() -> None:
    """Runs the command line; a UserError ends with its sentence and exit code 1, a wrong command
    with 2.
    """
    try:
        app()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = error.filename or "while writing"
        sys.exit(
            f"Error: no space left on the disk ({where}); free some, then run the command again."
        )
    except Exception as error:
        from pipeline.runtime.errors import (
            UserError,  # brings torch, which the list of commands does without
        )

        if not isinstance(error, UserError):
            raise
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()

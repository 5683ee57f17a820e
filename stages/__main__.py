"""The command line `cdcd` (the same as `python -m stages`): every stage, and the tools around
them.
"""

import ast
import os
import signal
import sys
import time
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
    *("generate", "edit", "demo", "export", "load", "score", "fit", "compare", "listen", "mos"),
    *("watch", "study", "repro", "preset", "weights", "verify", "clean"),
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
    """The command of stages/NAME.py, about to be called: what killed stages left is removed."""
    if name in STAGES:
        from pipeline.runtime.memory import keep_memory

        sweep_outputs()
        keep_memory()
    return command_of(name)


def command_of(name: str):
    """The command of stages/NAME.py: its function NAME, or its `app` where there are several."""
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


class Stopped(BaseException):
    """SIGINT or SIGTERM came; no `except Exception` on the way takes it for a mistake."""


def _stop(number: int, _frame: object) -> None:
    raise Stopped(signal.Signals(number).name)


def _note(words: list[str], seconds: float) -> None:
    """Keeps how long a stage of a data set took."""
    match words:
        case [stage, dataset] if stage in STAGES and not dataset.startswith("-"):
            from pipeline.runtime.seconds import note_seconds

            note_seconds(dataset, stage, seconds)


def main() -> None:
    """Runs the command line; a UserError ends with its sentence and exit code 1, a wrong command
    with 2, and SIGINT or SIGTERM with 75: a training saves its step first (`pipeline.training`),
    any other work ends at once and keeps the pieces that are done.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    started = time.monotonic()
    try:
        app()
    except SystemExit as end:
        if not end.code:
            _note(sys.argv[1:], time.monotonic() - started)
        raise
    except Stopped as stopped:
        print(f"Stopped by {stopped}; run the same command again.", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)
    except Exception as error:
        # imported here, as the list of commands does without both
        from pipeline.runtime.errors import UserError
        from pipeline.runtime.files import is_full, no_space

        if isinstance(error, UserError):
            sys.exit(f"Error: {error}")
        if is_full(error):
            where = getattr(error, "filename", None) or "outputs or scratch work"
            sys.exit(f"Error: {no_space(where)}")
        raise


if __name__ == "__main__":
    main()

"""The start of a training under another program: torchrun, srun."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from pipeline.runtime.errors import UserError
from pipeline.runtime.run import run_file, run_settings
from pipeline.training.processes import announced

LAUNCHED = "CDCD_LAUNCHED"  # says that the prefix has done its part


def start_under_prefix(*words: str) -> None:
    """Replaces this process by `python -m stages WORDS` under `launch` of run.yaml, once; returns
    where there is no prefix, or this is one of the processes that it started.

    Raises UserError for a prefix that cannot be started.
    """
    prefix = run_settings().launch
    if prefix is None or os.environ.get(LAUNCHED) or announced()[0] > 1:
        return
    command = launched(prefix, words)
    os.environ[LAUNCHED] = "1"
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise UserError(_trouble(f"cannot be started ({error.strerror})")) from None


def launched(prefix: str, words: tuple[str, ...]) -> list[str]:
    """The command that starts `python -m stages WORDS` under a prefix."""
    try:
        command = shlex.split(prefix)
    except ValueError as error:
        raise UserError(_trouble(f"cannot be read ({error})")) from None
    if not command:
        raise UserError(_trouble("is empty"))
    beside = Path(sys.executable).parent / command[0]  # of the same environment
    if shutil.which(command[0]) is None and beside.exists():
        command[0] = str(beside)
    if Path(command[0]).name == "torchrun":
        command.append("--no-python")
    return [*command, sys.executable, "-m", "stages", *words]


def _trouble(reason: str) -> str:
    return (
        f"{run_file()}: launch {reason}; expected what comes before a command, such as `torchrun"
        " --nproc_per_node=4`, or leave the key out."
    )

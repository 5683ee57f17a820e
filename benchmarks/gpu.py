"""`python -m benchmarks.gpu` (`make gpu`): the tables of benchmarks/README.md on an accelerator.

Every network in float32 and bfloat16, with and without torch.compile, with its share of the
measured matmul ceiling; then every stage of the default data sets, in a folder of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.core import Ceiling, machine, tables
from benchmarks.page import README, write_results
from pipeline.runtime.device import device as default_device
from pipeline.runtime.errors import UserError
from stages.__main__ import STAGES
from stages.config import read_params

ROOT = Path(__file__).parents[1]
BATCHES = {"music": 16, "text": 16, "class": 32, "toy": 64}

app = typer.Typer(add_completion=False)


@app.command()
def main(
    repeats: Annotated[int, typer.Option(min=1, help="Processes for each side and row.")] = 3,
    stages: Annotated[
        bool, typer.Option(help="Run every stage of the default data sets as well.")
    ] = True,
    write: Annotated[
        bool, typer.Option("--write", help="Put the tables into benchmarks/README.md.")
    ] = False,
) -> None:
    """Measures networks and stages on the accelerator of this machine."""
    if not torch.cuda.is_available():
        typer.echo("Error: There is no GPU here that torch can use; run it on a machine with one.")
        raise typer.Exit(1)
    lines: list[str] = []

    def say(line: str) -> None:
        typer.echo(line)
        lines.append(line)

    try:
        for bf16, compiled in product((False, True), (False, True)):
            dtype = torch.bfloat16 if bf16 else torch.float32
            ceiling = Ceiling(default_device(), dtype, time.perf_counter)
            where = f"GPU, {'bfloat16' if bf16 else 'float32'}{', compiled' * compiled}"
            tables(BATCHES, repeats, ceiling, bf16, compiled, (), say, where)
        if stages:
            time_stages(read_params().datasets, say)
    except UserError as mistake:
        typer.echo(f"Error: {mistake}")
        raise typer.Exit(1) from None
    finally:
        if write and lines:
            write_results(README, lines)


def time_stages(datasets: list[str], say) -> None:
    """Says the seconds of every stage of the data sets, run one after the other."""
    say("### GPU, stages: seconds a stage\n")
    say(f"{machine(default_device())}.\n")
    say(f"| data set | {' | '.join(STAGES[:-1])} |")
    say("|---|" + "---|" * (len(STAGES) - 1))
    with tempfile.TemporaryDirectory() as temporary:
        room = Path(temporary)
        shutil.copy(ROOT / "params.yaml", room)
        shutil.copytree(ROOT / "params", room / "params")
        for dataset in datasets:
            cells = [f"{seconds_of_stage(stage, dataset, room):.0f}" for stage in STAGES[:-1]]
            say(f"| {dataset} | {' | '.join(cells)} |")
    say("")


def seconds_of_stage(stage: str, dataset: str, room: Path) -> float:
    """The seconds of one stage in the folder `room`, from its start to its end; raises UserError
    where it fails.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "stages", stage, dataset],
        cwd=room,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CDCD_HOME": str(room / "home")},
    )
    if done.returncode:
        raise UserError(f"The stage {stage} of {dataset} ended with {done.returncode}; see above.")
    return time.perf_counter() - started


if __name__ == "__main__":
    app()

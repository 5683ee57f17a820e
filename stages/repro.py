"""Tool `repro`: the whole pipeline, several data sets side by side."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.runtime.threads import own_threads
from stages.config import read_params

PAUSE_S = 0.5  # between looks at what runs


def repro(
    at_once: Annotated[
        int, typer.Option(min=0, help="Data sets at a time; 0: as many as there are cores.")
    ] = 0,
) -> None:
    """Run the pipeline as `dvc repro` does, with several data sets at work at a time.

    One data set's stages depend on none of another's, and two processes of one thread each get more
    out of two cores than one process of two threads, whose threads wait for one another. Data sets
    start in the order of params.yaml, so the longest should come first; the report follows at the
    end. They share the physical cores, or as many as OMP_NUM_THREADS says.

    In: everything that `dvc repro` reads. Out: everything that it writes.

    Example: cdcd repro --at-once 2
    """
    names = read_params().datasets
    cores = own_threads()
    lanes = min(at_once or cores, len(names))
    code = side_by_side([dvc_repro(f"evaluate@{name}") for name in names], lanes, cores)
    raise typer.Exit(code or subprocess.run(dvc_repro(), env=environment(cores)).returncode)


def side_by_side(commands: list[list[str]], lanes: int, cores: int) -> int:
    """0, or the first other exit code of the commands, so many of which run at a time and share the
    cores; after a failure no other begins, and those at work end first.
    """
    waiting, running, code = list(commands), [], 0
    shared = environment(max(1, cores // lanes))
    try:
        while running or (waiting and not code):
            while waiting and not code and len(running) < lanes:
                running.append(subprocess.Popen(waiting.pop(0), env=shared))
            time.sleep(PAUSE_S)
            codes = [one.poll() for one in running]
            code = code or next((found for found in codes if found), 0)
            running = [one for one, found in zip(running, codes) if found is None]
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait()
    return code


def dvc_repro(*targets: str) -> list[str]:
    """The command `dvc repro` of some targets (none: of everything), which waits while another
    process writes dvc.lock.
    """
    return [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *targets]


def environment(threads: int) -> dict[str, str]:
    """The variables of a command that may use so many threads, with this Python first on its
    path.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "PATH": path}

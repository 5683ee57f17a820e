"""A run of mutations in a process of its own, so that a crash or a hang of a library is told and
not shared.
"""

import contextlib
import faulthandler
import json
import os
import signal
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import numpy_generator
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.mutations import COMMON, other_kind

SECONDS = 30.0  # that one mutation may take


@dataclass
class Outcome:
    """How many mutations were tried, how many were refused, and what escaped."""

    tries: int
    refused: int
    findings: list[str]


def campaign(name: str, seed: int, count: int, folder: Path) -> Outcome:
    """What `count` mutations of a kind of file, drawn from `seed`, came to."""
    log = folder / "log.jsonl"
    log.touch()
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        status = 1
        try:
            _tries(KINDS[name], seed, count, folder, log)
            status = 0
        finally:
            os._exit(status)
    ended = _wait(child, log)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    findings = [line["finding"] for line in lines if line.get("finding")]
    if ended:
        findings.append(f"{ended} at {lines[-1] if lines else 'the start'}")
    return Outcome(
        sum("begun" in line for line in lines), sum("refused" in line for line in lines), findings
    )


def _wait(child: int, log: Path) -> str | None:
    """None when the process came to its end; else how it ended."""
    size, since = -1, time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            ended = os.waitstatus_to_exitcode(status)
            return None if ended == 0 else f"the process ended with {ended}"
        if log.stat().st_size != size:
            size, since = log.stat().st_size, time.monotonic()
        if time.monotonic() - since > SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"no end within {SECONDS:g} s"
        time.sleep(0.01)


def _tries(kind: Kind, seed: int, count: int, folder: Path, log: Path) -> None:
    home = folder / "inside"
    home.mkdir()
    proof = folder / "executed"
    path = home / kind.name
    kind.make(path)
    whole, truth = path.read_bytes(), _comparable(kind.read(path))
    others = []
    for other in ("about.json", "tokens.h5", "x.safetensors", "x.png", "x.zip", "x.wav"):
        KINDS[other].make(home / f"other_{other}")
        others.append((home / f"other_{other}").read_bytes())
    mutations = (*COMMON, other_kind(others, proof), *kind.own)
    outside = _listing(folder, home)
    with open(log, "a") as handle, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # what libraries say of broken files
        for number in range(count):
            rng = numpy_generator(seed, kind.name, number)
            mutation = mutations[int(rng.integers(len(mutations)))]
            path.write_bytes(mutation(whole, rng))
            what = f"{kind.name}, try {number}, {getattr(mutation, '__name__', 'hostile')}"
            print(json.dumps({"begun": what}), file=handle, flush=True)
            verdict = _verdict(kind, path, truth)
            if proof.exists() or _listing(folder, home) != outside:
                verdict = {"finding": "something was executed or written outside"}
            if finding := verdict.get("finding"):
                verdict["finding"] = f"{what}: {finding}"
            print(json.dumps(verdict), file=handle, flush=True)


def _verdict(kind: Kind, path: Path, truth: object) -> dict:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            content = kind.read(path)
    except UserError as error:
        told = str(error)
        return {"refused": told} if told and "\n" not in told.strip() else {"finding": repr(told)}
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-4:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(last))
        return {"finding": f"{type(error).__name__}: {str(error)[:200]} ({where})"}
    if kind.guarded and _comparable(content) != truth:
        return {"finding": "it was read as other data"}
    return {"accepted": True}


def _comparable(content: object) -> str:
    """Content as text that is equal where the content is."""
    if isinstance(content, dict):
        return str({name: _comparable(value) for name, value in sorted(content.items())})
    with contextlib.suppress(AttributeError):
        return str((content.dtype, content.tolist()))
    return str(content)


def _listing(folder: Path, home: Path) -> list[str]:
    """What lies in the folder, apart from the one that the reader may write to."""
    return sorted(
        str(file) for file in folder.rglob("*") if file != home and home not in file.parents
    )

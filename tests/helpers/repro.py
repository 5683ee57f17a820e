"""A project of its own with the smallest digits, in which `dvc repro` runs."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from tests.helpers.house import ROOT, small_params, write_params


def make_project(folder: Path) -> Path:
    """The code, the stages and small settings of digits in a folder under DVC, without git."""
    folder.mkdir()
    for name in ("pipeline", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "reports" / "mos").mkdir(parents=True)
    (folder / "reports" / "mos" / ".keep").touch()
    params = small_params()
    write_params(folder, {**params, "datasets": ["digits"]})
    _dvc(folder, "init", "--no-scm", "-q").wait()
    return folder


def repro(folder: Path) -> int:
    """The exit code of `dvc repro`."""
    return _dvc(folder, "repro").wait()


def interrupted_repro(folder: Path, after_s: float) -> bool:
    """Whether `dvc repro` was at work when Ctrl-C came, which a terminal sends to all of it."""
    process = _dvc(folder, "repro")
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
        return process.wait(120) != 0


def outs(folder: Path) -> dict[str, str]:
    """The MD5 of every output that dvc.lock records."""
    stages = YAML(typ="safe", pure=True).load(folder / "dvc.lock")["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def _dvc(folder: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "CDCD_HOME": str(folder / "home"),
            "DVC_NO_ANALYTICS": "true",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

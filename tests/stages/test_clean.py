"""`cdcd clean` lists what was left behind and removes it only when asked; stages sweep as they
start.
"""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from stages.__main__ import app


@pytest.fixture
def left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    scratch = tmp_path / "home" / "scratch" / "0123"
    scratch.mkdir(parents=True)
    (scratch / "train.pt").write_bytes(bytes(2_500_000))
    temporary = tmp_path / "reports" / f".tables.{done.pid}.tmp"
    temporary.mkdir(parents=True)
    return scratch, temporary


def test_it_lists_and_removes_only_when_asked(left_behind):
    listed = CliRunner().invoke(app, ["clean"])
    assert listed.exit_code == 0
    for text in ("2 MB", "0123", ".tables.", "1 scratch folders and 1 temporary files", "--yes"):
        assert text in listed.output
    assert all(path.exists() for path in left_behind)
    assert "removed" in CliRunner().invoke(app, ["clean", "--yes"]).output
    assert not any(path.exists() for path in left_behind)
    assert "Nothing was left behind" in CliRunner().invoke(app, ["clean"]).output


def test_a_stage_sweeps_before_it_starts(left_behind):
    scratch, temporary = left_behind
    result = CliRunner().invoke(app, ["tokenize", "toy_dance"])  # ends: there is no params.yaml
    assert result.exit_code != 0
    assert not temporary.exists()
    assert scratch.exists()  # unfinished work is kept, for the stage goes on from it

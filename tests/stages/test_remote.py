"""What a stage made goes to a remote and comes back: pushed, lost here, pulled."""

import shutil
import sys
from pathlib import Path

from pipeline.runtime.files import sha256_file
from tests.helpers.house import ROOT, small_params, write_params
from tests.stages.test_settings import dvc, git

PIPELINE = """
stages:
  download:
    cmd: python -m stages download digits
    params:
      - params/digits.yaml:
          - download
          - media
    outs:
      - data/digits/raw
"""


def digests(folder):
    files = sorted(file for file in Path(folder).rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): sha256_file(file) for file in files}


def test_everything_comes_back_from_a_remote(tmp_path, monkeypatch):
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    write_params(place, {**small_params(), "datasets": ["digits"]})
    (place / "dvc.yaml").write_text(PIPELINE)
    git("init", "-q")
    dvc("init", "-q")
    dvc("config", "core.analytics", "false")
    dvc("remote", "add", "-q", "-d", "shelf", str(tmp_path / "shelf"))
    dvc("repro")
    made = digests("data/digits/raw")
    assert len(made) > 20
    dvc("push")

    shutil.rmtree("data")
    shutil.rmtree(".dvc/cache")
    dvc("pull")
    assert digests("data/digits/raw") == made
    assert "up to date" in dvc("status")

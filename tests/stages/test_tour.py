"""docs/tour.ipynb runs from its first cell to its last on the smallest models, and the committed
one is executed and small.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.house import ROOT

NOTEBOOK = ROOT / "docs" / "tour.ipynb"
PICTURES = ["captions.png", "dance.mp3", "dance.png", "digits.png", "edit.png"]


def code_cells(file):
    return [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]


def test_it_runs_on_small_models(inside, tmp_path):
    pytest.importorskip("nbclient", reason="the notebook needs nbclient: install the extra [dev]")
    pytest.importorskip("ipykernel", reason="the notebook needs ipykernel: install the extra [dev]")
    (tmp_path / "kept").mkdir()
    environment = {"TOUR_CLIPS": "3", "TOUR_PICTURES": str(tmp_path / "kept")}
    environment |= {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    words = [sys.executable, ROOT / "docs" / "tools" / "tour.py", "--out", tmp_path / "done.ipynb"]
    told = subprocess.run(
        list(map(str, words)),
        env={**os.environ, **environment},
        cwd=inside,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == PICTURES
    shown = [form for cell in code_cells(tmp_path / "done.ipynb") for form in cell["outputs"]]
    assert sum("image/png" in form.get("data", {}) for form in shown) == 4
    tables = ["".join(form.get("data", {}).get("text/markdown", "")) for form in shown]
    assert any("Own − others" in table for table in tables)
    assert any("All correct" in table for table in tables)


def test_the_committed_one_is_executed_and_small():
    assert NOTEBOOK.stat().st_size < 1_000_000
    cells = code_cells(NOTEBOOK)
    assert all(cell["execution_count"] for cell in cells)
    assert sum(bool(cell["outputs"]) for cell in cells) >= 8
    assert not any(form["output_type"] == "error" for cell in cells for form in cell["outputs"])
    assert "shared" not in NOTEBOOK.read_text()
    sizes = [(ROOT / "docs" / "pictures" / name).stat().st_size for name in PICTURES]
    assert sum(sizes) <= 300_000

"""Executes docs/tour.ipynb in the folder where it is called, and writes it back with its outputs.

    python docs/tools/tour.py [--out FILE]

What differs from run to run without meaning (times, progress) is left out.
"""

import argparse
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "tour.ipynb"
MOST_BYTES = 1_000_000


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Runs the cells in `folder` and keeps what they show, what went to stderr aside."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=3600, resources=resources, record_timing=False).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    notebook.metadata["language_info"] = {"name": "python"}


def main() -> None:
    """Executes the notebook and writes it; refuses to write one that is too large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=NOTEBOOK)
    out = parser.parse_args().out
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    execute(notebook, Path.cwd())
    text = nbformat.writes(notebook)
    if len(text) > MOST_BYTES:
        raise SystemExit(f"{out} would have {len(text):,} bytes, more than {MOST_BYTES:,}.")
    out.write_text(text)
    print(f"{out}: {len(text):,} bytes.")


if __name__ == "__main__":
    main()

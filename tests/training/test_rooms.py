"""What may stand where: one place that descends, and an engine that knows no model and no data
set.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
DESCENDS = {"backward", "step", "zero_grad"}


def called(file):
    """The methods that a file calls, with the names they are called on."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func.value), node.func.attr


def test_only_the_engine_descends():
    found = {
        str(file.relative_to(ROOT / "pipeline"))
        for folder in ("pipeline", "stages")
        for file in (ROOT / folder).rglob("*.py")
        for _, method in called(file)
        if method in DESCENDS
    }
    assert found == {"training/state.py", "training/optimiser.py"}


def test_the_engine_knows_batches_modules_and_files():
    files = [file for file in (ROOT / "pipeline/training").glob("*.py")]
    imported = {
        node.module.split(".")[1]
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline.")
    }
    assert imported <= {"training", "runtime", "storage", "negatives"}

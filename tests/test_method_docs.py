"""docs/method.md leads to code that exists: every file and function of its table."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "method.md").read_text()
ROWS = re.findall(r"^\| (.+) \| `([\w/]+\.py)` \| `([\w.]+)` \|$", TEXT, re.MULTILINE)


def names(file):
    """The functions of a file, those of classes as Class.function."""
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            inside = (part for part in node.body if isinstance(part, ast.FunctionDef))
            yield from (f"{node.name}.{part.name}" for part in inside)


def test_the_table_has_every_equation_of_the_paper():
    told = " ".join(equation for equation, _, _ in ROWS)
    assert all(f"Eq. {number}" in told for number in ("1", "2", "3", "4", "5", "9g"))


@pytest.mark.parametrize(("equation", "file", "function"), ROWS)
def test_each_row_leads_to_a_function(equation, file, function):
    assert (ROOT / file).exists()
    assert function in names(file), f"{equation}: {file} has no {function}"


def test_other_names_in_the_text_exist():
    private = re.findall(r"`(\w+)\.(_\w+)`", TEXT)
    assert private
    assert all(name in names(f"pipeline/diffusion/{module}.py") for module, name in private)

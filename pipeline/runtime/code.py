"""What a program does, as a digest: its syntax without comments and docstrings."""

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

_PIPELINE = Path(__file__).parents[1]


@lru_cache
def code_digest(*packages: str) -> str:
    """A hex digest of the executable code of packages or files of `pipeline`, by their names.

    Changing a comment, a docstring or the layout keeps it; changing a statement does not. Tables
    and templates beside the code count byte for byte.
    """
    digest = hashlib.sha256()
    for package in packages:
        digest.update(folder_digest(_PIPELINE / package).encode())
    return digest.hexdigest()[:32]


def folder_digest(folder: Path) -> str:
    """The same of a folder of Python files, or of one file."""
    files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    digest = hashlib.sha256()
    for file in files:
        if not file.is_file() or "__pycache__" in file.parts:
            continue
        digest.update(str(file.relative_to(folder.parent)).encode() + b"\0")
        digest.update(_syntax(file) if file.suffix == ".py" else file.read_bytes())
    return digest.hexdigest()


def _syntax(file: Path) -> bytes:
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_text(statement)]
    return ast.dump(tree).encode()


def _is_text(statement: ast.stmt) -> bool:
    """Whether it is a string that stands alone: a docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )

"""The digest of code: what a program does counts, how it is written and explained does not."""

import pytest

from pipeline.runtime.code import code_digest, folder_digest
from stages.paths import code

FILE = '''"""A module."""

LIMIT = 3  # of something


class Section:
    """A section."""

    field: int = 1
    """What the field is."""

    def method(self):
        """What it returns."""
        return LIMIT


async def nothing():
    """Only a docstring."""
'''


@pytest.fixture
def digest_of(tmp_path):
    def write_and_digest(text, name="module.py"):
        folder = tmp_path / "package"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        return folder_digest(folder)

    return write_and_digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another text.\n\nOf several lines."""'),
        ("  # of something", "  # of something else"),
        ('        """What it returns."""\n', ""),
        ('    """What the field is."""\n', ""),
        ("LIMIT = 3  # of something", "LIMIT = (\n    3\n)"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(digest_of, old, new):
    assert old in FILE
    assert digest_of(FILE) == digest_of(FILE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [("= 3", "= 4"), ("return LIMIT", 'return "LIMIT"'), ("field: int", "field: float")],
)
def test_statements_count(digest_of, old, new):
    assert digest_of(FILE) != digest_of(FILE.replace(old, new))


def test_names_of_files_and_tables_count(digest_of):
    first = digest_of(FILE)
    assert first != digest_of("a: 1\n", "table.yaml")
    assert digest_of("a: 1\n", "table.yaml") != digest_of("a: 2\n", "table.yaml")


def test_packages_of_the_pipeline_differ_and_stages_use_them():
    assert code_digest("training") != code_digest("diffusion")
    assert code("training", "diffusion") == [code_digest("training", "diffusion")]

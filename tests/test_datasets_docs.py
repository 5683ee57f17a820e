"""docs/datasets.md has a section for every data set that somebody brings, and says what one reads
of another.
"""

import re
from pathlib import Path

import pytest

from stages.config import MODULES

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "datasets.md").read_text()
EMBEDDED = {"toy_dance", "studio", "toy_shapes", "digits"}


@pytest.mark.parametrize("name", sorted(set(MODULES) - EMBEDDED))
def test_every_data_set_has_its_section(name):
    assert re.search(rf"^## .*\(`{name}`\)$", TEXT, re.MULTILINE)


def test_what_a_folder_reads_of_the_dances_is_said():
    section = TEXT.partition("(`folder`)\n")[2].partition("\n## ")[0]
    settings = (ROOT / "params" / "folder.yaml").read_text()
    assert settings.count("data/toy_dance/") == 3
    for key in ("codec.weights", "extract.visual.weights", "train.init", "toy_dance"):
        assert key in section
    assert "Ten videos" in (ROOT / "README.md").read_text()

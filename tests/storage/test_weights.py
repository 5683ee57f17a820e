import hashlib

import pytest
import torch
from typer.testing import CliRunner

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.storage import weights
from pipeline.storage.tensors import read_about, read_tensors
from stages.weights import app


@pytest.fixture
def published(tmp_path):
    """A pickled checkpoint as others publish it."""
    path = tmp_path / "published.pt"
    torch.save({"model": {"a.weight": torch.arange(6.0).reshape(2, 3)}, "step": 7}, path)
    return path


@pytest.fixture
def known(tmp_path, monkeypatch, published):
    """A registry of two entries in a home of its own."""
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    common = {
        "use": "a test",
        "licence": "MIT",
        "url": "http://127.0.0.1:9/x",
        "parts": None,
        "page": "https://example.org",
    }
    entries = {
        "net": weights.Weights(
            name="net",
            kind="tensors",
            file="net.pt",
            size=published.stat().st_size,
            sha256=digest[:8],
            **common,
        ),
        "lite": weights.Weights(
            name="lite", kind="tflite", file="lite.tflite", size=None, sha256=None, **common
        ),
    }
    monkeypatch.setattr(weights, "registry", lambda: entries)
    return entries


def test_every_entry_of_the_registry_is_complete():
    for name, entry in weights.registry().items():
        assert entry.name == name
        if entry.kind == "shipped":
            assert entry.path.stat().st_size == entry.size <= 9e6
            continue
        assert entry.urls
        assert all(url.startswith("https://") and "{" not in url for url in entry.urls)
        assert entry.sha256 is None or set(entry.sha256) <= set("0123456789abcdef")
    assert len(weights.registry()["vqdiffusion_imagenet"].urls) == 9


def test_the_registry_names_what_the_issue_asks_for():
    assert {
        "jukebox",
        "vqgan_f8",
        "vqgan_f16",
        "i3d_rgb",
        "i3d_flow",
        "raft",
        "movenet",
        "clip",
    } <= set(weights.registry())


def test_the_jukebox_file_is_known_to_be_small():
    assert weights.entry("jukebox").size == 7_726_329


def test_absent_weights_are_told_with_what_to_do(known):
    with pytest.raises(
        UserError, match="cdcd weights get net.*example.org.*cdcd weights add net FILE"
    ):
        weights.find("net")
    with pytest.raises(UserError, match="known are net, lite"):
        weights.find("nte")


def test_an_added_pickle_is_kept_as_safetensors_with_its_origin(known, published):
    path = weights.add("net", published)
    assert path == weights.find("net")
    assert torch.equal(read_tensors(path)["model"]["a.weight"], torch.arange(6.0).reshape(2, 3))
    about = read_about(path)["provenance"]
    assert about["sha256"] == hashlib.sha256(published.read_bytes()).hexdigest()
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "net.safetensors",
        "published.json",
    ]


def test_adding_twice_gives_the_same_bytes(known, published):
    first = weights.add("net", published).read_bytes()
    assert weights.add("net", published).read_bytes() == first


@pytest.mark.parametrize("content", [b"<html>quota exceeded</html>", b"", b"x" * 100])
def test_a_wrong_file_is_refused(known, tmp_path, content):
    (tmp_path / "wrong.pt").write_bytes(content)
    with pytest.raises(UserError, match="By hand"):
        weights.add("net", tmp_path / "wrong.pt")
    with pytest.raises(UserError):
        weights.find("net")


def test_files_of_other_kinds_are_kept_as_they_are(known, tmp_path):
    (tmp_path / "given").write_bytes(b"TFL3 content")
    assert weights.add("lite", tmp_path / "given").read_bytes() == b"TFL3 content"


def test_damaged_weights_are_noticed(known, published):
    path = weights.add("net", published)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="not as it was stored"):
        weights.find("net")


def test_a_pickle_with_the_right_digest_but_no_tensors_is_not_kept(known, tmp_path, monkeypatch):
    torch.save({"step": 3}, tmp_path / "empty.pt")
    entry = known["net"].model_copy(update={"size": None, "sha256": None})
    monkeypatch.setattr(weights, "registry", lambda: {"net": entry})
    with pytest.raises(UserError, match="holds no tensors"):
        weights.add("net", tmp_path / "empty.pt")
    assert list(entry.path.parent.iterdir()) == []


def test_get_fetches_verifies_and_stores(known, published, monkeypatch):
    def fetch(urls, target, by_hand, size, sha256):
        assert urls == ("http://127.0.0.1:9/x",)
        assert size == published.stat().st_size
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(published.read_bytes())
        return target

    monkeypatch.setattr(weights, "fetch", fetch)
    path = weights.get("net")
    monkeypatch.setattr(weights, "fetch", None)
    assert weights.get("net") == path


def test_a_digest_recorded_at_first_use_binds_later_downloads(known, tmp_path, monkeypatch):
    (tmp_path / "given").write_bytes(b"first")
    weights.add("lite", tmp_path / "given").unlink()
    asked = []
    monkeypatch.setattr(
        weights, "fetch", lambda urls, target, by_hand, size, sha256: asked.append(sha256) or target
    )
    with pytest.raises(FileNotFoundError):
        weights.get("lite")
    assert asked == [hashlib.sha256(b"first").hexdigest()]


def test_the_commands_list_and_add(known, published):
    listed = CliRunner().invoke(app, ["list"], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    assert "recorded at first use" in listed.output
    added = CliRunner().invoke(app, ["add", "net", str(published)])
    assert added.exit_code == 0
    assert "net.safetensors" in added.output


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("data/toy_dance/codec/codec.safetensors", r"toy_dance makes it: build that first"),
        ("nonsense", "one of the names studio, jukebox"),
        ("/nowhere/codec.pt", "the path of a file that is there, or a name of `cdcd weights list`"),
    ],
)
def test_weights_that_are_not_there_say_how_to_have_them(name, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        weights.weights_file(name)


def test_what_comes_with_the_package_is_there_whole_and_altered_it_is_refused(
    tmp_path, monkeypatch
):
    ours = next(entry for entry in weights.registry().values() if entry.kind == "shipped")
    assert weights.weights_file(ours.name) == weights.get(ours.name) == ours.path
    assert read_about(ours.path)["provenance"]["licence"] == ours.licence
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match=r"is missing\. .* install it anew"):
        weights.find(ours.name)
    damaged = bytearray((weights.REGISTRY.parent / "shipped" / ours.file).read_bytes())
    damaged[-1] ^= 1
    (tmp_path / ours.file).write_bytes(damaged)
    with pytest.raises(DamagedFile, match=r"not the file that weights\.yaml names"):
        weights.find(ours.name)
    with pytest.raises(UserError, match="nothing to add"):
        weights.add(ours.name, tmp_path / ours.file)

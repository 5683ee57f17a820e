"""A model in one file does what it did in its own files, and says what it is."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from ruamel.yaml import YAML
from safetensors import safe_open

from pipeline.codecs.sound import load_sound_codec
from pipeline.diffusion.sampler import Sampling
from pipeline.generation import bundle as bundle_module
from pipeline.generation.bundle import VERSION, read_header, unpacked, write_bundle
from pipeline.generation.opening import open_model
from pipeline.generation.settings import Captions, Classes, Dances, ModelSettings
from pipeline.metrics.results import Result
from pipeline.reporting.model_card import Facts, model_card
from pipeline.runtime.errors import UserError
from pipeline.storage.eight_bits import LEAST_NUMBERS
from pipeline.storage.tensors import read_about, read_tensors, write_tensors
from pipeline.storage.weights import registry, weights_file
from tests.generation.conftest import MARKERS
from tests.helpers.small_models import picture_files, write_dance


@pytest.fixture
def bundle(music_files, tmp_path):
    write_bundle(music_files, tmp_path / "dance.safetensors")
    return tmp_path / "dance.safetensors"


def test_a_bundle_makes_the_same_music(music, bundle, tmp_path):
    dance = write_dance(tmp_path / "d.mp4", 1.3)
    with unpacked(bundle) as files:
        model = open_model(files)
    assert not files.network.exists()  # what was unpacked is gone, the model works
    assert model.settings == music.settings
    assert model.card == music.card
    expected, found = (each.generate(dance, pose=MARKERS) for each in (music, model))
    assert expected.waveforms.tobytes() == found.waveforms.tobytes()


@pytest.mark.parametrize("task", ["caption", "class"])
def test_pictures_travel_as_well(task, tmp_path):
    files = picture_files(tmp_path, task)
    write_bundle(files, tmp_path / "b.safetensors")
    with unpacked(tmp_path / "b.safetensors") as again:
        model = open_model(again)
    said = {"text": "a red circle"} if task == "caption" else {"label": "dog"}
    expected = open_model(files).generate(**said)
    np.testing.assert_array_equal(model.generate(**said).images, expected.images)


def test_the_same_model_gives_the_same_bytes(music_files, bundle, tmp_path):
    write_bundle(music_files, tmp_path / "again.safetensors")
    assert bundle.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_bf16_is_half_the_size_and_nearly_the_same(music_files, bundle, tmp_path):
    write_bundle(music_files, tmp_path / "half.safetensors", bf16=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * bundle.stat().st_size
    with unpacked(tmp_path / "half.safetensors") as files:
        state, half = read_tensors(music_files.network), read_tensors(files.network)
        open_model(files)
    assert {tensor.dtype for tensor in half.values()} == {tensor.dtype for tensor in state.values()}
    for name, tensor in state.items():
        np.testing.assert_allclose(half[name], tensor, rtol=0.01, atol=1e-6)


def test_a_folder_is_as_hubs_have_them(music_files, tmp_path):
    write_bundle(music_files, tmp_path / "hub")
    assert sorted(file.name for file in (tmp_path / "hub").iterdir()) == [
        "README.md",
        "model.safetensors",
    ]
    with unpacked(tmp_path / "hub") as files:
        assert files.settings.name == "small_dance"
    assert (tmp_path / "hub" / "README.md").read_text() == files.card
    with safe_open(tmp_path / "hub" / "model.safetensors", framework="pt") as file:
        parts = {name.partition("/")[0] for name in file.keys()}  # noqa: SIM118 (no mapping)
    assert parts == {"network", "codec", "i3d_rgb"}


def changed_header(path, **changes):
    """Rewrites a file with another header and its digest."""
    write_tensors(path, read_tensors(path), (read_about(path) or {}) | changes)


def test_a_newer_version_is_one_sentence(bundle):
    changed_header(bundle, version=VERSION + 1)
    with pytest.raises(UserError, match=f"version {VERSION + 1}.* up to {VERSION}; update cdcd"):
        read_header(bundle)


def test_a_setting_that_is_unknown_here_is_named(bundle):
    settings = (read_about(bundle) or {})["settings"] | {"mood": "sunny"}
    changed_header(bundle, settings=settings)
    with pytest.raises(UserError, match="settings.mood is not a known key"), unpacked(bundle):
        pass


def test_what_is_no_bundle_is_told(music_files, tmp_path):
    (tmp_path / "text.safetensors").write_text("hello")
    for path in (tmp_path / "text.safetensors", music_files.network):
        with pytest.raises(UserError, match="is no bundle"):
            read_header(path)
    with pytest.raises(UserError, match="does not exist"):
        read_header(tmp_path / "nothing.safetensors")


def test_a_damaged_bundle_is_told(bundle):
    content = bytearray(bundle.read_bytes())
    start = 8 + struct.unpack("<Q", content[:8])[0]
    content[start + 1000] ^= 1
    bundle.write_bytes(content)
    with pytest.raises(UserError, match="damaged"), unpacked(bundle):
        pass


def test_what_others_published_is_not_given_out(music_files, tmp_path):
    write_tensors(tmp_path / "theirs.safetensors", read_tensors(music_files.network), {})
    theirs = music_files.__class__(
        music_files.settings, tmp_path / "theirs.safetensors", music_files.codec
    )
    with pytest.raises(UserError, match="cannot be exported"):
        write_bundle(theirs, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


READS = {
    "caption": Captions(text="bpe", image_size=32),
    "class": Classes(classes=("cat", "dog"), image_size=16),
}


@pytest.mark.parametrize("task", ["dance", "caption", "class"])
@pytest.mark.parametrize("licence", ["mit", "AIST terms: research"])
def test_the_card_says_what_a_user_must_know(music_files, task, licence):
    reads = READS.get(task, music_files.settings.reads)
    assert isinstance(reads, Dances | Captions | Classes)
    settings = ModelSettings(
        name="mine", reads=reads, sampling=Sampling(steps=9), data="toys", licence=licence
    )
    rows = [
        Result(row, "fid" if task != "dance" else "beats_f1", "5hz", 50.0, 1.0, 40.0, 60.0, 9, 9, 3)
        for row in ("ground_truth", "model", "model_shuffled", "noise")
    ]
    card = model_card(settings, Facts(1234, "sample_intra", 100, 5678, rows))
    _, front, body = card.split("---\n", 2)
    heading = YAML(typ="safe").load(front)
    assert heading["license"] == ("mit" if licence == "mit" else "other")
    assert heading.get("license_name", "mit") == licence
    for words in ("1,234", "sample_intra", "5,678", "9 steps", "toys", licence, "--model mine"):
        assert words in body
    for row in ("Ground truth", "Model", "Model, shuffled conditions", "Noise"):
        assert f"| {row} |" in body
    assert "## Limits" in body
    assert "not evaluated" in model_card(settings, Facts(1, "vanilla", 1, 1, []))


def test_the_header_is_json_that_anybody_can_read(bundle):
    with safe_open(bundle, framework="pt") as file:
        about = json.loads(file.metadata()["cdcd"])
    assert about["class"] == "Bundle"
    assert about["parts"]["codec"]["class"] == "TransformCodec"
    assert about["settings"]["licence"] == "mit"


@pytest.fixture
def with_studio(music_files, tmp_path):
    """The small dance model over a codec that came with the package."""
    codec = load_sound_codec(weights_file("studio"))
    codec.save(tmp_path / "codec.safetensors", {"weights": "studio"})
    return replace(music_files, codec=tmp_path / "codec.safetensors")


def test_a_codec_that_comes_with_the_package_is_named_instead_of_packed(with_studio, tmp_path):
    write_bundle(with_studio, tmp_path / "named.safetensors", name_codec=True)
    write_bundle(with_studio, tmp_path / "packed.safetensors")
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("named", "packed")]
    assert sizes[1] - sizes[0] > 0.9 * with_studio.codec.stat().st_size
    with unpacked(tmp_path / "named.safetensors") as files:
        found = load_sound_codec(files.codec).state_dict()
    expected = load_sound_codec(with_studio.codec).state_dict()
    assert all((found[name] == tensor).all() for name, tensor in expected.items())


def test_only_a_codec_that_comes_with_the_package_is_named(music_files, tmp_path):
    with pytest.raises(UserError, match="does not come with this package.*--name-codec"):
        write_bundle(music_files, tmp_path / "b.safetensors", name_codec=True)


def test_a_codec_of_another_version_is_told(with_studio, tmp_path, monkeypatch):
    write_bundle(with_studio, tmp_path / "b.safetensors", name_codec=True)
    other = registry()["studio"].model_copy(update={"sha256": "0" * 64})
    monkeypatch.setattr(bundle_module, "registry", lambda: {"studio": other})
    with (
        pytest.raises(UserError, match="'studio' of another version of cdcd"),
        unpacked(tmp_path / "b.safetensors"),
    ):
        pass


def test_eight_bits_round_within_half_a_step_of_a_row(music_files, bundle, tmp_path):
    write_bundle(music_files, tmp_path / "small.safetensors", bf16=True, eight_bits=True)
    assert (tmp_path / "small.safetensors").stat().st_size < 0.6 * bundle.stat().st_size
    with unpacked(tmp_path / "small.safetensors") as files:
        state, small = read_tensors(music_files.network), read_tensors(files.network)
        open_model(files)
    assert set(small) == set(state)
    coarse = 0
    for name, tensor in state.items():
        if tensor.ndim > 1 and tensor.numel() >= LEAST_NUMBERS:
            rows = tensor.flatten(1)
            half = rows.abs().amax(1, keepdim=True) / 254
            error = (small[name].flatten(1) - rows).abs()  # the scale itself is in bfloat16
            assert (error <= 1.02 * half + rows.abs() / 256 + 1e-7).all()
            coarse += 1
    assert coarse > 0

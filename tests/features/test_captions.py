"""Captions of a set: extracted in batches, taken up when killed, and their features stored or read
on the fly, whichever of the two is bearable.
"""

import numpy as np
import pytest
import torch
from clip.model import CLIP

from pipeline.datasets.captions import write_captions
from pipeline.features import pictures
from pipeline.features.pictures import ExtractCaptions, extract_captions
from pipeline.features.text import ClipText, clip_features, tokenise
from pipeline.model.encoders.text import ClipTextCondition
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import Store

CAPTIONS = {
    f"p{n}": [f"a {word} bird" for word in ("red", "big", "shy")[: 1 + n % 3]] for n in range(7)
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    vision = {"vision_layers": 1, "vision_width": 64, "vision_patch_size": 32}
    text = {"transformer_width": 64, "transformer_heads": 1, "transformer_layers": 2}
    model = CLIP(64, image_resolution=32, **vision, context_length=77, vocab_size=49408, **text)
    path = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    ClipText.of(model.state_dict()).save(path)
    return path


@pytest.fixture
def extract(tmp_path, run_yaml, weights):
    run_yaml(extract_batch=2)
    raw = tmp_path / "raw"
    raw.mkdir()
    write_captions(raw, CAPTIONS)
    splits = ["train"] * 5 + ["test"] * 2
    clips = [
        Clip(name, "x", split, caption_file="captions.json")
        for name, split in zip(CAPTIONS, splits)
    ]

    def run(name, text="clip"):
        scratch = tmp_path / f"{name} scratch"
        scratch.mkdir(exist_ok=True)
        config = ExtractCaptions(
            text=text, weights=str(weights) if text == "clip" else None, per_picture=2
        )
        path = tmp_path / f"{name}.h5"
        extract_captions(config, Manifest(tuple(clips), raw), raw, path, scratch)
        return Store(path, "conditions")

    return run


def test_tokens_are_those_of_every_caption(extract):
    store = extract("bpe", "bpe")
    assert store["captions"][:].tolist() == [1, 2, 2, 1, 2, 2, 1]
    for row, several in enumerate(CAPTIONS.values()):
        expected = tokenise(several[:2]).tokens.numpy()
        np.testing.assert_array_equal(store["text"][row][: len(expected)], expected)
        assert not store["text"][row][len(expected) :].any()
    assert store.provenance["longest_caption"] == 5
    words = {int(token) for token in tokenise(["a red big bird"]).tokens.unique()} - {0}
    assert set(store.provenance["vocabulary"]) == words


def test_features_on_the_fly_are_those_that_are_stored(extract, monkeypatch, weights):
    stored = extract("stored")
    monkeypatch.setattr(pictures, "STORED_FEATURES", 7 * 2 * 77 * 64 * 2 - 1)
    store = extract("tokens alone")
    assert "clip_text" not in store
    assert store.provenance["clip_size"] == [77, 64]
    rows, choose = np.array([6, 1, 2, 1]), [np.random.default_rng(0) for _ in range(2)]
    expected = condition_inputs(stored, rows, choose[0])["clip_text"]
    given = condition_inputs(store, rows, choose[1])
    encoder = ClipTextCondition(77, 64)
    with pytest.raises(UserError, match="reads CLIP text features"):
        encoder(given)
    encoder.read = clip_features(str(weights), store)
    found = encoder(given)
    torch.testing.assert_close(found, expected.float(), rtol=2e-3, atol=1e-4)
    layer = torch.nn.Linear(64, 1)
    layer(found).sum().backward()
    assert layer.weight.grad is not None
    assert "read" not in encoder.state_dict()
    other = Store(stored.path, "conditions")
    other.provenance["weights"] = "another"
    with pytest.raises(UserError, match="weights"):
        clip_features(str(weights), other)


def test_a_killed_extraction_ends_with_the_same_bytes(extract, monkeypatch):
    whole = extract("whole")
    original, calls = ClipText.features, []

    def killed(self, tokens):
        calls.append(len(tokens))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(ClipText, "features", killed)
        with pytest.raises(KeyboardInterrupt):
            extract("again")
    assert calls == [3, 3, 4]
    again = extract("again")
    assert sha256_file(whole.path) == sha256_file(again.path)

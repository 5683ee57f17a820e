"""The models that come with the package: small, whole, licensed, and as good as their cards say."""

from pathlib import Path

import numpy as np
import pytest
import torch

import cdcd
from cdcd import finding
from pipeline.generation.bundle import read_header
from pipeline.generation.drawing import FREE, drawn, encoded
from pipeline.metrics.beats import bin_counts, clip_scores, onset_envelope, onset_times
from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import torch_generator
from pipeline.storage import weights
from pipeline.storage.tensors import read_tensors

TASKS = ("dance", "caption", "class")
SHIPPED = Path(finding.__file__).with_name("shipped")
CONDITIONS = Path(__file__).with_name("shipped_conditions.npz")
"""What the dance model is told of two test clips of `studio`, their onsets in seconds, and the F1
(5hz, percent, a mean of three seeds) that the model reached when it was shipped.
"""


@pytest.fixture(autouse=True)
def real_models(monkeypatch):
    monkeypatch.setattr(finding, "SHIPPED", SHIPPED)


@pytest.mark.parametrize("task", TASKS)
def test_each_is_a_licensed_bundle_with_a_card_that_shows_its_controls(task):
    header = read_header(SHIPPED / f"{task}.safetensors")
    assert header["settings"]["licence"] == "mit"
    assert header["settings"]["reads"]["task"] == task
    for said in ("## Training", "## Measured", "Ground truth", "shuffled", "## Limits"):
        assert said in header["card"]


@pytest.mark.parametrize("task", TASKS)
def test_a_changed_byte_is_told_by_name(task, tmp_path):
    content = bytearray((SHIPPED / f"{task}.safetensors").read_bytes())
    assert read_tensors(SHIPPED / f"{task}.safetensors")
    content[-100] ^= 1
    (tmp_path / "changed.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="changed.safetensors"):
        read_tensors(tmp_path / "changed.safetensors")


def test_they_are_small():
    sizes = {path.stem: path.stat().st_size for path in SHIPPED.glob("*.safetensors")}
    assert set(sizes) == set(TASKS)
    assert sizes["dance"] <= 8e6
    codecs = sum(path.stat().st_size for path in weights.SHIPPED.glob("*.safetensors"))
    assert sum(sizes.values()) + codecs <= 20e6


def test_the_dance_model_plays_what_its_card_says():
    known = np.load(CONDITIONS)
    own, other = f1_of_clips(known)
    assert abs(own - float(known["f1"])) < 8
    assert own > other + 5


def f1_of_clips(known) -> tuple[float, float]:
    """F1 of the model's music for two clips, of three seeds, against the own and the other music;
    in bins of 0.2 s, percent.
    """
    model, scores = cdcd.load(task="dance"), {"own": [], "other": []}
    sampling, counted = model.settings.sampling, lambda *_: None
    for row in range(2):
        inputs = {name: torch.from_numpy(known[name][[row]]) for name in ("motion", "visual")}
        condition = encoded(model.network, inputs | {"genre": torch.tensor([0])})
        for seed in range(3):
            free = np.full(model.network.length, FREE)
            generator = torch_generator(seed, "shipped", row)
            tokens = drawn(model.network, condition, sampling, generator, free, counted)
            with torch.inference_mode():
                sound = model.codec.decode(torch.from_numpy(tokens)[None])[0].numpy()
            heard = onset_times(onset_envelope(sound, model.sample_rate), "5hz")
            for name, place in (("own", row), ("other", 1 - row)):
                counts = bin_counts(known[f"onsets_{place}"], heard, 2.0, "5hz")
                scores[name].append(clip_scores(np.array([counts]), "5hz")["f1"][0])
    return float(np.mean(scores["own"])), float(np.mean(scores["other"]))

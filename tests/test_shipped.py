"""The models that come with the package: small, whole, licensed, and as good as their cards say."""

from pathlib import Path

import numpy as np
import pytest
import torch

import cdcd
from cdcd.finding import SHIPPED
from pipeline.generation.bundle import read_header
from pipeline.generation.drawing import drawn, encoded
from pipeline.metrics.beats import onset_envelope, onset_times
from pipeline.runtime.seeds import torch_generator
from pipeline.storage import weights
from pipeline.storage.tensors import read_tensors

TASKS = ("dance", "caption", "class")
CONDITIONS = Path(__file__).with_name("shipped_conditions.npz")
"""Of two test clips of `studio`: what the dance model is told, and the true music's onsets, s."""


@pytest.mark.parametrize("task", TASKS)
def test_each_is_a_licensed_bundle_with_a_card_that_shows_its_controls(task):
    header = read_header(SHIPPED / f"{task}.safetensors")
    assert header["settings"]["licence"] == "mit"
    assert header["settings"]["reads"]["task"] == task
    for said in ("## Training", "## Measured", "Ground truth", "shuffled", "## Limits"):
        assert said in header["card"]


@pytest.mark.parametrize("task", TASKS)
def test_their_content_is_as_it_was_written(task):
    assert read_tensors(SHIPPED / f"{task}.safetensors")  # raises where the digest differs


def test_they_are_small():
    sizes = {path.stem: path.stat().st_size for path in SHIPPED.glob("*.safetensors")}
    assert set(sizes) == set(TASKS)
    assert sizes["dance"] <= 8e6
    codecs = sum(path.stat().st_size for path in weights.SHIPPED.glob("*.safetensors"))
    assert sum(sizes.values()) + codecs <= 20e6

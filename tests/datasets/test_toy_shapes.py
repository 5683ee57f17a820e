"""The toy scenes: what the test holds out, that the same settings give the same bytes, and that
captions say the scene.
"""

import hashlib

import numpy as np
import pytest
import torch

from pipeline.datasets import scenes, toy_shapes
from pipeline.datasets.captions import captions_of
from pipeline.media.image import load_rgb
from pipeline.metrics.shapes import find_things, score_shapes
from pipeline.runtime.errors import UserError
from pipeline.runtime.scratch import fingerprint
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import read_manifest

CONFIG = toy_shapes.ToyShapes(image_size=32, train=150, val=20, test=60, held_out=0.2, seed=3)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A small data set."""
    folder = tmp_path_factory.mktemp("shapes")
    assert toy_shapes.prepare(CONFIG, folder) == []
    return folder


def test_no_combination_of_the_test_is_in_training(raw):
    manifest = read_manifest(raw / "manifest.csv")
    kinds = {
        split: {
            scenes.parse(captions_of(manifest.clips[row], raw)[0]).kind
            for row in manifest.of(split)
        }
        for split in ("train", "val", "test")
    }
    assert [len(manifest.of(split)) for split in ("train", "val", "test")] == [150, 20, 60]
    assert not kinds["test"] & (kinds["train"] | kinds["val"])


def test_every_thing_is_seen_in_every_place_of_training():
    seen, held_out = toy_shapes.split_scenes(0.2, 0)
    places = {
        (scene.axis, place, getattr(scene, place).colour, getattr(scene, place).shape)
        for scene in seen
        for place in ("first", "second")
    }
    assert len(places) == 4 * len(scenes.COLOURS) * len(scenes.SHAPES)
    assert len(held_out) == round(0.2 * (len(seen) + len(held_out)))


def test_same_settings_give_the_same_bytes(raw, tmp_path):
    toy_shapes.prepare(CONFIG, tmp_path)
    assert fingerprint(tmp_path) == fingerprint(raw)
    other = tmp_path / "other"
    other.mkdir()
    toy_shapes.prepare(CONFIG.model_copy(update={"seed": 4}), other)
    assert fingerprint(other) != fingerprint(raw)


def test_every_caption_tells_its_scene():
    seen, held_out = toy_shapes.split_scenes(0.2, 0)
    for scene in (seen + held_out)[::7]:
        told = scenes.captions(scene)
        assert len(set(told)) == len(told) >= 4
        assert {scenes.parse(caption) for caption in told} == {scene}


@pytest.mark.parametrize(
    "caption", ["a bird", "a small red circle", "a small red circle and a large blue square"]
)
def test_a_caption_that_tells_no_scene_is_refused(caption):
    with pytest.raises(UserError, match="does not name two shapes"):
        scenes.parse(caption)


@pytest.mark.parametrize("image_size", [32, 64])
def test_the_check_reads_true_pictures_and_refuses_wrong_captions(image_size):
    seen, held_out = toy_shapes.split_scenes(0.2, 0)
    chosen = (seen + held_out)[::11]
    pictures = _drawn(chosen, image_size)
    right = score_shapes(
        pictures, [scenes.captions(scene)[number % 4] for number, scene in enumerate(chosen)]
    )
    assert right.all_correct.mean() > 0.99
    assert right.attributes.mean() > 0.99
    assert right.relation.mean() > 0.99
    mirrored = [scenes.Scene(scene.second, scene.first, scene.axis) for scene in chosen]
    wrong = score_shapes(pictures, [scenes.captions(scene)[0] for scene in mirrored])
    assert wrong.attributes.mean() > 0.99
    assert wrong.relation.max() == 0
    assert wrong.all_correct.max() == 0
    unrelated = score_shapes(
        pictures, [scenes.captions(scene)[0] for scene in chosen[7:] + chosen[:7]]
    )
    assert unrelated.attributes.mean() < 0.2
    assert unrelated.all_correct.mean() < 0.02


@pytest.mark.parametrize(
    ("field", "value"), [("size", "large"), ("colour", "yellow"), ("shape", "triangle")]
)
def test_each_attribute_counts(field, value):
    scene = scenes.Scene(
        scenes.Thing("small", "red", "circle"), scenes.Thing("large", "blue", "square"), "x"
    )
    changed = {**scene.first.__dict__, field: value}
    caption = scenes.captions(scenes.Scene(scenes.Thing(**changed), scene.second, "x"))[0]
    scores = score_shapes(_drawn([scene], 32), [caption])
    assert scores.attributes.tolist() == [0.5]
    assert scores.all_correct.tolist() == [0.0]
    assert scores.relation.tolist() == [1.0 if field == "size" else 0.0]


def test_the_check_stands_a_codecs_blur_and_noise():
    chosen = toy_shapes.split_scenes(0.2, 0)[1][::3]
    pictures = _drawn(chosen, 32)
    blurred = torch.nn.functional.conv2d(
        torch.nn.functional.pad(pictures, [1] * 4, mode="replicate").flatten(0, 1)[:, None],
        torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16,
    ).view_as(pictures)
    noisy = blurred + 0.04 * torch.randn(blurred.shape, generator=torch.Generator().manual_seed(0))
    scores = score_shapes(noisy.clamp(0, 1), [scenes.captions(scene)[0] for scene in chosen])
    assert scores.all_correct.mean() > 0.99


def test_blank_and_crowded_pictures_are_not_right():
    scene = toy_shapes.split_scenes(0.2, 0)[0][0]
    caption = scenes.captions(scene)[0]
    blank = score_shapes(torch.full((1, 3, 32, 32), 0.9), [caption])
    assert [blank.attributes[0], blank.relation[0], blank.all_correct[0]] == [0, 0, 0]
    picture = _drawn([scene], 32)[0]
    picture[:, :8, 24:] = torch.tensor([0.9, 0.8, 0.16])[:, None, None]
    crowded = score_shapes(picture[None], [caption])
    assert crowded.attributes[0] == 1
    assert crowded.relation[0] == 1
    assert crowded.all_correct[0] == 0


def test_a_blob_is_no_shape():
    picture = np.full((32, 32, 3), 0.92)
    picture[10:13, 2:30] = np.array(scenes.COLOURS["red"]) / 255
    (found,) = find_things(picture)
    assert found.thing.colour == "red"
    assert found.thing.shape == "none"


def test_pictures_on_disk_are_those_that_were_drawn(raw):
    picture = load_rgb(raw / "images" / "train_00000.png")
    assert picture.shape == (32, 32, 3)
    assert (picture[0, 0] == scenes.GROUND).all()
    assert (
        len({hashlib.sha256(file.read_bytes()).digest() for file in (raw / "images").iterdir()})
        > 200
    )


def _drawn(chosen, image_size):
    pictures = [
        scenes.draw(scene, image_size, numpy_generator(0, number))
        for number, scene in enumerate(chosen)
    ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255

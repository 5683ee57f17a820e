"""The evaluation of pictures on samples whose quality is known: perfect ones, shuffled ones and
noise.
"""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.datasets import digits, toy_shapes
from pipeline.media.content import Images
from pipeline.metrics import judges
from pipeline.metrics.image_controls import nearest_training_pictures
from pipeline.metrics.image_data import EvaluateImages, ImageData
from pipeline.metrics.images import evaluate_images
from pipeline.metrics.judge_training import TrainedJudge
from pipeline.metrics.results import write_evaluation
from pipeline.reporting.image_examples import write_image_examples
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import read_json
from pipeline.storage.manifest import read_manifest
from pipeline.storage.store import Store, write_store

SETTINGS = EvaluateImages(
    references=("test", "train"),
    exact_shapes=False,
    bootstrap_draws=50,
    seed=0,
    copied_below=5.0,
    examples=3,
)
JUDGE = TrainedJudge(
    kind="trained",
    reads="labels",
    image_size=16,
    width=8,
    steps=60,
    batch_size=64,
    learning_rate=5e-3,
    pictures=600,
    seed=0,
)
SEEDS = 2
ROWS = [
    "ground_truth",
    "reconstruction",
    "model",
    "model_shuffled",
    "shuffled_pairs",
    "nearest_neighbour",
    "mean_image",
]


def _decode(tokens):
    """Pictures of a codec that loses nothing but colour depth: a token is a pixel, two bits a
    channel.
    """
    side = round(tokens.shape[1] ** 0.5)
    channels = torch.stack([tokens // 16, tokens // 4 % 4, tokens % 4], 1) / 3
    return channels.view(-1, 3, side, side)


def _encode(images):
    red, green, blue = (images * 3).round().long().unbind(1)
    return (16 * red + 4 * green + blue).flatten(1).numpy()


def _data(raw, size, judge, folder):
    """Samples that are the true pictures under their own conditions, and another item's under
    shuffled ones.
    """
    manifest = read_manifest(raw / "manifest.csv")
    pictures = Images(manifest, size)
    tokens = _encode(pictures.read(list(range(len(manifest.clips)))))
    test = manifest.of("test")
    kinds = [manifest.clips[row].label or manifest.clips[row].id for row in test]
    others = [
        next(row for row, kind in zip(test, kinds, strict=True) if kind != own) for own in kinds
    ]
    ids = [manifest.clips[row].id for row in test]
    with write_store(folder / "tokens.h5", "tokens", manifest.ids, {}) as store:
        store.field("tokens", tokens.shape[1:], "uint16")
        store.write("tokens", slice(0, len(tokens)), tokens)
    with write_store(folder / "samples.h5", "samples", ids, {"model": "perfect"}) as store:
        for field, rows in (("tokens", test), ("shuffled", others)):
            store.field(field, (SEEDS, tokens.shape[1]), "uint16")
            store.write(field, slice(0, len(test)), np.stack([tokens[rows]] * SEEDS, 1))
        store.field("shuffled_from", (), "int32")
        store.write("shuffled_from", slice(0, len(test)), np.array(others))
    stores = Store(folder / "tokens.h5", "tokens"), Store(folder / "samples.h5", "samples")
    return ImageData(pictures, raw, *stores, judge, _decode)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Digits with a judge, and perfect samples."""
    folder = tmp_path_factory.mktemp("digits")
    digits.prepare(digits.Digits(image_size=16, val=10, test=70, seed=0), folder)
    judges.build_judge(JUDGE, read_manifest(folder / "manifest.csv"), folder, folder / "judge")
    return _data(folder, 16, judges.load_judge(folder / "judge"), folder)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Scenes with a hardly trained judge, and perfect samples."""
    folder = tmp_path_factory.mktemp("shapes")
    toy_shapes.prepare(
        toy_shapes.ToyShapes(image_size=32, train=40, val=5, test=20, held_out=0.2, seed=0), folder
    )
    config = JUDGE.model_copy(update={"reads": "captions", "image_size": 32, "steps": 3})
    judges.build_judge(config, read_manifest(folder / "manifest.csv"), folder, folder / "judge")
    return _data(folder, 32, judges.load_judge(folder / "judge"), folder)


def _table(evaluation):
    return {(result.row, result.metric, result.protocol): result for result in evaluation.results}


def test_every_row_is_measured_and_known_ones_score_as_they_must(scans, tmp_path):
    evaluation = evaluate_images(scans, SETTINGS)
    table = _table(evaluation)
    assert list(dict.fromkeys(result.row for result in evaluation.results)) == ROWS
    accuracy = {row: table[row, "top1_accuracy", "judge"] for row in ROWS}
    assert accuracy["model"].mean == accuracy["reconstruction"].mean
    assert accuracy["model"].std == 0
    assert accuracy["model"].n_seeds == SEEDS
    assert accuracy["model"].n_clips == 70
    assert accuracy["model"].low <= accuracy["model"].mean <= accuracy["model"].high
    assert math.isnan(accuracy["ground_truth"].std)
    assert accuracy["ground_truth"].mean > 70
    assert accuracy["nearest_neighbour"].mean > 70
    assert accuracy["model_shuffled"].mean < 20
    assert accuracy["shuffled_pairs"].mean < 20
    assert accuracy["mean_image"].mean < 20
    top5 = table["model", "top5_accuracy", "judge"].mean
    assert top5 >= accuracy["model"].mean
    write_evaluation(evaluation, tmp_path / "metrics")
    assert "top1_accuracy_judge" in read_json(tmp_path / "metrics" / "metrics.json")
    assert evaluation.remarks["judge"]["held_out"]["test"]["pictures"] == 70
    assert evaluation.remarks["fid_references"] == {"test": 70, "train": 1717}


def test_frechet_distances_order_the_rows(scans):
    table = _table(evaluate_images(scans, SETTINGS))
    fid = {row: table.get((row, "fid", "judge, test")) for row in ROWS}
    assert fid["ground_truth"] is None, "the reference itself"
    assert fid["model"].mean == pytest.approx(fid["reconstruction"].mean)
    assert fid["reconstruction"].mean < fid["nearest_neighbour"].mean < fid["mean_image"].mean
    assert (
        fid["nearest_neighbour"].low
        <= fid["nearest_neighbour"].mean
        <= fid["nearest_neighbour"].high
    )
    assert (
        table["ground_truth", "fid", "judge, train"].mean
        < table["mean_image", "fid", "judge, train"].mean
    )


def test_copies_are_found(scans):
    training = scans.manifest.of("train")[:70]
    copied = scans.tokens["tokens"][
        scans.tokens.rows_of([clip.id for clip in scans.clips(training)])
    ]
    rows = scans.samples["tokens"][slice(0, 70)]
    rows[:35] = copied[:35, None]
    path = scans.raw / "copies.h5"
    with write_store(path, "samples", scans.samples.ids, {}) as store:
        for field in ("tokens", "shuffled"):
            store.field(field, rows.shape[1:], "uint16")
            store.write(field, slice(0, 70), rows)
    data = ImageData(
        scans.pictures, scans.raw, scans.tokens, Store(path, "samples"), scans.judge, _decode
    )
    table = _table(evaluate_images(data, SETTINGS))
    assert table["model", "copied", "tokens"].mean == pytest.approx(50)
    assert table["reconstruction", "copied", "tokens"].mean == 0
    assert (
        table["model", "copy_distance", "tokens"].mean
        < table["reconstruction", "copy_distance", "tokens"].mean
    )


def test_scenes_are_checked_exactly(scenes):
    table = _table(evaluate_images(scenes, SETTINGS.model_copy(update={"exact_shapes": True})))
    assert table["ground_truth", "all_correct", "exact"].mean == 100
    assert table["model", "relation", "exact"].mean >= 95
    assert table["model_shuffled", "all_correct", "exact"].mean <= 10
    assert table["nearest_neighbour", "all_correct", "exact"].mean == 0, (
        "no training picture shows a held-out combination"
    )
    assert table["mean_image", "attributes", "exact"].mean == 0
    assert 0 <= table["model", "r_precision", "judge"].mean <= 100


def test_nearest_training_pictures_share_words_or_class(scenes, scans):
    number = scenes.numbers[0]
    (nearest,) = nearest_training_pictures(scenes, [number], 0)
    assert scenes.manifest.clips[nearest].split == "train"
    shared = set(scenes.caption(number).split()) & set(scenes.caption(nearest).split())
    others = [
        len(set(scenes.caption(number).split()) & set(scenes.caption(row).split()))
        for row in scenes.manifest.of("train")
    ]
    assert len(shared) >= np.mean(others)
    found = nearest_training_pictures(scans, scans.numbers, 0)
    assert [scans.manifest.clips[row].label for row in found] == [
        clip.label for clip in scans.clips(scans.numbers)
    ]


def test_the_same_evaluation_twice_is_the_same(scenes):
    first, second = (evaluate_images(scenes, SETTINGS) for _ in range(2))
    assert str(first.results) == str(second.results)
    assert first.clips == second.clips


def test_examples_for_the_page(scenes, tmp_path):
    write_image_examples(scenes, 3, 0, tmp_path)
    examples = read_json(tmp_path / "examples.json")
    assert examples["task"] == "image"
    assert len({item["caption"] for item in examples["items"]}) == 3
    rows = [image["row"] for image in examples["items"][0]["images"]]
    assert rows == [
        "ground_truth",
        "reconstruction",
        "model",
        "model",
        "model_shuffled",
        "nearest_neighbour",
    ]
    for item in examples["items"]:
        belongs_to = [image["caption"] for image in item["images"]]
        assert belongs_to[:4] == [item["caption"]] * 4
        assert belongs_to[4] != item["caption"], "the shuffled sample was made for another caption"
        assert all(
            Image.open(tmp_path / image["image"]).size == (128, 128) for image in item["images"]
        )
    grid = np.asarray(Image.open(tmp_path / "grid.png").convert("RGB"))
    assert grid.std() > 10


def test_no_samples_is_one_sentence(scans):
    with write_store(scans.raw / "none.h5", "samples", ["unknown"], {}) as store:
        store.field("tokens", (1, 256), "uint16")
    data = ImageData(
        scans.pictures,
        scans.raw,
        scans.tokens,
        Store(scans.raw / "none.h5", "samples"),
        scans.judge,
        _decode,
    )
    with pytest.raises(UserError, match="nothing to evaluate"):
        evaluate_images(data, SETTINGS)

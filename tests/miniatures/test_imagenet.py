"""ImageNet in small, from `download` to `evaluate`; and its published judges by name."""

import shutil

import pytest
import torch
from torchvision.models import Inception3, resnet101

from pipeline.metrics.judges import load_judge
from pipeline.runtime.files import read_json
from pipeline.storage.manifest import read_manifest
from pipeline.storage.store import Store
from pipeline.storage.tensors import write_tensors
from tests.helpers.checkout import (
    check,
    finished,
    inside,
    preset,
    run_stages,
    shrink,
    stand_in,
    without_published_weights,
)
from tests.miniatures.sets import IMAGENET, write_imagenet


@pytest.fixture
def imagenet(tmp_path):
    write_imagenet(tmp_path / "imagenet")
    return preset("imagenet", media_root=tmp_path / "imagenet")


def test_without_published_weights(imagenet, tmp_path):
    without_published_weights(imagenet, "digits")
    shrink(imagenet)
    run_stages(tmp_path, imagenet=imagenet)
    root = tmp_path / "data" / "imagenet"
    clips = read_manifest(root / "raw" / "manifest.csv").clips
    assert [clip.split for clip in clips] == 9 * ["train"] + 6 * ["test"]
    assert Store(root / "conditions.h5", "conditions").provenance["classes"] == list(IMAGENET)
    finished(tmp_path, "imagenet", {"fid", "top1_accuracy", "copied"})
    assert check(tmp_path, "imagenet") == [
        "train: 9 pictures, the complete set has 1,281,167.",
        "test: 6 pictures, the complete set has 50,000.",
    ]


def test_real_things(shared, tmp_path):
    """The sample has one picture of each class and no `val`, which gets copies of some of them."""
    root = tmp_path / "imagenet"
    shutil.copytree(shared / "imagenet", root)
    for number, folder in enumerate(sorted((root / "train").iterdir())[:8], start=1):
        (root / "val" / folder.name).mkdir(parents=True)
        shutil.copy(
            next(folder.iterdir()), root / "val" / folder.name / f"ILSVRC2012_val_{number:08d}.JPEG"
        )
    imagenet = preset("imagenet", media_root=root)
    without_published_weights(imagenet, "digits")
    shrink(imagenet)
    run_stages(tmp_path, imagenet=imagenet)
    finished(tmp_path, "imagenet", {"fid", "top1_accuracy", "copied"})


def test_the_published_judges_know_the_classes_by_their_wordnet_numbers(imagenet, tmp_path):
    stand_in(
        tmp_path,
        "resnet101",
        lambda path: write_tensors(path, resnet101(weights=None).state_dict(), {}),
    )
    inception = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    stand_in(
        tmp_path, "inception_fid", lambda path: write_tensors(path, inception.state_dict(), {})
    )
    run_stages(tmp_path, ("download", "judge"), imagenet=imagenet)
    root = tmp_path / "data" / "imagenet"
    numbers = {wnid: number for number, wnid in enumerate(IMAGENET)}
    assert read_json(root / "raw" / "classes.json") == numbers
    with inside(tmp_path):
        judge = load_judge(root / "judge")
        assert judge.classes == numbers
        assert judge.logits(torch.rand(2, 3, 64, 64)).shape == (2, 1000)
        assert judge.features(torch.rand(2, 3, 64, 64)).shape == (2, 2048)

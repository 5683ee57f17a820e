"""ImageNet: the real class table and fifty real pictures, and both folders in small."""

import json

import pytest

from pipeline.datasets import imagenet
from pipeline.datasets.imagenet import Imagenet, class_numbers
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.manifest import read_manifest
from tests.helpers.picture_files import splits_of, write_picture


def things(root, **changes):
    return validate(
        Imagenet,
        {"media_root": root, "validation_images": 0, "split_seed": 0} | changes,
        "imagenet.download",
    )


def test_real_class_numbers_are_the_alphabetical_order_of_the_labels(shared):
    numbers = class_numbers(shared / "imagenet")
    assert [numbers[wnid] for wnid in sorted(numbers)] == list(range(1000))
    assert numbers["n01443537"] == 1


def test_real_pictures_of_fifty_classes(shared, tmp_path):
    config = things(shared / "imagenet", validation_images=5)
    assert imagenet.prepare(config, tmp_path) == [("val", "is missing, so there is no test split")]
    manifest = read_manifest(tmp_path / "manifest.csv", config.media_root)
    assert splits_of(tmp_path) == {"train": 45, "val": 5}
    listed = (config.media_root / "img_train.txt").read_text().split()
    assert [clip.path for clip in manifest.clips] == [f"train/{name}" for name in sorted(listed)]
    assert imagenet.check(config)[0] == "train: 50 pictures, the complete set has 1,281,167."


def test_train_and_val_folders(tmp_path):
    root = tmp_path / "imagenet"
    (root / "train").mkdir(parents=True)
    (root / "imagenet_class_index.json").write_text(
        json.dumps({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]})
    )
    for wnid in ("n01440764", "n01443537"):
        for number in range(3):
            write_picture(
                root / "train" / wnid / f"{wnid}_{number}.JPEG", number, "L" if number else "RGB"
            )
    write_picture(root / "val" / "n01440764" / "ILSVRC2012_val_00000293.JPEG")
    write_picture(root / "val" / "n99999999" / "ILSVRC2012_val_00000001.JPEG")
    (root / "train" / "n01440764" / "notes.txt").write_text("not a picture")
    skipped = imagenet.prepare(things(root), tmp_path / "raw")
    assert splits_of(tmp_path / "raw") == {"train": 6, "test": 1}
    assert {reason for _, reason in skipped} == {
        "is not a picture",
        "is a class that imagenet_class_index.json lacks",
    }


def test_imagenet_that_is_not_sorted_into_classes(tmp_path):
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps({"0": ["n01440764", "tench"]}))
    write_picture(tmp_path / "train" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(UserError, match="sort them into <class>/ first"):
        imagenet.prepare(things(tmp_path), tmp_path / "raw")
    (tmp_path / "imagenet_class_index.json").write_text('{"0": ["n01440764"')
    assert "is damaged" in imagenet.check(things(tmp_path))[0]


def test_a_root_that_is_absent(tmp_path):
    with pytest.raises(UserError, match="download.media_root: .*nowhere does not exist"):
        imagenet.prepare(things(tmp_path / "nowhere"), tmp_path / "raw")
    assert len(imagenet.check(things(tmp_path / "nowhere"))) == 1
    assert not (tmp_path / "nowhere").exists()

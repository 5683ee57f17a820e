"""MSCOCO: the real captions in full, and the real pictures in the layouts of both years."""

import shutil
import zipfile

import pytest

from pipeline.datasets import coco
from pipeline.datasets.captions import captions_of
from pipeline.datasets.coco import Coco, read_annotations
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.manifest import read_manifest
from tests.helpers.picture_files import splits_of


def scenes(root, **changes):
    content = {
        "source": "local",
        "media_root": root,
        "year": 2014,
        "validation_images": 0,
        "split_seed": 0,
    }
    return validate(Coco, content | changes, "coco.download")


def test_real_validation_captions_of_2017(shared):
    captions = read_annotations(shared / "mscoco" / "annotations" / "captions_val2017.json")
    assert len(captions) == coco.PICTURES[2017]["test"]
    assert sum(map(len, captions.values())) == 25_014
    assert min(map(len, captions.values())) == 5


def coco_root(shared, root, year):
    """The real pictures under the names and in the folders of the given year."""
    for split in ("train", "val"):
        part = f"{split}{year}"
        folder = root / part / part if year == 2014 else root / part
        folder.mkdir(parents=True)
        source = shared / ("mscoco_2014_view" if year == 2014 else "mscoco") / "annotations"
        (root / "annotations").mkdir(exist_ok=True)
        prefix = "" if year == 2014 else "mini_"
        shutil.copy(
            source / f"{prefix}captions_{part}.json", root / "annotations" / f"captions_{part}.json"
        )
        for picture in sorted((shared / "mscoco" / f"{split}2017").iterdir()):
            name = f"COCO_{part}_{picture.name}" if year == 2014 else picture.name
            (folder / name).symlink_to(picture)
    return root


@pytest.mark.parametrize("year", [2014, 2017])
def test_real_scenes_in_both_layouts(shared, tmp_path, year):
    config = scenes(coco_root(shared, tmp_path / "coco", year), year=year, validation_images=4)
    assert coco.prepare(config, tmp_path / "raw") == []
    assert splits_of(tmp_path / "raw") == {"train": 20, "val": 4, "test": 24}
    manifest = read_manifest(tmp_path / "raw" / "manifest.csv", config.media_root)
    clip = next(clip for clip in manifest.clips if clip.id.endswith("000000159269"))
    assert "some outdoor tables sitting next to some umbrellas" in captions_of(
        clip, tmp_path / "raw"
    )
    assert all(len(captions_of(clip, tmp_path / "raw")) == 5 for clip in manifest.clips)
    assert len(coco.check(config)) == 2  # only the counts


def test_the_2014_view_as_it_is(shared, tmp_path):
    config = scenes(shared / "mscoco_2014_view")
    first = next((config.media_root / "train2014" / "train2014").iterdir())
    if first.stat().st_size > 200:
        assert coco.prepare(config, tmp_path) == []
        return
    with pytest.raises(
        UserError, match="COCO_train2014_000000030752.jpg is no picture"
    ):  # links that a copy turned into text
        coco.prepare(config, tmp_path)


def test_damaged_and_missing_scenes(shared, tmp_path):
    root = coco_root(shared, tmp_path / "coco", 2017)
    lost, cut = sorted((root / "train2017").iterdir())[:2]
    content = cut.read_bytes()
    lost.unlink()
    cut.unlink()
    cut.write_bytes(content[: len(content) // 2])
    findings = "\n".join(coco.check(scenes(root, year=2017)))
    assert f"{lost}: is missing." in findings
    assert f"{cut} cannot be read (image file is truncated" in findings
    assert coco.prepare(scenes(root, year=2017), tmp_path / "raw") == [(str(lost), "is missing")]
    annotations = root / "annotations" / "captions_val2017.json"
    annotations.write_bytes(annotations.read_bytes()[:999])
    with pytest.raises(UserError, match="truncated or holds no COCO captions"):
        coco.prepare(scenes(root, year=2017), tmp_path / "raw")


def test_scenes_from_the_official_address(shared, tmp_path, website, monkeypatch):
    address, folder, _ = website
    built = coco_root(shared, tmp_path / "built", 2017)
    parts = {
        "annotations/annotations_trainval2017": "annotations",
        "zips/train2017": "train2017",
        "zips/val2017": "val2017",
    }
    for part, inside in parts.items():
        (folder / part).parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            for file in sorted((built / inside).iterdir())[:30]:
                archive.write(file.resolve(), f"{inside}/{file.name}")
    monkeypatch.setattr(coco, "ADDRESS", address)
    monkeypatch.setattr(coco, "ARCHIVES", {2017: dict.fromkeys(coco.ARCHIVES[2017])})
    root = tmp_path / "coco"
    assert coco.prepare(scenes(root, year=2017, source="official"), tmp_path / "raw") == []
    assert splits_of(tmp_path / "raw") == {"train": 24, "test": 24}
    assert {path.name for path in root.iterdir()} == {"annotations", "train2017", "val2017"}


def test_a_root_that_is_absent(tmp_path):
    with pytest.raises(UserError, match="download.media_root: .*nowhere does not exist"):
        coco.prepare(scenes(tmp_path / "nowhere"), tmp_path / "raw")
    assert len(coco.check(scenes(tmp_path / "nowhere"))) == 1
    assert not (tmp_path / "nowhere").exists()

"""CUB-200, MSCOCO and ImageNet: real metadata in full, and miniatures in the original layouts."""

import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import archives, coco, cub200, imagenet
from pipeline.datasets.captions import captions_of, read_lines
from pipeline.datasets.coco import Coco, read_annotations
from pipeline.datasets.cub200 import Cub200, split_names
from pipeline.datasets.imagenet import Imagenet, class_numbers
from pipeline.datasets.listing import verify_listing
from pipeline.manifest import read_manifest
from pipeline.params import validate
from pipeline.runtime import Mistake


def birds(root, **changes):
    content = {"source": "local", "media_root": root, "validation_images": 0, "split_seed": 0}
    return validate(Cub200, content | changes, "cub200.download")


def scenes(root, **changes):
    content = {"source": "local", "media_root": root, "year": 2014, "validation_images": 0, "split_seed": 0}
    return validate(Coco, content | changes, "coco.download")


def things(root, **changes):
    return validate(Imagenet, {"media_root": root, "validation_images": 0, "split_seed": 0} | changes, "imagenet.download")


def splits_of(raw):
    return Counter(clip.split for clip in read_manifest(raw / "manifest.csv").clips)


def write_picture(path, seed=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, "JPEG")


# --- CUB-200 ---------------------------------------------------------------------------------------------------------


def test_real_bird_split(shared):
    names = split_names(shared / "cub200" / "full_split")
    assert {split: len(listed) for split, listed in names.items()} == cub200.PICTURES
    lines = (shared / "cub200" / "CUB_200_2011" / "images.txt").read_text().splitlines()
    assert sorted(names["train"] + names["test"]) == sorted(line.split()[1].removesuffix(".jpg") for line in lines)
    species = {split: {name.split("/")[0] for name in listed} for split, listed in names.items()}
    assert {split: len(found) for split, found in species.items()} == {"train": 150, "test": 50}
    assert not species["train"] & species["test"]


def test_real_birds_with_ten_captions_each(shared, tmp_path):
    config = birds(shared / "cub200" / "mini", validation_images=2)
    assert cub200.prepare(config, tmp_path) == []
    manifest = read_manifest(tmp_path / "manifest.csv", config.media_root)
    assert splits_of(tmp_path) == {"train": 4, "val": 2, "test": 3}
    assert all(manifest.file(clip).is_file() for clip in manifest.clips)
    assert {len(captions_of(clip, tmp_path)) for clip in manifest.clips} == {10}
    clip = next(clip for clip in manifest.clips if clip.id == "Black_Footed_Albatross_0089_796069")
    assert (clip.split, clip.label) == ("test", "001.Black_footed_Albatross")
    assert captions_of(clip, tmp_path)[2] == "this is a brown bird with long wings and a large beak."
    counts = ["train: 6 pictures, the complete set has 8,855.", "test: 3 pictures, the complete set has 2,933."]
    assert cub200.check(config) == counts
    assert verify_listing(tmp_path, config.media_root) == []


@pytest.fixture
def bird_archives(tmp_path):
    """The birds as the web serves them: Caltech's archive, and AttnGAN's with another inside."""
    plain = {"train": ["002.Laysan_Albatross/Laysan_Albatross_0002_1027", "002.Laysan_Albatross/Laysan_Albatross_0003_1033"],
             "test": ["001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111"]}  # fmt: skip
    build, served = tmp_path / "build", tmp_path / "served"
    served.mkdir()
    for split, names in plain.items():
        (build / "birds" / split).mkdir(parents=True)
        (build / "birds" / split / "filenames.pickle").write_bytes(pickle.dumps(names, protocol=0))
        for number, name in enumerate(names):
            write_picture(build / "CUB_200_2011" / "images" / f"{name}.jpg", number)
            (build / "text" / name).parent.mkdir(parents=True, exist_ok=True)
            (build / "text" / f"{name}.txt").write_bytes(f"A Bird  number {number} caf\xe9\n\nit flies\n".encode("latin-1"))
    with tarfile.open(served / "CUB_200_2011.tgz", "w:gz") as archive:
        archive.add(build / "CUB_200_2011", "CUB_200_2011")
    shutil.make_archive(str(build / "birds" / "text"), "zip", build, "text")
    shutil.make_archive(str(served / "birds"), "zip", build, "birds")
    return served


def test_bird_archives_are_unpacked_where_they_lie(bird_archives, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(bird_archives, root)
    findings = cub200.check(birds(root))
    assert "StackGAN or AttnGAN pickles" in findings[0]
    assert {path.name for path in root.iterdir()} == {"CUB_200_2011.tgz", "birds.zip"}
    assert cub200.prepare(birds(root), tmp_path / "raw") == []
    assert splits_of(tmp_path / "raw") == {"train": 2, "test": 1}
    clip = read_manifest(tmp_path / "raw" / "manifest.csv").clips[0]
    assert captions_of(clip, tmp_path / "raw") == ["a bird number 0 café", "it flies"]
    assert "Laysan_Albatross_0002_1027 has 2 captions, not 10." in cub200.check(birds(root))


def test_birds_from_the_official_address(bird_archives, tmp_path, website, monkeypatch):
    address, folder, _ = website
    (bird_archives / "CUB_200_2011.tgz").rename(folder / "CUB_200_2011.tgz")
    monkeypatch.setattr(cub200, "URL", f"{address}/CUB_200_2011.tgz")
    with pytest.raises(Mistake, match="another or a damaged file"):
        cub200.prepare(birds(bird_archives, source="official"), tmp_path / "raw")
    assert not (bird_archives / "CUB_200_2011").exists()
    monkeypatch.setattr(cub200, "MD5", archives.hashlib.md5((folder / "CUB_200_2011.tgz").read_bytes()).hexdigest())
    assert cub200.prepare(birds(bird_archives, source="official"), tmp_path / "raw") == []
    assert splits_of(tmp_path / "raw") == {"train": 2, "test": 1}


class Evil:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([Evil()], "is refused"),
        (["../../etc/passwd"], "should hold a list"),
        (["/a/b"], "should hold a list"),
        ({"a": 1}, "should hold a list"),
    ],
)
def test_hostile_bird_pickles_are_refused(tmp_path, monkeypatch, content, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "filenames.pickle").write_bytes(pickle.dumps(content))
    with pytest.raises(Mistake, match=sentence):
        split_names(tmp_path)
    assert sentence in cub200.check(birds(tmp_path))[0]
    assert not (tmp_path / "owned").exists()


def test_captions_that_are_no_utf_8(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"A caf\xe9\r\n \nTwo\twords\n")
    assert read_lines(tmp_path / "a.txt") == ["a café", "two words"]


# --- MSCOCO ----------------------------------------------------------------------------------------------------------


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
        shutil.copy(source / f"{prefix}captions_{part}.json", root / "annotations" / f"captions_{part}.json")
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
    assert "some outdoor tables sitting next to some umbrellas" in captions_of(clip, tmp_path / "raw")
    assert all(len(captions_of(clip, tmp_path / "raw")) == 5 for clip in manifest.clips)
    assert len(coco.check(config)) == 2  # only the counts


def test_the_2014_view_as_it_is(shared, tmp_path):
    config = scenes(shared / "mscoco_2014_view")
    first = next((config.media_root / "train2014" / "train2014").iterdir())
    if first.stat().st_size > 200:
        assert coco.prepare(config, tmp_path) == []
        return
    with pytest.raises(Mistake, match="COCO_train2014_000000030752.jpg is no picture"):  # links that a copy turned into text
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
    with pytest.raises(Mistake, match="truncated or holds no COCO captions"):
        coco.prepare(scenes(root, year=2017), tmp_path / "raw")


def test_scenes_from_the_official_address(shared, tmp_path, website, monkeypatch):
    address, folder, _ = website
    built = coco_root(shared, tmp_path / "built", 2017)
    parts = {"annotations/annotations_trainval2017": "annotations", "zips/train2017": "train2017", "zips/val2017": "val2017"}
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


# --- ImageNet --------------------------------------------------------------------------------------------------------


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
    (root / "imagenet_class_index.json").write_text(json.dumps({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}))
    for wnid in ("n01440764", "n01443537"):
        for number in range(3):
            write_picture(root / "train" / wnid / f"{wnid}_{number}.JPEG", number, "L" if number else "RGB")
    write_picture(root / "val" / "n01440764" / "ILSVRC2012_val_00000293.JPEG")
    write_picture(root / "val" / "n99999999" / "ILSVRC2012_val_00000001.JPEG")
    (root / "train" / "n01440764" / "notes.txt").write_text("not a picture")
    skipped = imagenet.prepare(things(root), tmp_path / "raw")
    assert splits_of(tmp_path / "raw") == {"train": 6, "test": 1}
    assert {reason for _, reason in skipped} == {"is not a picture", "is a class that imagenet_class_index.json lacks"}


def test_imagenet_that_is_not_sorted_into_classes(tmp_path):
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps({"0": ["n01440764", "tench"]}))
    write_picture(tmp_path / "train" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(Mistake, match="sort them into <class>/ first"):
        imagenet.prepare(things(tmp_path), tmp_path / "raw")
    (tmp_path / "imagenet_class_index.json").write_text('{"0": ["n01440764"')
    assert "is damaged" in imagenet.check(things(tmp_path))[0]


@pytest.mark.parametrize("make", [birds, scenes, things])
def test_a_root_that_is_absent(tmp_path, make):
    module = {birds: cub200, scenes: coco, things: imagenet}[make]
    with pytest.raises(Mistake, match="download.media_root: .*nowhere does not exist"):
        module.prepare(make(tmp_path / "nowhere"), tmp_path / "raw")
    assert len(module.check(make(tmp_path / "nowhere"))) == 1
    assert not (tmp_path / "nowhere").exists()

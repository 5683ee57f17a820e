"""A user's own pictures: every form of captions, class folders, and what is wrong said in one
sentence.
"""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import image_folder
from pipeline.datasets.captions import captions_of
from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import read_manifest

MODES = ("RGB", "L", "RGBA", "P", "RGB", "LA")


def _paint(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    size = (int(rng.integers(16, 90)), int(rng.integers(16, 90)))
    Image.new("RGB", size, tuple(rng.integers(0, 256, 3).tolist())).convert(MODES[number % 6]).save(
        path
    )


def _config(root, **changes):
    settings = {"media_root": root, "captions": None, "val": 0.1, "test": 0.2, "seed": 0, **changes}
    return image_folder.ImageFolder(**settings)


@pytest.fixture
def classes(tmp_path):
    """Three class folders of ten odd pictures, one of them unreadable, and a hidden folder."""
    root = tmp_path / "mine"
    for number in range(30):
        _paint(root / "abc"[number % 3] / f"{number:02d}.png", number)
    (root / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    _paint(root / ".thumbnails" / "x.png", 1)
    return root


@pytest.fixture
def captioned(tmp_path):
    """Ten pictures in a folder and a nested one."""
    root = tmp_path / "told"
    for number in range(10):
        _paint(root / ("deep/" if number > 6 else "") / f"pic{number}.png", number)
    return root


def test_class_folders_become_labels_in_every_split(classes, tmp_path):
    skipped = image_folder.prepare(_config(classes), tmp_path)
    assert [file for file, _ in skipped] == ["a/broken.jpg"]
    assert "cannot be read" in skipped[0][1]
    manifest = read_manifest(tmp_path / "manifest.csv", classes)
    assert Counter((clip.label, clip.split) for clip in manifest.clips) == {
        (label, split): count
        for label in "abc"
        for split, count in (("train", 7), ("val", 1), ("test", 2))
    }
    assert all(manifest.file(clip).exists() for clip in manifest.clips)
    again = tmp_path / "again"
    image_folder.prepare(_config(classes), again)
    assert (again / "manifest.csv").read_bytes() == (tmp_path / "manifest.csv").read_bytes()
    image_folder.prepare(_config(classes, seed=1), again)
    assert (again / "manifest.csv").read_bytes() != (tmp_path / "manifest.csv").read_bytes()


def test_a_class_with_one_picture_is_left_out(classes, tmp_path):
    _paint(classes / "lonely" / "only.png", 3)
    skipped = dict(image_folder.prepare(_config(classes), tmp_path))
    assert "only usable picture of class 'lonely'" in skipped["lonely/only.png"]
    assert {clip.label for clip in read_manifest(tmp_path / "manifest.csv").clips} == set("abc")
    assert (
        "it is the only usable picture of class 'lonely'" in image_folder.check(_config(classes))[1]
    )


TABBED = "".join(f"pic{n}.png\tA thing,  number {n}\npic{n}\tagain {n}\n" for n in range(9))
QUOTED = "".join(f'pic{n}.png,"A thing,  number {n}"\npic{n},again {n}\n' for n in range(9))
OBJECTS = [{"id": f"pic{n}", "captions": [f"A thing,  number {n}", f"again {n}"]} for n in range(9)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "file,caption\n" + QUOTED),
        ("c.tsv", "image\ttext\n" + TABBED),
        ("c.txt", TABBED),
        ("c.jsonl", "".join(json.dumps(item) + "\n" for item in OBJECTS)),
    ],
)
def test_every_form_of_captions(captioned, tmp_path, name, text):
    (captioned / name).write_text(text)
    skipped = image_folder.prepare(_config(captioned, captions=name), tmp_path)
    assert skipped == [("deep/pic9.png", "has no caption")]
    manifest = read_manifest(tmp_path / "manifest.csv", captioned)
    assert len(manifest.clips) == 9
    assert {clip.split for clip in manifest.clips} == {"train", "val", "test"}
    told = {clip.path: captions_of(clip, tmp_path) for clip in manifest.clips}
    assert told["deep/pic8.png"] == ["a thing, number 8", "again 8"]
    assert told["pic0.png"][0] == "a thing, number 0"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "c.csv",
            "file,caption\ncat7.png,a cat\n",
            "name no picture of the folder, the first is 'cat7.png'",
        ),
        ("c.csv", "who,what\npic1.png,a cat\n", "names no id or file; it has who, what"),
        ("c.txt", "pic1.png a cat\n", "line 1: expected the picture's name, a tab"),
        ("c.jsonl", "pic1.png a cat\n", "line 1 is not a JSON object"),
        ("c.xml", "<a/>", "captions are read from .csv"),
        ("c.csv", "", "names no id"),
        ("c.csv", "file,caption\npic1.png,\n", "holds no caption"),
    ],
)
def test_wrong_captions_are_one_sentence(captioned, tmp_path, name, text, message):
    (captioned / name).write_text(text)
    with pytest.raises(UserError, match=message):
        image_folder.prepare(_config(captioned, captions=name), tmp_path)
    assert not (tmp_path / "manifest.csv").exists()


def test_missing_folders_and_loose_pictures(captioned, tmp_path):
    with pytest.raises(UserError, match=r"pic0\.png is in no class folder"):
        image_folder.prepare(_config(captioned), tmp_path)
    with pytest.raises(UserError, match=r"nowhere\.csv does not exist"):
        image_folder.prepare(_config(captioned, captions="nowhere.csv"), tmp_path)
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no picture"):
        image_folder.prepare(_config(empty), tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        image_folder.prepare(_config(tmp_path / "absent"), tmp_path)

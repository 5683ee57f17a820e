"""What users get wrong with pictures, through the command line: one sentence and exit code 1, or
left out with the reason.
"""

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from pipeline.runtime.files import write_json
from pipeline.storage.manifest import read_manifest
from stages.__main__ import main
from tests.helpers.checkout import preset, shrink
from tests.helpers.house import run, write_params

LONG = "a bird " * 60  # 122 tokens


def refusal(*words):
    """The one sentence with which a command ends; a string as exit code is what Python prints
    before it exits with 1.
    """
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["cdcd", *words])
        main()
    assert isinstance(end.value.code, str), "the command should have been refused"
    assert end.value.code.startswith("Error: ")
    assert "\n" not in end.value.code
    return end.value.code.removeprefix("Error: ")


def settings(place, dataset, donor, **download):
    """Writes params.yaml with one data set, whose task and stages are those of an embedded one, at
    the smallest size.
    """
    section = preset(dataset, media_root=place / "mine", **download)
    section |= {key: value for key, value in preset(donor).items() if key != "download"}
    shrink(section)
    write_params(place, {"datasets": [dataset], "contrast": "sample_inter", dataset: section})
    return section


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with a folder for pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    (tmp_path / "mine").mkdir()
    return tmp_path


def _paint(path, number=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (40, 30 + number, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _told(place, captions):
    """Pictures 0.jpg, 1.jpg ... with these captions."""
    for number in range(len(captions)):
        _paint(place / "mine" / f"{number}.jpg", number)
    lines = [f"{number}.jpg\t{caption}\n" for number, caption in enumerate(captions)]
    (place / "mine" / "captions.txt").write_text("".join(lines))
    return settings(place, "image_folder", "toy_shapes", captions="captions.txt")


def _sorted(place, **counts):
    """So many pictures in each class folder."""
    for label, count in counts.items():
        for number in range(count):
            _paint(place / "mine" / label / f"{number}.png", number)
    settings(place, "image_folder", "digits")


def _skipped(place, dataset="image_folder"):
    with open(place / "data" / dataset / "raw" / "skipped.csv", newline="") as handle:
        return {line["file"]: line["reason"] for line in csv.DictReader(handle)}


def test_unreadable_pictures_are_left_out_and_the_others_unharmed(place):
    _sorted(place, a=4, b=4)
    (place / "mine" / "a" / "page.jpg").write_text("<html>not found</html>")
    whole = (place / "mine" / "b" / "0.png").read_bytes()
    (place / "mine" / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    said = run("download", "image_folder")
    assert set(_skipped(place)) == {"a/page.jpg", "b/cut.png"}
    assert all("cannot be read as an image" in reason for reason in _skipped(place).values())
    assert "image_folder: left out: a/page.jpg: is unusable:" in said
    assert len(read_manifest(place / "data" / "image_folder" / "raw" / "manifest.csv").clips) == 8


def test_a_picture_that_breaks_after_the_download_is_named(place):
    _sorted(place, a=4, b=4)
    run("download", "image_folder")
    (place / "mine" / "b" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "mine/b/2.png cannot be read as an image" in refusal("codec", "image_folder")
    assert "mine/b/2.png cannot be read as an image" in refusal("judge", "image_folder")


def test_a_class_with_one_picture_is_left_out_and_the_others_unharmed(place):
    _sorted(place, a=4, b=4, lonely=1)
    said = run("download", "image_folder")
    (reason,) = [reason for file, reason in _skipped(place).items() if file == "lonely/0.png"]
    assert reason.startswith(
        "is the only usable picture of class 'lonely', and splitting needs one to train on and"
    )
    assert reason in said
    assert {
        clip.label
        for clip in read_manifest(place / "data" / "image_folder" / "raw" / "manifest.csv").clips
    } == {"a", "b"}


def test_too_few_classes_are_refused(place):
    _sorted(place, a=4, lonely=1)
    sentence = refusal("download", "image_folder")
    assert (
        "has one class with two or more usable pictures, 'a'; inter negatives, the judge and the"
        " shuffled" in sentence
    )
    assert (
        "The first left out: lonely/0.png is the only usable picture of class 'lonely'" in sentence
    )


def test_no_class_with_two_pictures_is_refused(place):
    _sorted(place, a=1, b=1)
    assert "has 0 usable pictures; at least one to train on and one to test are needed" in refusal(
        "download", "image_folder"
    )


def test_captions_of_other_pictures_are_refused(place):
    _told(place, ["a bird", "a cat", "a dog", "a cow"])
    (place / "mine" / "captions.txt").write_text("image_0001\ta bird\nimage_0002\ta cat\n")
    sentence = refusal("download", "image_folder")
    assert (
        "captions.txt: 2 captions name no picture of the folder, the first is 'image_0001'"
        in sentence
    )
    assert "'0.jpg'" in sentence
    assert not (place / "data" / "image_folder" / "raw" / "manifest.csv").exists()


def _scenes(place, captions, of=lambda number: number):
    """Pictures with these captions in COCO's layout, in both splits; caption k is said to be of
    picture of(k).
    """
    for split, first in (("train2017", 0), ("val2017", 100)):
        numbers = range(first, first + len(captions))
        for number in numbers:
            _paint(place / "mine" / split / f"{number}.jpg", number)
        images = [{"id": number, "file_name": f"{number}.jpg"} for number in numbers]
        told = [
            {"id": n, "image_id": of(n), "caption": caption}
            for n, caption in zip(numbers, captions)
        ]
        write_json(
            place / "mine" / "annotations" / f"captions_{split}.json",
            {"images": images, "annotations": told},
        )
    settings(place, "coco", "toy_shapes", year=2017)


def test_coco_captions_of_unknown_pictures_are_refused(place):
    _scenes(place, ["a bird", "a cat"], of=lambda number: number + 7)
    assert "captions_train2017.json: caption 0 is of picture 7, which is not listed" in refusal(
        "download", "coco"
    )


def test_captions_over_77_tokens_are_refused_where_their_owner_can_shorten_them(place):
    _told(place, ["a bird", "a cat", LONG, "a cow"])
    sentence = refusal("download", "image_folder")
    assert sentence.endswith(
        "the caption of 2.jpg has 122 tokens, but CLIP reads 77; shorten it to about 50 words."
    )


def test_captions_over_77_tokens_of_a_published_set_are_cut_with_a_word(place):
    _scenes(place, ["a bird", LONG, "a cow"])
    run("download", "coco")
    said = run("extract", "coco")
    assert "captions of 6 pictures, up to 77 of CLIP's 77 tokens; 2 longer ones were cut." in said


def test_captions_that_the_learned_text_encoder_cannot_hold_are_refused_before_training(place):
    section = _told(
        place,
        ["a bird", "a cat", "a cow", "a small yellow bird with a long beak and two black wings"],
    )
    section["train"]["model"]["text"]["length"] = 8
    section["negatives"].update(n_intra=1, n_inter=1)
    section["train"]["contrast"]["negatives_per_step"] = None
    write_params(
        place, {"datasets": ["image_folder"], "contrast": "sample_inter", "image_folder": section}
    )
    for stage in ("download", "extract", "codec", "tokenize", "negatives"):
        run(stage, "image_folder")
    assert "train.model.text.length is 8, but a caption has 14 tokens; set it to 14." in refusal(
        "train", "image_folder"
    )

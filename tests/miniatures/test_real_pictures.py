"""Real birds, scenes and things, grey ones and odd sizes among them, from `download` to the
report.
"""

import csv
from pathlib import Path

import pytest
from PIL import Image

from pipeline.runtime.files import read_json
from pipeline.storage.manifest import read_manifest
from tests.helpers.checkout import inside, preset, run_stages, shrink, without_published_weights
from tests.helpers.house import run

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not SHARED.exists(), reason=f"the real files are not beside the checkout ({SHARED})"
)


def _birds() -> dict:
    """Nine photographs of birds with ten captions each, as published."""
    return _learned(
        preset("cub200", media_root=SHARED / "cub200" / "mini", validation_images=1), "toy_shapes"
    )


def _scenes(root: Path) -> dict:
    """The scenes whose pictures are there, with their captions under the published names."""
    real, told = SHARED / "mscoco", root / "annotations"
    told.mkdir(parents=True)
    for part in ("train2017", "val2017"):
        (root / part).symlink_to(real / part)
        (told / f"captions_{part}.json").symlink_to(
            real / "annotations" / f"mini_captions_{part}.json"
        )
    return _learned(preset("coco", media_root=root, year=2017, validation_images=4), "toy_shapes")


def _things(root: Path) -> dict:
    """Fifty things; there is one of each class, so the test split is the same pictures under other
    names.
    """
    root.mkdir()
    for name in ("train", "imagenet_class_index.json"):
        (root / name).symlink_to(SHARED / "imagenet" / name)
    for number, picture in enumerate(sorted((SHARED / "imagenet" / "train").glob("*/*"))):
        copy = root / "val" / picture.parent.name / f"ILSVRC2012_val_{number:08d}{picture.suffix}"
        copy.parent.mkdir(parents=True)
        copy.symlink_to(picture)
    return _learned(preset("imagenet", media_root=root), "digits")


def _learned(section: dict, donor: str) -> dict:
    """The section without published weights; captions may be as long as CLIP reads them."""
    without_published_weights(section, donor)
    if section["task"] == "caption":
        section["train"]["model"]["text"]["length"] = 77
    return section


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder in which every stage of the four data sets has run once, and the report over all."""
    folder = tmp_path_factory.mktemp("house")
    crops = preset("image_folder", media_root=SHARED / "cub200" / "bbox_crops_227")
    sections = {
        "cub200": _birds(),
        "coco": _scenes(folder / "scenes"),
        "imagenet": _things(folder / "things"),
    }
    sections["image_folder"] = crops
    for section in sections.values():
        shrink(section)
        section["sample"]["limit"] = 6
    run_stages(folder, **sections)
    with inside(folder):
        run("report")
    return folder


@pytest.mark.parametrize(
    ("dataset", "counts", "metric"),
    [
        ("cub200", (5, 1, 3), "r_precision"),
        ("coco", (20, 4, 24), "r_precision"),
        ("imagenet", (50, 0, 50), "top1_accuracy"),
        ("image_folder", (200, 20, 20), "top1_accuracy"),
    ],
)
def test_real_pictures_go_through_every_stage(house, dataset, counts, metric):
    manifest = read_manifest(house / "data" / dataset / "raw" / "manifest.csv")
    assert tuple(len(manifest.of(split)) for split in ("train", "val", "test")) == counts
    with open(house / "reports" / "metrics" / dataset / "table.csv", newline="") as handle:
        lines = {
            (line["row"], line["metric"], line["protocol"]): line for line in csv.DictReader(handle)
        }
    for row in (
        "ground_truth",
        "reconstruction",
        "model",
        "model_shuffled",
        "nearest_neighbour",
        "mean_image",
    ):
        assert 0 <= float(lines[row, metric, "judge"]["mean"]) <= 100
        assert float(lines[row, "fid", "judge, train"]["mean"]) >= 0
    assert ("model", "fid", "judge, test") in lines
    remarks = read_json(house / "reports" / "metrics" / dataset / "remarks.json")
    assert remarks["fid_references"] == {"test": counts[2], "train": counts[0]}


def test_grey_and_odd_sizes_are_among_them(house):
    manifest = read_manifest(house / "data" / "imagenet" / "raw" / "manifest.csv", house / "things")
    opened = [Image.open(manifest.file(clip)) for clip in manifest.clips]
    assert "L" in {picture.mode for picture in opened}
    assert len({picture.size for picture in opened}) > 10


def test_the_report_names_judge_references_and_published_rows(house):
    text = (house / "reports" / "README.md").read_text()
    assert "judged by: an image-text matcher trained here on 20 real training pictures; " in text
    assert "judged by: a classifier trained here on 50 real training pictures; " in text
    assert (
        "6 pictures of each sampling seed with 24 real test pictures and, apart, with 20 real"
        " training pictures" in text
    )
    assert "| FID (judge trained here, to test) ↓ | FID (judge trained here, to train) ↓ |" in text
    assert "CDCD" in text
    assert "\n.\n" not in text
    assert "Protocol judge" not in text

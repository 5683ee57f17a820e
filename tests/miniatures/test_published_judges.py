"""The published judges through stages judge, evaluate and report, on random weights in the
published layouts.
"""

import csv
import warnings

import clip
import numpy as np
import pytest
import torch
from clip.model import CLIP
from PIL import Image
from torchvision.models import resnet101
from typer.testing import CliRunner

from pipeline.datasets.imagenet import class_numbers
from pipeline.metrics import clip_score
from pipeline.metrics.fid import FidInception
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import read_json, sha256_file, write_json
from stages.__main__ import app
from tests.helpers.checkout import inside, preset, run_stages, shrink
from tests.helpers.house import run

CLASSES = {
    "0": ["n01440764", "tench"],
    "1": ["n01443537", "goldfish"],
    "2": ["n01484850", "great_white_shark"],
}


def _paint(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((50, 40)).save(path)


def _write_clip(path):
    """A small CLIP as TorchScript, as OpenAI publishes it; its digest."""
    model = CLIP(16, 64, 1, 64, 32, 77, 49408, 64, 1, 1).eval()
    example = torch.zeros(1, 3, 64, 64), clip.tokenize(["a bird"])
    with warnings.catch_warnings(action="ignore", category=torch.jit.TracerWarning):
        torch.jit.save(torch.jit.trace(model, example, check_trace=False), path)
    return sha256_file(path)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Captions judged by Inception and CLIP, ImageNet's classes by Inception and ResNet-101, all
    with random weights.
    """
    folder = tmp_path_factory.mktemp("house")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(FidInception().network.state_dict(), folder / "inception.pth")
        torch.save(resnet101(weights=None).state_dict(), folder / "resnet101.pth")
        digest = _write_clip(folder / "ViT-B-32.pt")
    for number in range(7):
        _paint(folder / "told" / f"{number}.png", number)
    lines = [f"{number}.png\tpicture number {number}\n" for number in range(7)]
    (folder / "told" / "captions.txt").write_text("".join(lines))
    for number in range(9):
        split, label = "train" if number < 6 else "val", CLASSES[str(number % 3)][0]
        _paint(folder / "things" / split / label / f"{label}_{number}.JPEG", number)
    write_json(folder / "things" / "imagenet_class_index.json", CLASSES)

    told = _section(
        "image_folder",
        "toy_shapes",
        media_root=folder / "told",
        captions="captions.txt",
        val=0.1,
        test=0.4,
    )
    things = _section("imagenet", "digits", media_root=folder / "things")
    things["evaluate"]["references"] = ["train"]
    published = {
        "kind": "published",
        "inception": str(folder / "inception.pth"),
        "clip": None,
        "resnet101": None,
    }
    told["judge"] = {**published, "clip": str(folder / "ViT-B-32.pt")}
    things["judge"] = {**published, "resnet101": str(folder / "resnet101.pth")}
    whole = FidInception.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_score, "VIT_B_32", digest)
        # The network runs whole; of its 2048 features the first 16 are enough here, for each
        # distance of all takes seconds.
        patch.setattr(FidInception, "forward", lambda self, images: whole(self, images)[:, :16])
        run_stages(folder, image_folder=told, imagenet=things)
        with inside(folder):
            run("report")
            yield folder


def _section(dataset, donor, **download):
    """A data set with the task, and everything that is learned here, of an embedded one, and one
    set of samples.
    """
    section = preset(dataset, **download)
    section |= {key: value for key, value in preset(donor).items() if key != "download"}
    shrink(section)
    section["sample"]["seeds"] = [0]
    section["evaluate"]["exact_shapes"] = False
    return section


def _table(folder, dataset):
    with open(folder / "reports" / "metrics" / dataset / "table.csv", newline="") as handle:
        return {
            (line["row"], line["metric"], line["protocol"]): float(line["mean"])
            for line in csv.DictReader(handle)
        }


def test_captions_are_judged_by_clip_and_inception(house):
    table = _table(house, "image_folder")
    for row in ("ground_truth", "reconstruction", "model", "model_shuffled", "shuffled_pairs"):
        assert 0 <= table[row, "clip_score", "vit_b32"] <= 250
        assert 0 <= table[row, "r_precision", "vit_b32"] <= 100
        assert table[row, "fid", "inception, train"] > 0
    assert table["reconstruction", "fid", "inception, test"] > 0
    assert ("ground_truth", "fid", "inception, test") not in table, "the reference itself"
    assert not any(metric.startswith("top") for _, metric, _ in table)


def test_classes_are_judged_by_resnet_in_the_published_numbers(house):
    table = _table(house, "imagenet")
    for row in ("ground_truth", "reconstruction", "model"):
        assert (
            0
            <= table[row, "top1_accuracy", "resnet101"]
            <= table[row, "top5_accuracy", "resnet101"]
            <= 100
        )
    facts = read_json(house / "data" / "imagenet" / "judge" / "judge.json")
    assert (
        facts["classes"]
        == {"n01440764": 0, "n01443537": 1, "n01484850": 2}
        == class_numbers(house / "things")
    )


def test_the_report_says_which_published_networks_judged(house):
    text = (house / "reports" / "README.md").read_text()
    assert (
        "the FID Inception of 2015-12-05 (published; sha256"
        f" {sha256_file(house / 'inception.pth')[:8]})" in text
    )
    assert "CLIP ViT-B/32 (published; sha256 " in text
    assert "torchvision's ResNet-101 (published; sha256 " in text
    assert 'captions behind the prefix "A photo depicts"' in text
    assert "| CLIPScore (CLIP ViT-B/32) ↑ | R-precision (CLIP ViT-B/32) ↑ |" in text
    assert "| Top-1 accuracy (ResNet-101) ↑ | Top-5 accuracy (ResNet-101) ↑ |" in text
    assert "| FID (Inception, to test) ↓ | FID (Inception, to train) ↓ |" in text


def test_weights_that_changed_since_are_refused(house):
    path = house / "resnet101.pth"
    kept = path.read_bytes()
    try:
        path.write_bytes(b"<html>moved</html>")
        with pytest.raises(
            UserError, match=r"resnet101\.pth is gone or changed since `cdcd judge` read it"
        ):
            CliRunner().invoke(app, ["evaluate", "imagenet"], catch_exceptions=False)
        with pytest.raises(UserError, match=r"resnet101\.pth"):
            CliRunner().invoke(app, ["judge", "imagenet"], catch_exceptions=False)
    finally:
        path.write_bytes(kept)

"""Judges trained on real pictures: they learn, say how well, come out the same twice, and read
damaged files as a sentence.
"""

import json

import pytest
import torch

from pipeline.datasets import digits, toy_shapes
from pipeline.media.content import Images
from pipeline.metrics import judges
from pipeline.metrics.judge_networks import Matcher, vocabulary_of
from pipeline.metrics.judge_training import TrainedJudge
from pipeline.metrics.published_judge import imagenet_numbers
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import read_json
from pipeline.runtime.scratch import fingerprint
from pipeline.storage.manifest import read_manifest

LABELS = TrainedJudge(
    kind="trained",
    reads="labels",
    image_size=16,
    width=8,
    steps=120,
    batch_size=64,
    learning_rate=5e-3,
    pictures=600,
    seed=0,
)
CAPTIONS = LABELS.model_copy(
    update={"reads": "captions", "steps": 40, "batch_size": 32, "pictures": 100}
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """The digits."""
    raw = tmp_path_factory.mktemp("digits")
    digits.prepare(digits.Digits(image_size=16, val=100, test=100, seed=0), raw)
    return raw


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A few scenes."""
    raw = tmp_path_factory.mktemp("shapes")
    toy_shapes.prepare(
        toy_shapes.ToyShapes(image_size=32, train=100, val=20, test=20, held_out=0.2, seed=0), raw
    )
    return raw


def test_a_classifier_learns_digits_and_says_how_well(scans, tmp_path):
    manifest = read_manifest(scans / "manifest.csv")
    facts = judges.build_judge(LABELS, manifest, scans, tmp_path / "judge")
    assert facts["trained_on"] == 600
    assert facts["held_out"]["test"]["pictures"] == 100
    assert facts["held_out"]["test"]["top1_accuracy"] > 85
    judge = judges.load_judge(tmp_path / "judge")
    rows = manifest.of("test")
    images = Images(manifest, 16).read(rows)
    right = judge.logits(images).argmax(1) == torch.tensor(
        [judge.classes[manifest.clips[row].label] for row in rows]
    )
    assert 100 * right.double().mean() == pytest.approx(facts["held_out"]["test"]["top1_accuracy"])
    assert judge.features(images).shape == (100, 64)
    assert judge.embed_images is None
    assert judge.features(images.repeat_interleave(2, 2).repeat_interleave(2, 3)).shape == (
        100,
        64,
    ), "other sizes are resized"
    judges.build_judge(LABELS, manifest, scans, tmp_path / "again")
    assert fingerprint(tmp_path / "again") == fingerprint(tmp_path / "judge")


def test_only_training_pictures_train_the_judge(scans, tmp_path):
    """Whatever the other splits hold, the weights are the same."""
    manifest = read_manifest(scans / "manifest.csv")
    short = LABELS.model_copy(update={"steps": 3})
    kept = type(manifest)(
        tuple(clip for clip in manifest.clips if clip.split == "train"), manifest.root
    )
    judges.build_judge(short, manifest, scans, tmp_path / "all")
    facts = judges.build_judge(short, kept, scans, tmp_path / "train")
    assert facts["held_out"] == {}
    assert (tmp_path / "all" / judges.WEIGHTS).read_bytes() == (
        tmp_path / "train" / judges.WEIGHTS
    ).read_bytes()


def test_a_matcher_brings_pictures_and_captions_together(scenes, tmp_path):
    manifest = read_manifest(scenes / "manifest.csv")
    facts = judges.build_judge(CAPTIONS, manifest, scenes, tmp_path / "judge")
    assert set(facts["held_out"]) == {"val", "test"}
    assert "circle" in facts["vocabulary"]
    judge = judges.load_judge(tmp_path / "judge")
    told = judge.embed_captions(
        ["a large red circle", "a large red circle", "something unheard of", ""]
    )
    assert torch.allclose(told.norm(dim=1), torch.ones(4), atol=1e-5)
    assert torch.equal(told[0], told[1])
    images = Images(manifest, 32).read(manifest.of("val"))
    assert torch.allclose(judge.embed_images(images).norm(dim=1), torch.ones(20), atol=1e-5)
    assert judge.logits is None


def test_a_matcher_overfits_four_pairs():
    """Word order must be readable: two pairs differ in nothing else."""
    captions = ["red left of blue", "blue left of red", "red above blue", "blue above red"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, images = Matcher(16, 8, vocabulary_of(captions)), torch.rand(4, 3, 16, 16)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        network.loss(images, network.tokens(captions)).backward()
        optimiser.step()
    found = (network.embed_images(images) @ network.embed_captions(captions).T).argmax(1)
    assert found.tolist() == [0, 1, 2, 3]
    longer = network.embed_tokens(network.tokens([captions[0], "red " * 30]))[0]
    assert torch.allclose(longer, network.embed_captions(captions[:1])[0], atol=1e-5), (
        "padding must not be read"
    )


def test_what_is_wrong_is_one_sentence(scans, scenes, tmp_path):
    with pytest.raises(UserError, match="do not have labels"):
        judges.build_judge(
            LABELS, read_manifest(scenes / "manifest.csv"), scenes, tmp_path / "judge"
        )
    with pytest.raises(UserError, match="no caption_file"):
        judges.build_judge(
            CAPTIONS, read_manifest(scans / "manifest.csv"), scans, tmp_path / "judge"
        )
    assert not (tmp_path / "judge").exists()
    with pytest.raises(UserError, match="does not exist"):
        judges.load_judge(tmp_path / "judge")
    absent = judges.PublishedJudge(
        kind="published", inception=str(tmp_path / "inception.pth"), clip=None, resnet101=None
    )
    with pytest.raises(UserError, match=r"inception\.pth does not exist"):
        judges.build_judge(absent, read_manifest(scans / "manifest.csv"), scans, tmp_path / "judge")


def test_damaged_and_foreign_weights_are_refused(scans, tmp_path):
    manifest = read_manifest(scans / "manifest.csv")
    judges.build_judge(LABELS.model_copy(update={"steps": 1}), manifest, scans, tmp_path / "judge")
    facts = read_json(tmp_path / "judge" / judges.DESCRIPTION)
    facts["config"]["width"] = 16
    (tmp_path / "judge" / judges.DESCRIPTION).write_text(json.dumps(facts))
    with pytest.raises(UserError, match="does not fit"):
        judges.load_judge(tmp_path / "judge")
    (tmp_path / "judge" / judges.WEIGHTS).write_bytes(b"<html>not weights</html>")
    with pytest.raises(UserError):
        judges.load_judge(tmp_path / "judge")


def test_published_judges_are_checked_by_digest(scans, tmp_path):
    from pipeline.metrics.fid import FidInception

    torch.save(FidInception().network.state_dict(), tmp_path / "inception.pth")
    config = judges.PublishedJudge(
        kind="published", inception=str(tmp_path / "inception.pth"), clip=None, resnet101=None
    )
    manifest = read_manifest(scans / "manifest.csv")
    judges.build_judge(config, manifest, scans, tmp_path / "judge")
    judge = judges.load_judge(tmp_path / "judge")
    assert judge.features_name == "inception"
    assert judge.features(Images(manifest, 16).read([0, 1])).shape == (2, 2048)
    assert judge.logits is None
    torch.save({"changed": torch.ones(1)}, tmp_path / "inception.pth")
    with pytest.raises(UserError, match="gone or changed"):
        judges.load_judge(tmp_path / "judge")


def test_imagenet_numbers_come_from_the_table_or_the_names(tmp_path):
    assert imagenet_numbers({"goldfish", "great_white_shark"}, tmp_path / "classes.json") == {
        "goldfish": 1,
        "great_white_shark": 2,
    }
    (tmp_path / "classes.json").write_text(json.dumps({"n01440764": 0, "n01443537": 1}))
    assert imagenet_numbers({"n01443537"}, tmp_path / "classes.json") == {"n01443537": 1}
    with pytest.raises(UserError, match="'bird' is none"):
        imagenet_numbers({"bird"}, tmp_path / "classes.json")

"""Published denoisers go from their checkpoint file to an evaluated sample, in a data set whose
section names one; and they are the start of a training.
"""

from pathlib import Path

import pytest
import torch

from pipeline.model.network import load_model
from pipeline.model.released import load_network, load_released
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import read_json, write_json
from tests.helpers.checkout import (
    finished,
    inside,
    jukebox,
    preset,
    run_stages,
    shrink,
    stand_in,
    without_published_weights,
)
from tests.helpers.house import run
from tests.helpers.released_files import dance_checkpoint
from tests.miniatures.sets import write_imagenet, write_tiktok
from tests.miniatures.test_tiktok import tiktok_preset

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures"


@pytest.fixture
def of_classes(tmp_path):
    """ImageNet in small with the fixtures' VQ-GAN and class denoiser, each as a checkpoint file."""
    if not FIXTURES.exists():
        pytest.skip(f"the fixtures are not beside the checkout ({FIXTURES})")
    write_imagenet(tmp_path / "imagenet")
    imagenet = preset("imagenet", media_root=tmp_path / "imagenet")
    without_published_weights(imagenet, "digits")
    shrink(imagenet)
    imagenet["negatives"]["intra"] = "tokens"
    denoiser = torch.load(FIXTURES / "denoiser_class.pt", weights_only=True)
    codec = torch.load(FIXTURES / "vqgan_f8_gumbel.pt", weights_only=True)
    torch.save({"model": denoiser["state_dict"]}, tmp_path / "denoiser.pth")
    torch.save({"state_dict": codec["state_dict"]}, tmp_path / "codec.pth")
    torch.save(torch.arange(512).clamp_max(60), tmp_path / "used.pt")
    write_json(tmp_path / "codec.yaml", codec["config"])
    write_json(tmp_path / "denoiser.yaml", {"heads": 4, "grid": [8, 8], "steps": 25})
    imagenet["media"]["image_size"] = 64
    imagenet["codec"] = {
        "weights": str(tmp_path / "codec.pth"),
        "config": str(tmp_path / "codec.yaml"),
        "used_codes": str(tmp_path / "used.pt"),
    }
    imagenet["train"]["released"] = {
        "weights": str(tmp_path / "denoiser.pth"),
        "config": str(tmp_path / "denoiser.yaml"),
    }
    return imagenet


def test_the_fixtures_class_model_is_evaluated(of_classes, tmp_path):
    run_stages(tmp_path, imagenet=of_classes)
    finished(tmp_path, "imagenet", {"fid", "top1_accuracy", "copied"})
    root = tmp_path / "data" / "imagenet"
    published = load_released(tmp_path / "denoiser.pth", {"heads": 4, "grid": (8, 8)})
    adopted = load_network(root / "model" / "model.safetensors")
    x_t, t, labels = torch.full((1, 64), 61), torch.tensor([9]), torch.tensor([1])
    logits = (network.logits(x_t, t, labels) for network in (published, adopted))
    torch.testing.assert_close(*logits)
    about = read_json(root / "model" / "about.json")
    assert about["released"] == str(tmp_path / "denoiser.pth")
    with inside(tmp_path):
        run("generate", "--label", "1", "--model", "imagenet", "--steps", "4")
        with pytest.raises(UserError, match="cannot be exported"):
            run("export", "imagenet", "--out", "hub", "--licence", "research")
    assert (tmp_path / "generated" / "1.png").exists()


def test_a_training_starts_from_it(of_classes, tmp_path):
    train = of_classes["train"]
    del train["released"]
    state = torch.load(tmp_path / "denoiser.pth", weights_only=True)["model"]
    few = {name: value[:3] if "ln2.emb" in name else value for name, value in state.items()}
    torch.save({"model": few}, tmp_path / "denoiser.pth")  # of its classes the miniature's three
    train["init"] = str(tmp_path / "denoiser.pth")
    sizes = {"layers": 2, "width": 64, "heads": 4, "feed_forward": "conv", "factor": 2}
    train["model"]["denoiser"] |= sizes
    train |= {"diffusion_steps": 25, "steps": 1}
    train["optimiser"] |= {"learning_rate": 1e-9, "warmup_from": 1e-9, "warmup_steps": 0}
    run_stages(
        tmp_path, ("download", "extract", "codec", "tokenize", "negatives"), imagenet=of_classes
    )
    with inside(tmp_path):
        run("train", "imagenet")
    trained = load_model(tmp_path / "data" / "imagenet" / "model" / "model.safetensors")
    published = load_released(tmp_path / "denoiser.pth", {"heads": 4, "grid": (8, 8)})
    ours, theirs = trained.denoiser.state_dict(), published.denoiser.state_dict()
    for name, tensor in theirs.items():
        if "positions" not in name:
            torch.testing.assert_close(ours[name][: len(tensor)], tensor, atol=1e-5, rtol=1e-4)


def test_the_authors_dance_model_is_evaluated(tmp_path):
    """A checkpoint in their layout, on their features, with the codec at its published layout."""
    write_tiktok(tmp_path / "tiktok", clips=2)
    tiktok = tiktok_preset(tmp_path / "tiktok")
    tiktok["judge"] = {"embedding": "mfcc", "weights": None}
    shrink(tiktok)
    sizes = {"frames": 60, "codes": 16, "length": 344, "visual": 2048}
    torch.save(dance_checkpoint("tiktok", **sizes), tmp_path / "tiktok.pth")
    write_json(tmp_path / "tiktok.yaml", {"heads": 4})
    tiktok["train"]["released"] = {
        "weights": str(tmp_path / "tiktok.pth"),
        "config": str(tmp_path / "tiktok.yaml"),
    }
    stand_in(tmp_path, "jukebox", jukebox)
    run_stages(tmp_path, tiktok=tiktok)
    finished(tmp_path, "tiktok", {"beats_coverage", "beats_hit", "kad", "copied"})


def test_a_denoiser_of_other_codes_is_told(of_classes, tmp_path):
    torch.save(torch.arange(512).clamp_max(40), tmp_path / "used.pt")
    stages = ("download", "extract", "codec", "tokenize", "negatives")
    run_stages(tmp_path, stages, imagenet=of_classes)
    with inside(tmp_path), pytest.raises(UserError, match="draws 61 codes, and those of imagenet"):
        run("train", "imagenet")
    assert not (tmp_path / "data" / "imagenet" / "model").exists()

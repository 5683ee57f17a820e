"""The figures of pictures against closed forms, the libraries that define them, and hand-worked
examples.
"""

import clip
import numpy as np
import pytest
import torch
from clip.model import CLIP
from PIL import Image
from scipy.linalg import sqrtm
from torch import nn
from torchmetrics.functional import accuracy
from torchmetrics.image.fid import FrechetInceptionDistance
from torchvision.models import resnet101
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from pipeline.metrics import clip_score
from pipeline.metrics.accuracy import ImageNetClassifier, top_k_hits
from pipeline.metrics.fid import FidInception, Moments, Reference, joined, kept_features
from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import numpy_generator


def _normal(seed, rows, columns, shift=0.0):
    mix = torch.randn(columns, columns, generator=torch.Generator().manual_seed(9)).double()
    return (
        torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).double() @ mix
        + shift
    )


def test_frechet_distance_is_the_closed_form_whatever_the_batches():
    real, fake = _normal(0, 300, 6), _normal(1, 200, 6, shift=0.5)
    means = real.mean(0) - fake.mean(0)
    first, second = np.cov(real.numpy().T), np.cov(fake.numpy().T)
    expected = float(means @ means) + np.trace(first + second - 2 * sqrtm(first @ second).real)
    reference = Reference(real.split(64))
    assert reference.count == 300
    assert reference.distance(fake) == pytest.approx(expected, rel=1e-6)
    assert reference.distance(fake) == pytest.approx(expected, rel=1e-6), (
        "a second call must not see the first one's pictures"
    )
    assert reference.distance(real) == pytest.approx(0, abs=1e-6)
    assert np.isnan(reference.distance(fake[:1]))


def test_of_many_features_only_moments_are_kept_and_the_distance_is_the_same(monkeypatch):
    real, fake = _normal(0, 300, 6), _normal(1, 200, 6, shift=0.5)
    expected = Reference(real.split(64)).distance(fake)
    monkeypatch.setattr("pipeline.metrics.fid.FID_FEATURES", 5)
    monkeypatch.setattr("pipeline.metrics.fid._SUMMED_AT_ONCE", 70)
    reference = Reference(iter(real.split(64)))
    kept = kept_features(iter(fake.split(30)))
    assert isinstance(kept, Moments)
    assert (len(kept), kept.width) == (200, 6)
    assert reference.distance(kept) == pytest.approx(expected, rel=1e-9)
    assert reference.distance(kept) == pytest.approx(expected, rel=1e-9)
    halves = [kept_features(part.split(30)) for part in (fake[:90], fake[90:])]
    assert reference.distance(joined(*halves)) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_agrees_with_torchmetrics_on_pictures():
    class Pool(nn.Module):
        num_features = 12

        def forward(self, images):
            return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)

    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.rand(40, 3, 8, 8, generator=generator) ** power for power in (1, 2))
    metric = FrechetInceptionDistance(Pool(), normalize=True)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert Reference([Pool()(real)]).distance(Pool()(fake)) == pytest.approx(
        float(metric.compute()), rel=1e-4
    )


def test_inception_pools_as_the_published_network_does():
    """Averages that leave the padding out, and a maximum in the last block: checked on constant and
    on single-peak maps.
    """
    from pipeline.metrics import fid

    assert torch.allclose(fid._average(torch.ones(1, 1, 5, 5)), torch.ones(1, 1, 5, 5))
    model = FidInception()
    pooled = {}
    model.network.Mixed_7b.branch_pool.register_forward_hook(
        lambda _, x, __: pooled.update(average=x[0])
    )
    model.network.Mixed_7c.branch_pool.register_forward_hook(
        lambda _, x, __: pooled.update(maximum=x[0])
    )
    inputs = {}
    model.network.Mixed_7b.register_forward_pre_hook(lambda _, x: inputs.update(average=x[0]))
    images = torch.rand(1, 3, 40, 30, generator=torch.Generator().manual_seed(0))
    features = model(images)
    assert features.shape == (1, 2048)
    assert features.isfinite().all()
    assert pooled["maximum"].shape == (1, 2048, 8, 8)
    assert pooled["average"].shape == (1, 1280, 8, 8)
    nearby = torch.stack(
        [pooled["maximum"].roll((dy, dx), (2, 3)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    )
    assert (nearby.max(0).values >= pooled["maximum"] - 1e-6).all()
    assert torch.equal(model((images * 255).round() / 255), features), (
        "pictures are rounded to 8 bits first"
    )


def test_inception_weights_that_do_not_fit_are_one_sentence(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth is not the FID Inception"):
        FidInception.load(tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not exist"):
        FidInception.load(tmp_path / "absent.pth")


def _tiny_clip():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CLIP(16, 32, 2, 64, 16, 77, 49408, 32, 2, 2).eval()


def test_clip_score_is_250_times_the_cosine_of_clips_own_pipeline():
    model = _tiny_clip()
    pixels = numpy_generator(0, "pictures").integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    captions = ["a small bird", "two dogs on a beach", "a red square"]
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    ours = clip_score.clip_scores(
        clip_score.embed_images(model, images), clip_score.embed_captions(model, captions)
    )
    prepare = Compose([Resize(32), ToTensor(), Normalize(clip_score._MEAN, clip_score._STD)])
    with torch.no_grad():
        seen = model.encode_image(
            torch.stack([prepare(Image.fromarray(picture)) for picture in pixels])
        )
        told = model.encode_text(
            clip.tokenize(["A photo depicts " + caption for caption in captions])
        )
    cosines = torch.cosine_similarity(seen, told)
    assert np.allclose(ours, 250 * cosines.clamp_min(0).numpy(), atol=1e-3)
    flipped = clip_score.clip_scores(
        -clip_score.embed_images(model, images), clip_score.embed_captions(model, captions)
    )
    assert np.allclose(flipped, 250 * (-cosines).clamp_min(0).numpy(), atol=1e-3)


def test_clip_prepares_other_sizes_as_clip_does():
    model = _tiny_clip()
    picture = numpy_generator(1, "picture").integers(0, 256, (70, 45, 3)).astype(np.uint8)
    expected = clip.clip._transform(32)(Image.fromarray(picture))[None]
    seen = []
    model.encode_image = lambda images: seen.append(images) or torch.ones(len(images), 32)
    clip_score.embed_images(model, torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
    difference = (seen[0] - expected).abs()
    assert difference.max() < 0.1, "bicubic on floats against bicubic on 8 bits, rounded twice"
    assert difference.mean() < 0.01


def test_captions_over_77_tokens_are_cut_and_foreign_clip_files_refused(tmp_path):
    embedded = clip_score.embed_captions(_tiny_clip(), ["bird " * 200, "bird " * 300])
    assert torch.allclose(embedded[0], embedded[1])
    (tmp_path / "ViT-B-32.pt").write_bytes(b"<html>")
    with pytest.raises(UserError, match="is not OpenAI's"):
        clip_score.load_clip(tmp_path / "ViT-B-32.pt")


def test_r_precision_by_hand():
    vectors = torch.eye(4)
    images = vectors[[0, 1, 3, 3]]
    distractors = np.array([[1, 2], [0, 2], [0, 1], [0, 2]])
    assert clip_score.r_precision_hits(images, vectors, distractors).tolist() == [1, 1, 0, 1]
    assert clip_score.r_precision_hits(images[2:], vectors, distractors[2:], start=2).tolist() == [
        0,
        1,
    ]


def test_distractors_have_other_texts():
    captions = ["a", "a", "b", "c", "c", "c"]
    drawn = clip_score.draw_distractors(captions, numpy_generator(0, "distractors"))
    assert drawn.shape == (6, 3)
    assert all(captions[other] != captions[row] for row in range(6) for other in drawn[row])
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    with pytest.raises(UserError, match="the same one"):
        clip_score.draw_distractors(["a", "a"], numpy_generator(0, "distractors"))


@pytest.mark.parametrize("k", [1, 5])
def test_top_k_agrees_with_torchmetrics(k):
    generator = torch.Generator().manual_seed(0)
    logits, labels = (
        torch.randn(200, 12, generator=generator),
        torch.randint(12, (200,), generator=generator),
    )
    expected = accuracy(logits, labels, task="multiclass", num_classes=12, top_k=k, average="micro")
    assert top_k_hits(logits, labels, k).mean() == pytest.approx(float(expected))


def test_resnet_weights_are_torchvisions(tmp_path):
    network = resnet101(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "resnet101.pth")
    model = ImageNetClassifier.load(tmp_path / "resnet101.pth")
    images = torch.rand(1, 3, 224, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(model(images), network(model.prepare(images)), atol=1e-5)

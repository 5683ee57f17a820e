"""Training a judge for data without a published one: on real training pictures only, apart from any
model of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.datasets.captions import captions_of
from pipeline.media.content import Images
from pipeline.metrics.accuracy import top_k_hits
from pipeline.metrics.clip_score import draw_distractors, r_precision_hits
from pipeline.metrics.judge_networks import Classifier, Matcher, vocabulary_of
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Count, Rate, Section, Seed
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import derived_seed, numpy_generator, torch_generator
from pipeline.storage.manifest import Manifest
from pipeline.training.engine import Outcome, Plan, fit
from pipeline.training.optimiser import Descent

N = TypeVar("N", bound=nn.Module)

BATCH = 64
NOISE = 0.05  # standard deviation; a judge must not take a codec's texture for content


class TrainedJudge(Section):
    """A classifier of `labels` or an image-text matcher of `captions`, trained for `steps` batches.

    `pictures` caps how many training pictures (drawn from the seed) are used, and so the memory.
    """

    kind: Literal["trained"]
    reads: Literal["labels", "captions"]
    image_size: int = Field(strict=True, ge=16, le=128)
    width: int = Field(strict=True, ge=8, le=1024, multiple_of=8)
    steps: Count
    batch_size: int = Field(strict=True, ge=2, le=2**16)
    learning_rate: Rate
    pictures: int = Field(strict=True, ge=2, le=10**7)
    seed: Seed


def train_classifier(
    config: TrainedJudge, manifest: Manifest, scratch: Path | None = None
) -> tuple[Classifier, dict, list[dict]]:
    """A classifier of the manifest's labels, its classes and accuracy on the real pictures of val
    and test (percent), and the history of its training.
    """
    rows = _training_rows(config, manifest)
    numbers = {
        label: number
        for number, label in enumerate(sorted({manifest.clips[row].label or "" for row in rows}))
    }
    if "" in numbers or len(numbers) < 2:
        raise UserError(
            "judge.reads is labels, but the training pictures do not have labels of at least two"
            " classes."
        )
    network = _seeded(config, lambda: Classifier(config.image_size, config.width, len(numbers)))
    labels = torch.tensor([numbers[manifest.clips[row].label or ""] for row in rows])
    images = load_pictures(manifest, rows, config.image_size)
    history = _fit(config, network, images, lambda chosen, _: labels[chosen], scratch)
    held_out = {}
    for split in ("val", "test"):
        if known := [row for row in manifest.of(split) if manifest.clips[row].label in numbers]:
            images = load_pictures(manifest, known, config.image_size) / 255
            truth = torch.tensor([numbers[manifest.clips[row].label or ""] for row in known])
            with torch.no_grad():
                hits = top_k_hits(network(images), truth, 1)
            held_out[split] = {"top1_accuracy": 100 * float(hits.mean()), "pictures": len(known)}
    facts = {"classes": numbers, "trained_on": len(rows), "held_out": held_out}
    return network, facts, history


def train_matcher(
    config: TrainedJudge, manifest: Manifest, raw: Path, scratch: Path | None = None
) -> tuple[Matcher, dict, list[dict]]:
    """A matcher of pictures and captions, its vocabulary and R-precision on the real pictures of
    val and test (percent), and the history of its training.
    """
    rows = _training_rows(config, manifest)
    told = [captions_of(manifest.clips[row], raw) for row in rows]
    vocabulary = vocabulary_of([caption for captions in told for caption in captions])
    network = _seeded(config, lambda: Matcher(config.image_size, config.width, vocabulary))
    starts = np.cumsum([0, *map(len, told)])
    tokens = network.tokens([caption for captions in told for caption in captions])
    first, counts = (
        torch.from_numpy(starts[:-1]),
        torch.tensor([len(captions) for captions in told]),
    )

    def one_caption_each(chosen: Tensor, generator: torch.Generator) -> Tensor:
        return tokens[
            first[chosen] + (torch.rand(len(chosen), generator=generator) * counts[chosen]).long()
        ]

    images = load_pictures(manifest, rows, config.image_size)
    history = _fit(config, network, images, one_caption_each, scratch)
    held_out = {}
    for split in ("val", "test"):
        if len(known := manifest.of(split)) > 1:
            captions = [captions_of(manifest.clips[row], raw)[0] for row in known]
            distractors = draw_distractors(
                captions, numpy_generator(config.seed, "distractors", split)
            )
            with torch.no_grad():
                images = network.embed_images(
                    load_pictures(manifest, known, config.image_size) / 255
                )
                hits = r_precision_hits(images, network.embed_captions(captions), distractors)
            held_out[split] = {"r_precision": 100 * float(np.nanmean(hits)), "pictures": len(known)}
    facts = {"vocabulary": vocabulary, "trained_on": len(rows), "held_out": held_out}
    return network, facts, history


def load_pictures(manifest: Manifest, rows: list[int], image_size: int) -> Tensor:
    """The pictures of the given rows as centre crops: uint8 [n, 3, image_size, image_size]."""
    pictures = Images(manifest, image_size)
    starts = range(0, len(rows), BATCH)
    batches = (
        pictures.read(rows[start : start + BATCH]) for start in progress(starts, "reading pictures")
    )
    return torch.cat([(batch * 255).round().byte() for batch in batches])


def _training_rows(config: TrainedJudge, manifest: Manifest) -> list[int]:
    rows = manifest.of("train")
    if len(rows) < 2:
        raise UserError(
            "The judge is trained on the training split, which has fewer than two pictures."
        )
    if len(rows) <= config.pictures:
        return rows
    chosen = numpy_generator(config.seed, "judge pictures").choice(
        len(rows), config.pictures, replace=False
    )
    return [rows[number] for number in sorted(chosen)]


def _seeded(config: TrainedJudge, build: Callable[[], N]) -> N:
    """A network whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.seed, "judge"))
        return build()


Targets = Callable[
    [Tensor, torch.Generator], Tensor
]  # numbers of pictures -> what `loss` compares them with


class JudgeTask(nn.Module):
    """A judge whose forward pass is a training step."""

    def __init__(self, network: Classifier | Matcher):
        super().__init__()
        self.network = network

    def forward(self, batch: tuple[Tensor, Tensor], step: int) -> Outcome:
        """The loss of pictures and of what they are compared with."""
        return Outcome(self.network.loss(*batch))


def _fit(
    config: TrainedJudge,
    network: Classifier | Matcher,
    images: Tensor,
    targets: Targets,
    scratch: Path | None = None,
) -> list[dict]:
    """The history of a training on random batches of pictures, moved a little and with noise, over
    one learning-rate cycle; the network ends frozen, on the CPU.
    """
    size, reach = min(config.batch_size, len(images)), config.image_size // 16

    def batch_at(step: int) -> tuple[Tensor, Tensor]:
        generator = torch_generator(config.seed, "judge", step)
        chosen = torch.randint(len(images), (size,), generator=generator)
        top, left = torch.randint(2 * reach + 1, (2,), generator=generator)
        batch = F.pad(images[chosen] / 255, [reach] * 4, mode="replicate")[..., top:, left:]
        batch = batch[..., : config.image_size, : config.image_size]
        batch = batch + NOISE * torch.randn(batch.shape, generator=generator)
        return batch, targets(chosen, generator)

    plan = Plan(
        "training the judge",
        config.steps,
        size,
        Descent(config.learning_rate, "one_cycle", weight_decay=0.01, clip_norm=1.0),
        {"judge": config.model_dump(mode="json")},
        ("metrics",),
    )
    history = fit(JudgeTask(network), batch_at, plan, scratch)
    network.cpu().eval().requires_grad_(False)
    return history

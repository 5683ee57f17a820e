"""Training a judge for data without a published one: on real training pictures only, apart from any
model of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

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
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import derived_seed, numpy_generator, torch_generator
from pipeline.storage.manifest import Manifest

BATCH = 64
NOISE = 0.05  # standard deviation; a judge must not take a codec's texture for content


class TrainedJudge(Section):
    """A classifier of `labels` or an image-text matcher of `captions`, trained for `steps` batches.

    `pictures` caps how many training pictures (drawn from the seed) are used, and so the memory.
    """

    kind: Literal["trained"]
    reads: Literal["labels", "captions"]
    image_size: int = Field(ge=16, le=128)
    width: int = Field(ge=8, multiple_of=8)
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    pictures: int = Field(ge=2)
    seed: int


def train_classifier(config: TrainedJudge, manifest: Manifest) -> tuple[Classifier, dict]:
    """A classifier of the manifest's labels, and its classes and accuracy on the real pictures of
    val and test (percent).
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
    labels = torch.tensor([numbers[manifest.clips[row].label] for row in rows])
    _fit(
        config,
        network,
        load_pictures(manifest, rows, config.image_size),
        lambda chosen, _: labels[chosen],
    )
    held_out = {}
    for split in ("val", "test"):
        if known := [row for row in manifest.of(split) if manifest.clips[row].label in numbers]:
            images = load_pictures(manifest, known, config.image_size) / 255
            truth = torch.tensor([numbers[manifest.clips[row].label] for row in known])
            with torch.no_grad():
                hits = top_k_hits(network(images), truth, 1)
            held_out[split] = {"top1_accuracy": 100 * float(hits.mean()), "pictures": len(known)}
    return network, {"classes": numbers, "trained_on": len(rows), "held_out": held_out}


def train_matcher(config: TrainedJudge, manifest: Manifest, raw: Path) -> tuple[Matcher, dict]:
    """A matcher of pictures and captions, and its vocabulary and R-precision on the real pictures
    of val and test (percent).
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

    _fit(config, network, load_pictures(manifest, rows, config.image_size), one_caption_each)
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
    return network, {"vocabulary": vocabulary, "trained_on": len(rows), "held_out": held_out}


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


def _seeded(config: TrainedJudge, build: Callable[[], nn.Module]) -> nn.Module:
    """A network whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.seed, "judge"))
        return build()


Targets = Callable[
    [Tensor, torch.Generator], Tensor
]  # numbers of pictures -> what `loss` compares them with


def _fit(config: TrainedJudge, network: nn.Module, images: Tensor, targets: Targets) -> None:
    """Trains the network (AdamW, one learning-rate cycle) on random batches of pictures, moved a
    little and with noise.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps
    )
    reach = config.image_size // 16
    for step in progress(range(config.steps), "training the judge"):
        generator = torch_generator(config.seed, "judge", step)
        chosen = torch.randint(
            len(images), (min(config.batch_size, len(images)),), generator=generator
        )
        top, left = torch.randint(2 * reach + 1, (2,), generator=generator)
        batch = F.pad(images[chosen] / 255, [reach] * 4, mode="replicate")[..., top:, left:]
        batch = batch[..., : config.image_size, : config.image_size]
        batch = batch + NOISE * torch.randn(batch.shape, generator=generator)
        loss = network.loss(batch, targets(chosen, generator))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        cycle.step()
    network.eval().requires_grad_(False)

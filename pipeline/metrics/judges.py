"""Who judges pictures: published networks, or small ones trained here; made once, before and apart
from any model.

A judge folder holds judge.json, which says what judges and how well it does on held-out real
pictures, and, when it was trained here, judge.safetensors and history.csv. Published weights stay
where they are; their digests are recorded, and checked when they are read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.metrics import clip_score
from pipeline.metrics.accuracy import ImageNetClassifier
from pipeline.metrics.fid import FidInception
from pipeline.metrics.judge_networks import Classifier, Matcher
from pipeline.metrics.judge_training import TrainedJudge, train_classifier, train_matcher
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, read_json, sha256_file, write_json
from pipeline.runtime.params import Section
from pipeline.storage.manifest import Manifest
from pipeline.storage.tensors import read_state_dict, write_tensors
from pipeline.storage.weights import weights_file
from pipeline.training.history import write_history

BATCH = 64
DESCRIPTION, WEIGHTS = "judge.json", "judge.safetensors"


class PublishedJudge(Section):
    """FID's Inception, CLIP ViT-B/32 (null: no captions to match) and ResNet-101 (null: other
    classes).

    Each by its name in `cdcd weights list`, or a path.
    """

    kind: Literal["published"]
    inception: str
    clip: str | None = None
    resnet101: str | None = None


JudgeImages = Annotated[TrainedJudge | PublishedJudge, Field(discriminator="kind")]


@dataclass(frozen=True)
class Judge:
    """Pictures [n, 3, H, W] in [0, 1] in, numbers out. `features` [n, D] are for the Frechet
    distance.

    `logits` [n, C] over `classes` (label -> number), and `embed_images`, `embed_captions` (unit
    vectors [n, D]) are None where the judge does not read labels or captions. The names say in a
    table which network it was; `facts` says more.
    """

    facts: dict
    features: Callable[[Tensor], Tensor]
    features_name: str
    logits: Callable[[Tensor], Tensor] | None = None
    classes: dict[str, int] | None = None
    classifier_name: str = ""
    embed_images: Callable[[Tensor], Tensor] | None = None
    embed_captions: Callable[[list[str]], Tensor] | None = None
    matcher_name: str = ""


def build_judge(
    config: TrainedJudge | PublishedJudge,
    manifest: Manifest,
    raw: Path,
    folder: Path,
    scratch: Path | None = None,
) -> dict:
    """What judge.json says; trains the judge or checks the published weights, and fills `folder`.

    A killed training goes on from what it left in `scratch`.
    """
    with atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if isinstance(config, TrainedJudge):
            if config.reads == "labels":
                network, facts, history = train_classifier(config, manifest, scratch)
            else:
                network, facts, history = train_matcher(config, manifest, raw, scratch)
            write_history(temporary / "history.csv", history)
            write_tensors(
                temporary / WEIGHTS, network.state_dict(), {"class": type(network).__name__}
            )
        else:
            facts = _published_facts(config, manifest, raw)
        facts["config"] = config.model_dump(mode="json")
        write_json(temporary / DESCRIPTION, facts)
    return facts


def load_judge(folder: Path) -> Judge:
    """The judge in `folder`; raises UserError when it is damaged or its published weights are gone
    or changed.
    """
    facts = read_json(Path(folder) / DESCRIPTION)
    return (
        _load_published(facts)
        if facts["config"]["kind"] == "published"
        else _load_trained(facts, Path(folder) / WEIGHTS)
    )


def _load_trained(facts: dict, weights: Path) -> Judge:
    size, width = facts["config"]["image_size"], facts["config"]["width"]
    if "classes" in facts:
        network = Classifier(size, width, len(facts["classes"]))
    else:
        network = Matcher(size, width, facts["vocabulary"])
    try:
        network.load_state_dict(read_state_dict(weights))
    except RuntimeError:
        raise UserError(
            f"{weights} does not fit {DESCRIPTION} beside it; run `cdcd judge` again."
        ) from None
    network.eval().requires_grad_(False).to(device())
    features = _batched(lambda images: network.tower(_sized(images, size)))
    if isinstance(network, Classifier):
        logits = _batched(lambda images: network(_sized(images, size)))
        return Judge(
            facts,
            features,
            "judge",
            logits=logits,
            classes=facts["classes"],
            classifier_name="judge",
        )
    embed_images = _batched(lambda images: network.embed_images(_sized(images, size)))
    embed_captions = _batched(
        lambda captions: network.embed_tokens(network.tokens(captions).to(device()))
    )
    return Judge(
        facts,
        features,
        "judge",
        embed_images=embed_images,
        embed_captions=embed_captions,
        matcher_name="judge",
    )


def _sized(images: Tensor, size: int) -> Tensor:
    """Pictures [n, 3, H, W] as the judge's squares of `size` pixels."""
    from torchvision.transforms.functional import resize

    return images if images.shape[-1] == size else resize(images, [size, size], antialias=True)


def _published_facts(config: PublishedJudge, manifest: Manifest, raw: Path) -> dict:
    """The digests of the weights, each of which is loaded once to see that it fits, and the labels'
    class numbers.
    """
    facts = {"sha256": {}}
    for name, load in _LOADERS.items():
        if (weights := getattr(config, name)) is not None:
            path = weights_file(weights)
            load(path)
            facts["sha256"][name] = sha256_file(path)
    if config.resnet101 is not None:
        facts["classes"] = _imagenet_numbers(
            {clip.label for clip in manifest.clips}, raw / "classes.json"
        )
    return facts


def _imagenet_numbers(labels: set[str | None], table: Path) -> dict[str, int]:
    """The ImageNet class number of each label, from the data set's own table or the names that
    torchvision knows.
    """
    from torchvision.models import ResNet101_Weights

    if table.exists():
        known = read_json(table)
    else:
        names = ResNet101_Weights.IMAGENET1K_V1.meta["categories"]
        known = {
            form: number
            for number, name in enumerate(names)
            for form in (name, name.replace(" ", "_"))
        }
    if unknown := sorted(str(label) for label in labels if label not in known):
        raise UserError(
            f"judge.resnet101 knows ImageNet's classes, of which {unknown[0]!r} is none; set it to"
            " null."
        )
    return {label: known[label] for label in sorted(one for one in labels if one is not None)}


def _load_published(facts: dict) -> Judge:
    networks = {}
    for name, digest in facts["sha256"].items():
        path = weights_file(facts["config"][name])
        if sha256_file(path) != digest:
            raise UserError(
                f"{path} is gone or changed since `cdcd judge` read it; restore it, or run `cdcd"
                " judge` again."
            )
        networks[name] = _LOADERS[name](path).to(device())
    matcher = networks.get("clip")
    return Judge(
        facts,
        _batched(networks["inception"]),
        "inception",
        logits=_batched(networks["resnet101"]) if "resnet101" in networks else None,
        classes=facts.get("classes"),
        classifier_name="resnet101",
        embed_images=(
            _batched(lambda images: clip_score.embed_images(matcher, images)) if matcher else None
        ),
        embed_captions=(
            _batched(lambda captions: clip_score.embed_captions(matcher, captions))
            if matcher
            else None
        ),
        matcher_name="vit_b32",
    )


_LOADERS: dict[str, Callable[[Path], nn.Module]] = {
    "inception": FidInception.load,
    "clip": clip_score.load_clip,
    "resnet101": ImageNetClassifier.load,
}


def _batched(function: Callable) -> Callable:
    """The function over batches of its argument (pictures are moved to the device), its results
    together on the CPU.
    """

    @torch.no_grad()
    def over_batches(items: Tensor | list[str]) -> Tensor:
        starts = range(0, len(items), BATCH)
        parts = [items[start : start + BATCH] for start in starts]
        return torch.cat(
            [
                function(part.to(device()) if isinstance(part, Tensor) else part).cpu()
                for part in parts
            ]
        )

    return over_batches

"""Published networks as the judge of pictures: FID's Inception, CLIP, ResNet-101."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from torch import nn

from pipeline.metrics import clip_score
from pipeline.metrics.accuracy import ImageNetClassifier
from pipeline.metrics.fid import FidInception
from pipeline.metrics.judge import Judge, batched
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import read_json, sha256_file
from pipeline.runtime.params import Section
from pipeline.storage.manifest import Manifest
from pipeline.storage.weights import weights_file


class PublishedJudge(Section):
    """FID's Inception, CLIP ViT-B/32 (null: no captions to match) and ResNet-101 (null: other
    classes).

    Each by its name in `cdcd weights list`, or a path.
    """

    kind: Literal["published"]
    inception: str
    clip: str | None = None
    resnet101: str | None = None


_LOADERS: dict[str, Callable[[Path], nn.Module]] = {
    "inception": FidInception.load,
    "clip": clip_score.load_clip,
    "resnet101": ImageNetClassifier.load,
}


def published_facts(config: PublishedJudge, manifest: Manifest, raw: Path) -> dict:
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
        facts["classes"] = imagenet_numbers(
            {clip.label for clip in manifest.clips}, raw / "classes.json"
        )
    return facts


def imagenet_numbers(labels: set[str | None], table: Path | None) -> dict[str, int]:
    """The ImageNet class number of each label, from the data set's own table or the names that
    torchvision knows.
    """
    from torchvision.models import ResNet101_Weights

    if table is not None and table.exists():
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


def load_published(facts: dict) -> Judge:
    """The judge that `published_facts` describe; raises UserError where weights are gone or
    changed.
    """
    networks = {}
    for name, digest in facts["sha256"].items():
        path = weights_file(facts["config"][name])
        if sha256_file(path) != digest:
            raise UserError(
                f"{path} is gone or changed since `cdcd judge` read it; restore it, or run `cdcd"
                " judge` again."
            )
        networks[name] = _LOADERS[name](path).to(device())
    return _of_networks(networks, facts)


def published_judge(weights: dict[str, Path], labels: set[str]) -> Judge:
    """The judge of those published networks (`inception`, `clip`, `resnet101`) whose `weights` are
    given, for pictures of the classes `labels`; without Inception its features have no width and no
    name.
    """
    networks = {name: _LOADERS[name](path).to(device()) for name, path in weights.items()}
    facts: dict = {"sha256": {name: sha256_file(path) for name, path in weights.items()}}
    if "resnet101" in networks:
        facts["classes"] = imagenet_numbers({*labels}, None)
    return _of_networks(networks, facts)


def _of_networks(networks: dict[str, nn.Module], facts: dict) -> Judge:
    """The judge of published networks by their names."""
    matcher = networks.get("clip")
    return Judge(
        facts,
        batched(networks.get("inception", lambda images: images.new_zeros(len(images), 0))),
        "inception" if "inception" in networks else "",
        logits=batched(networks["resnet101"]) if "resnet101" in networks else None,
        classes=facts.get("classes"),
        classifier_name="resnet101",
        embed_images=(
            batched(lambda images: clip_score.embed_images(matcher, images)) if matcher else None
        ),
        embed_captions=(
            batched(lambda captions: clip_score.embed_captions(matcher, captions))
            if matcher
            else None
        ),
        matcher_name="vit_b32",
    )

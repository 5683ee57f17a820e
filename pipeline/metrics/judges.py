"""Who judges pictures: published networks, or small ones trained here; made once, before and apart
from any model.

A judge folder holds judge.json, which says what judges and how well it does on held-out real
pictures, and, when it was trained here, judge.safetensors and history.csv. Published weights stay
where they are; their digests are recorded, and checked when they are read.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor

from pipeline.metrics.judge import Judge, batched
from pipeline.metrics.judge_networks import Classifier, Matcher
from pipeline.metrics.judge_training import TrainedJudge, train_classifier, train_matcher
from pipeline.metrics.published_judge import PublishedJudge, load_published, published_facts
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, read_json, write_json
from pipeline.storage.manifest import Manifest
from pipeline.storage.tensors import read_state_dict, write_tensors
from pipeline.training.history import write_history

DESCRIPTION, WEIGHTS = "judge.json", "judge.safetensors"


JudgeImages = Annotated[TrainedJudge | PublishedJudge, Field(discriminator="kind")]


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
            facts = published_facts(config, manifest, raw)
        facts["config"] = config.model_dump(mode="json")
        write_json(temporary / DESCRIPTION, facts)
    return facts


def load_judge(folder: Path) -> Judge:
    """The judge in `folder`; raises UserError when it is damaged or its published weights are gone
    or changed.
    """
    facts = read_json(Path(folder) / DESCRIPTION)
    return (
        load_published(facts)
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
    features = batched(lambda images: network.tower(_sized(images, size)))
    if isinstance(network, Classifier):
        logits = batched(lambda images: network(_sized(images, size)))
        return Judge(
            facts,
            features,
            "judge",
            logits=logits,
            classes=facts["classes"],
            classifier_name="judge",
        )
    embed_images = batched(lambda images: network.embed_images(_sized(images, size)))
    embed_captions = batched(
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

"""The model of a data set that was built here, or in an earlier revision of this repository."""

import csv
from pathlib import Path

from pipeline.features.i3d_source import RGB_WEIGHTS
from pipeline.generation.files import ModelFiles, needed_extractors
from pipeline.generation.settings import Captions, Classes, Dances, ModelSettings
from pipeline.metrics.results import read_results
from pipeline.reporting.model_card import Facts, model_card
from pipeline.runtime.files import read_json
from pipeline.storage.manifest import read_manifest
from pipeline.storage.tensors import read_about
from pipeline.storage.weights import weights_file
from stages.config import AnyDataset, CaptionToImage, DanceToMusic, read_dataset, read_settings
from stages.content import checked
from stages.paths import CODEC_FILE, MODEL_FILE, Paths

EMBEDDED = (
    "toy_dance",
    "studio",
    "toy_shapes",
    "digits",
)  # made from a seed: nobody else has a say


def built_files(
    dataset: str,
    folder: Path | None = None,
    licence: str | None = None,
    unfinished: Path | None = None,
) -> ModelFiles:
    """The files of a data set's model, in the checkout where commands run or in `folder`; raises
    UserError that names the stage to run where one is missing.

    The licence is MIT for the embedded data sets and unknown for others, unless given. The network
    may be that of an `unfinished` training, of which no card is known.
    """
    paths, place = Paths(dataset), folder or Path()
    settings = (
        read_dataset(dataset) if folder is None else read_settings(dataset, folder / paths.settings)
    )
    network = unfinished or checked(place / paths.model / MODEL_FILE, "train", dataset)
    codec = checked(place / paths.codec / CODEC_FILE, "codec", dataset)
    about = read_about(network) or {}
    described = ModelSettings(
        name=dataset,
        reads=_reads(settings, about["provenance"]["conditions"]),
        sampling=settings.sample.sampling,
        data=dataset,
        licence=licence or ("mit" if dataset in EMBEDDED else "unknown"),
    )
    extractors = {
        name: _extractor(name, settings, place / paths.extractor, dataset)
        for name in needed_extractors(described)
    }
    card = model_card(described, _facts(paths, place)) if unfinished is None else ""
    return ModelFiles(described, network, codec, extractors, card)


def _reads(settings: AnyDataset, conditions: dict) -> Dances | Captions | Classes:
    """What the model reads, from the data set's settings and the conditions that it was trained
    on.
    """
    if isinstance(settings, DanceToMusic):
        return Dances(
            clip_seconds=settings.clip_seconds,
            sample_rate=settings.codec.sample_rate,
            peak=settings.codec.peak,
            pose=settings.extract.pose,
            visual=settings.extract.visual if conditions["weights"] else None,
            genres=tuple(conditions["genres"]),
        )
    size = settings.media.image_size
    if isinstance(settings, CaptionToImage):
        return Captions(text=settings.extract.text, image_size=size)
    return Classes(classes=tuple(conditions["classes"]), image_size=size)


def _extractor(name: str, settings: AnyDataset, folder: Path, dataset: str) -> Path:
    """Where one of a model's extractors lies: trained with the data set, or published."""
    if name == "i3d_rgb":
        return checked(folder / RGB_WEIGHTS, "extract", dataset)
    if isinstance(settings, DanceToMusic):
        config = settings.extract.visual
        given = config.raft if name == "raft" else config.flow
        assert given is not None, "flow and raft are given together"
        return weights_file("i3d_flow" if given == "kinetics" else given)
    assert isinstance(settings, CaptionToImage), "captions are read by CLIP"
    return weights_file(settings.extract.weights or "clip")


def _facts(paths: Paths, place: Path) -> Facts:
    """What the card says of training and evaluation, as far as it is there."""
    about, table = (
        read_json(place / paths.model / "about.json"),
        place / paths.metrics / "table.csv",
    )
    manifest = place / paths.raw / "manifest.csv"
    with open(place / paths.model / "history.csv", newline="") as handle:
        steps = [int(row["step"]) for row in csv.DictReader(handle)]
    return Facts(
        rows=len(read_manifest(manifest).of("train")) if manifest.exists() else 0,
        contrast=about["contrast"],
        steps=steps[-1] if steps else 0,
        parameters=about["parameters"],
        results=read_results(table) if table.exists() else [],
    )

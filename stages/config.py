"""params.yaml and params/<dataset>.yaml: which sections a data set of each task has, and the check
of every key before a stage starts.
"""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Generic, Literal, Self, TypeVar

import typer
from pydantic import Field, model_validator

from pipeline.codecs.recipes import AudioCodec, ImageCodec
from pipeline.datasets import (
    aist,
    coco,
    cub200,
    digits,
    folder,
    image_folder,
    imagenet,
    tiktok,
    toy_dance,
    toy_shapes,
)
from pipeline.datasets.aist import Aist
from pipeline.datasets.coco import Coco
from pipeline.datasets.cub200 import Cub200
from pipeline.datasets.digits import Digits
from pipeline.datasets.folder import Folder
from pipeline.datasets.image_folder import ImageFolder
from pipeline.datasets.imagenet import Imagenet
from pipeline.datasets.tiktok import Tiktok
from pipeline.datasets.toy_dance import ToyDance
from pipeline.datasets.toy_shapes import ToyShapes
from pipeline.diffusion.contrast import parse_setting
from pipeline.diffusion.sampler import Sampling
from pipeline.features.extract import ExtractDance
from pipeline.features.pictures import ExtractCaptions, ExtractLabels
from pipeline.metrics.dance_rows import EvaluateDance
from pipeline.metrics.genre import JudgeDance
from pipeline.metrics.image_data import EvaluateImages
from pipeline.metrics.judges import JudgeImages
from pipeline.model.network import CaptionModel, ClassModel, DanceModel
from pipeline.model.training import Train
from pipeline.negatives import Negatives
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import (
    Amount,
    Count,
    FrameRate,
    SampleRate,
    Seconds,
    Section,
    Seed,
    Weight,
    Width,
    read_yaml,
    validate,
)
from pipeline.runtime.run import run_settings
from pipeline.storage.poses import PoseKind
from stages.bounds import check_between
from stages.media_settings import in_the_files_words, section_class, with_media
from stages.paths import PARAMS, Paths

D = TypeVar("D")
PRESET = "preset"


class Params(Section):
    """params.yaml: which data sets are built, and the contrastive setting of all of them (`preset`:
    each data set's own).
    """

    datasets: list[str]
    contrast: str


class DanceMedia(Section):
    """What a clip is: its length, the rate of its sound, the kind of pose and its frames a
    second.
    """

    clip_seconds: Seconds
    sample_rate: SampleRate
    pose: PoseKind
    fps: FrameRate


class PictureMedia(Section):
    """The side of the square pictures in pixels."""

    image_size: Width


class Sample(Section):
    """How samples are drawn.

    `seeds`: one set of samples for each; the conditions are the test split's (and those of silent
    clips), at most `limit` of them (null: all). `captions`: of a picture that has several, the
    first alone, or all, each of which gets its own sample. `media`: so many get sound files and
    videos, or a picture. `noise_reduce`: spectral gating of the sound files that people hear.
    `controls`: also samples under another clip's condition. `without`: a part of the condition that
    a dance model trained with dropout of it (train.model.condition.dropout) does not get. `ladder`:
    guidance weights at which a few are drawn again with the same noise, for the page.
    """

    seeds: tuple[Seed, ...] = Field(min_length=1)
    limit: Count | None = None
    captions: Literal["first", "all"] = "first"
    media: Amount
    noise_reduce: bool = False
    controls: bool = True
    without: Literal["visual", "motion"] | None = None
    ladder: tuple[Weight, ...] = ()
    sampling: Sampling


class Dataset(Section, Generic[D]):
    """params/<dataset>.yaml: what the data sets of all tasks have in common."""

    contrast: str
    download: D
    negatives: Negatives
    sample: Sample

    @property
    def media_root(self) -> str | None:
        """Where the media of a data set lie that stay outside data/; None for those that are made
        here.
        """
        root = getattr(self.download, "media_root", None)
        return None if root is None else str(root)

    def __reduce__(self) -> tuple:
        """Its content: a class with parameters has no name by which another process finds it."""
        places = ((name, task) for name in SETTINGS for task in SETTINGS[name])
        place = next(at for at in places if SETTINGS[at[0]][at[1]] is type(self))
        return _sent, (*place, self.model_dump())


def _sent(dataset: str, task: str, content: dict) -> "AnyDataset":
    return SETTINGS[dataset][task].model_validate(content)


class DanceToMusic(Dataset[D], Generic[D]):
    """Music for dance videos."""

    task: Literal["dance"]
    media: DanceMedia
    extract: ExtractDance
    codec: AudioCodec
    judge: JudgeDance
    train: Train[DanceModel]
    evaluate: EvaluateDance

    @property
    def clip_seconds(self) -> float:
        """The length of every clip."""
        return float(self.media.clip_seconds)

    @model_validator(mode="after")
    def _clips_are_as_long_as_they_come(self) -> Self:
        given = getattr(self.download, "clip_seconds", self.media.clip_seconds)
        if given != self.media.clip_seconds:
            raise ValueError(f"media.clip_seconds must be {given:g}: the clips come in that length")
        return self


class CaptionToImage(Dataset[D], Generic[D]):
    """Pictures for captions."""

    task: Literal["caption"]
    media: PictureMedia
    extract: ExtractCaptions
    codec: ImageCodec
    judge: JudgeImages
    train: Train[CaptionModel]
    evaluate: EvaluateImages


class ClassToImage(Dataset[D], Generic[D]):
    """Pictures of a class."""

    task: Literal["class"]
    media: PictureMedia
    extract: ExtractLabels
    codec: ImageCodec
    judge: JudgeImages
    train: Train[ClassModel]
    evaluate: EvaluateImages


AnyDataset = DanceToMusic | CaptionToImage | ClassToImage

SETTINGS: dict[str, dict[str, type[AnyDataset]]] = {  # data set -> task -> its settings
    "toy_dance": {"dance": DanceToMusic[ToyDance]},
    "studio": {"dance": DanceToMusic[ToyDance]},
    "folder": {"dance": DanceToMusic[Folder]},
    "aist": {"dance": DanceToMusic[Aist]},
    "tiktok": {"dance": DanceToMusic[Tiktok]},
    "toy_shapes": {"caption": CaptionToImage[ToyShapes]},
    "cub200": {"caption": CaptionToImage[Cub200]},
    "coco": {"caption": CaptionToImage[Coco]},
    "image_folder": {
        "class": ClassToImage[ImageFolder],
        "caption": CaptionToImage[ImageFolder],
    },
    "digits": {"class": ClassToImage[Digits]},
    "imagenet": {"class": ClassToImage[Imagenet]},
}

MODULES: dict[str, ModuleType] = {
    "toy_dance": toy_dance,
    "studio": toy_dance,
    "folder": folder,
    "aist": aist,
    "tiktok": tiktok,
    "toy_shapes": toy_shapes,
    "cub200": cub200,
    "coco": coco,
    "image_folder": image_folder,
    "digits": digits,
    "imagenet": imagenet,
}

DatasetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help=f"A data set: {', '.join(MODULES)}; params/DATASET.yaml holds its settings.",
        show_default=False,
    ),
]


def read_params() -> Params:
    """params.yaml, checked together with the file of every data set that it lists; raises UserError
    that names the first wrong keys.
    """
    return _read_all()[0]


def read_dataset(name: str) -> AnyDataset:
    """The settings of one data set, after params.yaml and every file in use have been checked."""
    params, settings = _read_all()
    if name not in MODULES:
        raise UserError(f"{name!r} is not a data set; there are {', '.join(MODULES)}.")
    if name in settings:
        return settings[name]
    return read_settings(name, Paths(name).settings, params.contrast)


def read_contrast(dataset: str) -> str:
    """The contrastive setting of a data set: that of params.yaml, or its own where that says
    `preset`.
    """
    params, own = read_params(), read_dataset(dataset).contrast
    return own if params.contrast == PRESET else params.contrast


def _read_all() -> tuple[Params, dict[str, AnyDataset]]:
    """params.yaml, and the settings of the data sets that it lists; run.yaml is looked at too."""
    run_settings()
    device()
    params = validate(Params, read_yaml(PARAMS), "", str(PARAMS))
    if params.contrast != PRESET:
        parse_setting(params.contrast)
    for name in params.datasets:
        if name not in MODULES:
            raise UserError(
                f"params.yaml: datasets lists {name!r}, which is none of {', '.join(MODULES)}."
            )
    return params, {
        name: read_settings(name, Paths(name).settings, params.contrast) for name in params.datasets
    }


def read_settings(dataset: str, file: Path, contrast: str = PRESET) -> AnyDataset:
    """The settings of a data set that a file holds; raises UserError that names the file and the
    first wrong keys, also where they do not fit one another or the `contrast` of params.yaml.
    """
    content, kinds = read_yaml(file), SETTINGS[dataset]
    if content.get("task") not in list(kinds):  # a list compares anything, also what has no hash
        raise UserError(
            f"{file}: task is {content.get('task')!r}, but {dataset} is a data set of the task"
            f" {' or '.join(kinds)}."
        )
    kind = kinds[content["task"]]
    validate(section_class(kind, "media"), content.get("media", {}), "media", str(file))
    complete = with_media(content, kind, file)
    try:
        settings = validate(kind, complete, "", str(file))
        parse_setting(settings.contrast)
        check_between(settings, settings.contrast if contrast == PRESET else contrast)
    except UserError as mistake:
        raise UserError(in_the_files_words(str(mistake), file)) from None
    return settings

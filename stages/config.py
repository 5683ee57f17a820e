"""params.yaml as a whole: which sections a data set of each task has, and the check of every key
before a stage starts.
"""

from types import ModuleType
from typing import Annotated, Generic, Literal, TypeVar

import typer

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
from pipeline.metrics.images import EvaluateImages
from pipeline.metrics.judges import JudgeImages
from pipeline.model.network import CaptionModel, ClassModel, DanceModel
from pipeline.negatives import Negatives
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section, read_yaml, validate
from pipeline.training.loop import Train
from stages.paths import PARAMS

D = TypeVar("D")


class Tokenize(Section):
    """How many clips or pictures are encoded at once."""

    batch: int


class Sample(Section):
    """How samples are drawn.

    `seeds`: one set of samples for each; the conditions are the test split's (and those of silent
    clips), at most `limit` of them (null: all). `media`: so many get sound files and videos, or a
    picture. `noise_reduce`: spectral gating of the sound files that people hear. `batch` changes
    the speed alone, but for rounding.
    """

    seeds: tuple[int, ...]
    limit: int | None
    batch: int
    media: int
    noise_reduce: bool
    sampling: Sampling


class Dataset(Section, Generic[D]):
    """What the sections of all tasks have in common."""

    download: D
    tokenize: Tokenize
    negatives: Negatives
    sample: Sample

    @property
    def media_root(self) -> str | None:
        """Where the media of a data set lie that stay outside data/; None for those that are made
        here.
        """
        root = getattr(self.download, "media_root", None)
        return None if root is None else str(root)


class DanceToMusic(Dataset[D], Generic[D]):
    """Music for dance videos."""

    task: Literal["dance"]
    extract: ExtractDance
    codec: AudioCodec
    judge: JudgeDance
    train: Train[DanceModel]
    evaluate: EvaluateDance

    @property
    def clip_seconds(self) -> float:
        """The length of every clip, which the data set decides."""
        return float(self.download.clip_seconds)


class CaptionToImage(Dataset[D], Generic[D]):
    """Pictures for captions."""

    task: Literal["caption"]
    extract: ExtractCaptions
    codec: ImageCodec
    judge: JudgeImages
    train: Train[CaptionModel]
    evaluate: EvaluateImages


class ClassToImage(Dataset[D], Generic[D]):
    """Pictures of a class."""

    task: Literal["class"]
    extract: ExtractLabels
    codec: ImageCodec
    judge: JudgeImages
    train: Train[ClassModel]
    evaluate: EvaluateImages


class Params(Section):
    """params.yaml. Sections of data sets that are not in use may be deleted."""

    datasets: list[str]
    contrast: str
    toy_dance: DanceToMusic[ToyDance] | None = None
    folder: DanceToMusic[Folder] | None = None
    aist: DanceToMusic[Aist] | None = None
    tiktok: DanceToMusic[Tiktok] | None = None
    toy_shapes: CaptionToImage[ToyShapes] | None = None
    cub200: CaptionToImage[Cub200] | None = None
    coco: CaptionToImage[Coco] | None = None
    image_folder: CaptionToImage[ImageFolder] | ClassToImage[ImageFolder] | None = None
    digits: ClassToImage[Digits] | None = None
    imagenet: ClassToImage[Imagenet] | None = None


MODULES: dict[str, ModuleType] = {
    "toy_dance": toy_dance,
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
        help=f"A section of params.yaml: {', '.join(MODULES)}.",
        show_default=False,
    ),
]


def read_params() -> Params:
    """params.yaml, checked as a whole; raises UserError that names the first wrong keys."""
    content = read_yaml(PARAMS)
    params = validate(Params, content, "")
    parse_setting(params.contrast)
    for name in params.datasets:
        if name not in MODULES:
            raise UserError(
                f"params.yaml: datasets lists {name!r}, which is none of {', '.join(MODULES)}."
            )
        if getattr(params, name) is None:
            raise UserError(
                f"params.yaml: datasets lists {name!r}, but there is no section {name!r}."
            )
    return params


def read_dataset(name: str) -> Dataset:
    """The section of one data set, after all of params.yaml has been checked."""
    params = read_params()
    if name not in MODULES:
        raise UserError(
            f"{name!r} is not a data set; params.yaml has sections for {', '.join(MODULES)}."
        )
    if getattr(params, name) is None:
        raise UserError(
            f"params.yaml has no section {name!r}; restore it from the repository's version."
        )
    return getattr(params, name)


def read_contrast() -> str:
    """The top-level `contrast` of params.yaml."""
    return read_params().contrast

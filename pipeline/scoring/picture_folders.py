"""Anybody's pictures beside captions or classes and, where there are some, the real pictures: no
data set that was built here.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from torch import Tensor

from pipeline.datasets.caption_table import caption_lines
from pipeline.datasets.captions import read_lines, tidy
from pipeline.datasets.scenes import parse
from pipeline.media.image import load_rgb
from pipeline.metrics.fid import Reference
from pipeline.metrics.image_controls import mean_picture, repeated, shuffles
from pipeline.metrics.image_figures import Wanted
from pipeline.metrics.image_rows import Bench, Row, read_reference, wanted_of
from pipeline.metrics.judge import Judge
from pipeline.metrics.judges import load_judge
from pipeline.metrics.published_judge import imagenet_numbers, published_judge
from pipeline.runtime.errors import UserError
from pipeline.scoring.outputs import (
    PICTURES,
    Findings,
    Outputs,
    files_by_name,
    listing,
    without_seed,
)
from pipeline.scoring.pictures import PictureBench, read_pictures
from pipeline.storage.weights import find


@dataclass(frozen=True)
class AskedPictures:
    """What pictures were made for, by name: captions, classes or neither; the real pictures; and
    all of it in words.
    """

    captions: dict[str, str] | None
    classes: dict[str, str] | None
    real: dict[str, Path] | None
    said: str

    @property
    def ids(self) -> list[str]:
        """The names that outputs may have: those with a caption or class, else those of the real
        pictures.
        """
        return sorted(self.captions or self.classes or self.real or ())


def read_asked(
    captions: Path | None, classes: Path | None, references: Path | None
) -> AskedPictures:
    """What is asked of pictures; raises UserError where a table or folder is none."""
    if captions and classes:
        raise UserError("Pictures are scored for --captions or for --classes; leave one out.")
    kinds = {"captions": captions, "classes": classes, "real pictures": references}
    return AskedPictures(
        _captions(captions) if captions else None,
        _classes(classes) if classes else None,
        files_by_name(references, PICTURES) if references else None,
        " and ".join(f"{kind} in {at}" for kind, at in kinds.items() if at),
    )


def smallest_side(files: Iterable[Path]) -> int:
    """The short side in pixels of the smallest of the pictures that can be read; 1 where none
    can.
    """
    sides = []
    for file in files:
        with suppress(UserError):
            sides.append(min(load_rgb(file).shape[:2]))
    return min(sides, default=1)


def choose_judge(asked: AskedPictures, folder: Path | None, findings: Findings) -> Judge:
    """The judge in `folder`, one that `cdcd judge` made; without it the published networks that are
    here and fit what is asked. What cannot be measured is told; raises UserError where nothing can.
    """
    if folder is not None:
        return load_judge(folder)
    needed = {"inception": "inception_fid"} if asked.real else {}
    needed |= {"clip": "clip"} if asked.captions else {}
    needed |= {"resnet101": "resnet101"} if asked.classes else {}
    weights = {}
    for name, known in needed.items():
        try:
            if name == "resnet101":
                imagenet_numbers({*(asked.classes or {}).values()}, None)
            weights[name] = find(known)
        except UserError as error:
            findings.note(f"{_MEASURED[name]} not measured. {error}")
    if not weights and not _of_scenes(asked):
        raise UserError(
            "Nothing here can judge these pictures; give --judge (a folder that `cdcd judge` made),"
            f" or get {' or '.join(needed.values()) or 'captions'} (cdcd weights list)."
        )
    return published_judge(weights, {*(asked.classes or {}).values()})


_MEASURED = {
    "inception": "FID is",
    "clip": "R-precision and CLIPScore are",
    "resnet101": "Accuracy is",
}


def pictures_of_folders(
    asked: AskedPictures, rows: list[Outputs], size: int, judge: Judge, draws: int, seed: int
) -> PictureBench:
    """The bench of anybody's files for these outputs, which are seen at `size`; raises UserError
    where the judge has nothing to say of them.
    """
    ids = list(rows[0].files)
    told = [asked.captions[name] for name in ids] if asked.captions else None
    labels = [asked.classes[name] for name in ids] if asked.classes else None
    wanted = wanted_of(ids, told, labels, judge, seed, _of_scenes(asked))
    real = list((asked.real or {}).values())
    references = {}
    if real and judge.features_name:
        seen = read_pictures(real, size)
        references["test"] = read_reference(judge, seen, "test", len(real))
    _refuse_mute(wanted, judge, references)
    controls = partial(_controls, asked, rows, told or labels, size, seed)
    return PictureBench(Bench(wanted, judge, references, draws, seed), size, controls)


def _refuse_mute(wanted: Wanted, judge: Judge, references: Mapping[str, Reference]) -> None:
    """Raises UserError where no figure can come out."""
    if wanted.labels is not None and bool((wanted.labels < 0).all()):
        raise UserError(
            "The judge knows none of these classes; it knows"
            f" {listing(sorted(map(str, judge.classes or ())))}."
        )
    if wanted.labels is None and wanted.told is None and not wanted.exact and not references:
        raise UserError(
            "The judge has nothing to say of these pictures: give one that reads"
            f" {'captions' if wanted.captions else 'classes'}, or --references."
        )


def _controls(
    asked: AskedPictures,
    rows: list[Outputs],
    kinds: list[str] | None,
    size: int,
    seed: int,
    n_seeds: int,
) -> Iterator[Row]:
    """The control rows: of the real pictures, or, where outputs have none, of the outputs
    themselves laid against each other's captions or classes.
    """
    real, ids = asked.real or {}, list(rows[0].files)
    pairs = shuffles(kinds or ids, seed, n_seeds)
    if all(name in real for name in ids):
        own = [real[name] for name in ids]
        yield "ground_truth", [read_pictures(own, size)], {}
        if pairs:
            yield "shuffled_pairs", [_swapped(own, pair, size) for pair in pairs], {}
    elif kinds and pairs:
        for row in rows:
            swapped = [_swapped(files, pair, size) for files, pair in zip(row.sets, pairs)]
            yield f"{row.row}, shuffled", swapped, {}
    if real:
        files = list(real.values())

        def read(numbers: list[int]) -> Iterator[Tensor]:
            return read_pictures([files[number] for number in numbers], size)

        mean = mean_picture(read, list(range(len(files))))
        yield "mean_image", [repeated(mean, len(ids))], {}


def _swapped(files: list[Path], pair: np.ndarray, size: int) -> Iterator[Tensor]:
    return read_pictures([files[other] for other in pair], size)


def _captions(path: Path) -> dict[str, str]:
    """The first caption of every name: of a table, or of NAME.txt files below a folder."""
    if path.is_dir():
        told = files_by_name(path, (".txt",))
        lines = ((name, line) for name, file in told.items() for line in read_lines(file)[:1])
    else:
        lines = ((_name(key), tidy(caption)) for key, caption in caption_lines(path))
    captions: dict[str, str] = {}
    for name, caption in lines:
        if caption:
            captions.setdefault(name, caption)
    if not captions:
        raise UserError(f"{path} holds no caption.")
    return captions


def _classes(path: Path) -> dict[str, str]:
    """The class of every name: of a table with the columns id and class, or of the folder
    CLASS/NAME.png below a folder.
    """
    if path.is_dir():
        names = {without_seed(name) for name in files_by_name(path, PICTURES)}
        if lonely := sorted(name for name in names if "/" not in name):
            raise UserError(
                f"--classes {path}: {listing(lonely)} lie in no folder; a picture's class is the"
                " folder it lies in, or stands in a table with the columns id and class."
            )
        return {name: PurePosixPath(name).parts[0] for name in names}
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            return {_name(row["id"]): row["class"] for row in csv.DictReader(handle)}
    except (OSError, KeyError, AttributeError, UnicodeDecodeError, csv.Error):
        raise UserError(
            f"--classes {path} is no table with the columns id and class, and no folder of folders."
        ) from None


def _name(key: str) -> str:
    """The name of a picture that a table names with or without its ending."""
    path = PurePosixPath(key.strip())
    return str(path.with_suffix("")) if path.suffix.lower() in PICTURES else str(path)


def _of_scenes(asked: AskedPictures) -> bool:
    """Whether all captions are such as `toy_shapes` tells, which are checked without a judge."""
    try:
        return bool(asked.captions) and all(parse(told) for told in (asked.captions or {}).values())
    except UserError:
        return False

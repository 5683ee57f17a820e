"""`coco`: MSCOCO pictures with five captions each, in the layout of 2014 or 2017.

The published validation pictures are the test split here, as in the paper. Pictures can be held out
of training for validation. There are no classes: inter negatives are other pictures.
"""

import json
from pathlib import Path
from typing import Literal

from pipeline.datasets.archives import GIB, fetch_archive
from pipeline.datasets.captions import CAPTIONS, tidy
from pipeline.datasets.listing import Folder, Skipped, existing, first_existing
from pipeline.datasets.pictures import check_pictures, record_pictures
from pipeline.datasets.segments import hold_out
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Amount, Section, Seed
from pipeline.runtime.progress import progress
from pipeline.storage.manifest import Clip

ADDRESS = "http://images.cocodataset.org"
PICTURES = {2014: {"train": 82_783, "test": 40_504}, 2017: {"train": 118_287, "test": 5_000}}
# The host states no digests; these MD5 are the ones that widely used download scripts check.
ARCHIVES = {
    2014: {
        "annotations/annotations_trainval2014.zip": None,
        "zips/train2014.zip": "0da8c0bd3d6becc4dcb32757491aca88",
        "zips/val2014.zip": "a3d79f5ed8d289b7a7554ce06a5782b3",
    },
    2017: {
        "annotations/annotations_trainval2017.zip": "f4bbac642086de4f52a3fdda2de5fa2c",
        "zips/train2017.zip": "cced6f7f71b7629ddf16f17bbcfab6b2",
        "zips/val2017.zip": "442b8da7639aecaf257c1dceb8ba8c80",
    },
}


class Coco(Section):
    """Where MSCOCO lies and which year's layout it has.

    `media_root` holds `annotations/captions_{train,val}<year>.json` and the pictures in
    `train<year>`, `val<year>` (or, as VQ-Diffusion has them, one folder of that name inside the
    other). `official` fetches the archives first.
    """

    source: Literal["local", "official"]
    media_root: Folder
    year: Literal[2014, 2017]
    validation_images: Amount
    split_seed: Seed


def prepare(config: Coco, raw: Path) -> Skipped:
    """The files left out and why; writes the manifest, all captions and the listing of the pictures
    into `raw`.
    """
    if config.source == "official":
        _fetch(config)
    clips, captions, skipped = _read(config)
    return record_pictures(raw, clips, skipped, config.media_root, captions)


def check(config: Coco) -> list[str]:
    """What is missing, unreadable or differs from the complete data set, a sentence each; downloads
    nothing.
    """
    try:
        clips, _, skipped = _read(config)
    except UserError as mistake:
        return [str(mistake)]
    return check_pictures(clips, skipped, config.media_root, PICTURES[config.year])


def read_annotations(path: Path) -> dict[str, list[str]]:
    """The captions of each picture by its file name, pictures by number, captions by theirs; raises
    UserError for other JSON.
    """
    try:
        content = json.loads(path.read_text())
        names = {
            image["id"]: image["file_name"]
            for image in sorted(content["images"], key=lambda image: image["id"])
        }
        captions = {name: [] for name in names.values()}
        for annotation in sorted(content["annotations"], key=lambda annotation: annotation["id"]):
            if (number := annotation["image_id"]) not in names:
                raise UserError(
                    f"{path}: caption {annotation['id']} is of picture {number}, which is not"
                    " listed; fetch it anew."
                )
            captions[names[number]].append(tidy(annotation["caption"]))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; it is in annotations_trainval<year>.zip of {ADDRESS}."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is truncated or holds no COCO captions ({type(error).__name__}); fetch it"
            " again."
        ) from None
    return captions


def _read(config: Coco) -> tuple[list[Clip], dict[str, list[str]], Skipped]:
    root = existing(
        config.media_root,
        "download.media_root",
        "docs/datasets.md says what belongs there and where to get it",
    )
    clips, captions, skipped = [], {}, []
    for split, published in (("train", "train"), ("test", "val")):
        part = f"{published}{config.year}"
        texts = read_annotations(root / "annotations" / f"captions_{part}.json")
        folder = first_existing(root, [f"{part}/{part}", part], "pictures")
        held_out = (
            hold_out(list(texts), config.validation_images, config.split_seed)
            if split == "train"
            else set()
        )
        for name, found in progress(texts.items(), f"looking for {part}", len(texts)):
            picture, identity = folder / name, Path(name).stem
            if "/" in name or not found or not picture.exists():
                skipped.append((str(picture), "has no caption" if not found else "is missing"))
                continue
            captions[identity] = found
            where = "val" if name in held_out else split
            clips.append(
                Clip(identity, str(picture.relative_to(root)), where, caption_file=CAPTIONS)
            )
    return clips, captions, skipped


def _fetch(config: Coco) -> None:
    """Fetches and unpacks the archives whose folder is not there yet."""
    for archive, md5 in ARCHIVES[config.year].items():
        holds = (
            f"annotations/captions_val{config.year}.json"
            if archive.startswith("annotations")
            else Path(archive).stem
        )
        if not (config.media_root / holds).exists():
            fetch_archive(f"{ADDRESS}/{archive}", config.media_root, 40 * GIB, md5=md5)

"""`imagenet`: ILSVRC 2012, a thousand classes, from a local copy.

The published validation pictures are the test split here, as in the paper. Pictures can be held out
of training for validation. A row's label is its class's WordNet number: in alphabetical order these
are the usual classes 0..999.
"""

import json
import re
from pathlib import Path

from pipeline.datasets.listing import Folder, Skipped, existing
from pipeline.datasets.pictures import check_pictures, record_pictures
from pipeline.datasets.segments import hold_out
from pipeline.media.image import EXTENSIONS
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import write_json
from pipeline.runtime.params import Amount, Section, Seed
from pipeline.runtime.progress import progress
from pipeline.storage.manifest import Clip

PICTURES = {"train": 1_281_167, "test": 50_000}
_CLASS = re.compile(r"n\d{8}")


class Imagenet(Section):
    """Where ImageNet lies: `media_root` holds `imagenet_class_index.json` and
    `{train,val}/<class>/*.JPEG`.

    It cannot be downloaded freely: image-net.org gives it to those who register (docs/datasets.md).
    """

    media_root: Folder
    validation_images: Amount
    split_seed: Seed


def prepare(config: Imagenet, raw: Path) -> Skipped:
    """The files left out and why; writes the manifest, the class numbers and the listing of the
    pictures into `raw`.
    """
    clips, skipped = _read(config)
    write_json(raw / "classes.json", class_numbers(config.media_root))
    return record_pictures(raw, clips, skipped, config.media_root)


def check(config: Imagenet) -> list[str]:
    """What is missing, unreadable or differs from the complete data set, a sentence each."""
    try:
        clips, skipped = _read(config)
    except UserError as mistake:
        return [str(mistake)]
    return check_pictures(clips, skipped, config.media_root, PICTURES)


def class_numbers(root: Path) -> dict[str, int]:
    """The published number 0..999 of each WordNet class; raises UserError when
    imagenet_class_index.json is damaged.
    """
    path = root / "imagenet_class_index.json"
    existing(
        path,
        "download.media_root",
        "it maps class numbers to WordNet names, as in Keras and torchvision tutorials",
    )
    try:
        numbers = {wnid: int(number) for number, (wnid, _) in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); it should map numbers to [WordNet number, name]."
        ) from None
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise UserError(f"{path}: the class numbers should be 0, 1, 2 and so on, each once.")
    return numbers


def _read(config: Imagenet) -> tuple[list[Clip], Skipped]:
    root = existing(
        config.media_root,
        "download.media_root",
        "docs/datasets.md says how to get ImageNet and lay it out",
    )
    numbers = class_numbers(root)
    existing(root / "train", "download.media_root", "it should hold one folder for each class")
    train, skipped = _pictures(root / "train", numbers)
    held_out = hold_out([path.stem for path in train], config.validation_images, config.split_seed)
    clips = [_clip(path, root, "val" if path.stem in held_out else "train") for path in train]
    if not (root / "val").exists():
        return clips, [*skipped, ("val", "is missing, so there is no test split")]
    val, flawed = _pictures(root / "val", numbers)
    return clips + [_clip(path, root, "test") for path in val], skipped + flawed


def _pictures(folder: Path, numbers: dict[str, int]) -> tuple[list[Path], Skipped]:
    """The pictures in the class folders of `folder` in order, and what else lies there."""
    pictures, skipped = [], []
    for entry in progress(sorted(folder.iterdir()), f"looking at {folder.name} classes"):
        if entry.name in numbers and entry.is_dir():
            files = sorted(entry.iterdir())
            pictures += [file for file in files if file.suffix.lower() in EXTENSIONS]
            skipped += [
                (str(file), "is not a picture")
                for file in files
                if file.suffix.lower() not in EXTENSIONS
            ]
        else:
            unknown_class = "is a class that imagenet_class_index.json lacks"
            skipped.append(
                (
                    str(entry),
                    unknown_class if _CLASS.fullmatch(entry.name) else "is not a class folder",
                )
            )
    if not pictures:
        raise UserError(
            f"{folder} holds no class folder with pictures; sort them into <class>/ first"
            " (docs/datasets.md)."
        )
    return pictures, skipped


def _clip(path: Path, root: Path, split: str) -> Clip:
    return Clip(path.stem, str(path.relative_to(root)), split, label=path.parent.name)

"""`image_folder`: a user's own pictures, with a file of captions or one folder for each class.

Pictures stay where they are; any size, grey or coloured. What cannot be read is left out and listed
with the reason.
"""

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path, PurePosixPath

from pydantic import Field

from pipeline.datasets.caption_table import read_caption_table
from pipeline.datasets.captions import CAPTIONS, refuse_long_captions, write_captions
from pipeline.datasets.listing import Folder, Skipped, existing, shorten, write_listing
from pipeline.media.image import EXTENSIONS, load_rgb
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section, Seed
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Clip, check_clips, write_manifest

SMALLEST = 16  # pixels


class ImageFolder(Section):
    """Where the pictures lie, and how they are split.

    `captions`: a csv, tsv, jsonl or txt file of captions (its path is relative to `media_root`), or
    null, and the folders directly below `media_root` are the classes. `val` and `test` are shares
    of the pictures (of each class).
    """

    media_root: Folder
    captions: Path | None
    val: float = Field(strict=True, gt=0, lt=0.5)
    test: float = Field(strict=True, gt=0, lt=0.5)
    seed: Seed


def check(config: ImageFolder) -> list[str]:
    """Sentences about what is missing or would be left out; none when all is well."""
    try:
        _, _, skipped = _plan(config)
    except UserError as mistake:
        return [str(mistake)]
    return shorten([f"{file} would be left out: it {reason}." for file, reason in skipped])


def prepare(config: ImageFolder, raw: Path) -> Skipped:
    """The files left out and why; writes the manifest, and the captions where there are some, into
    `raw`.

    A class with a single usable picture is left out. Raises UserError when there is no picture,
    when the captions name pictures that are not there or exceed what CLIP reads, and when fewer
    than two classes, or captioned pictures, are left.
    """
    clips, captions, skipped = _plan(config)
    if captions:
        write_captions(raw, captions)
    write_listing(raw, clips, config.media_root)
    write_manifest(raw / "manifest.csv", clips)
    return skipped


def _plan(config: ImageFolder) -> tuple[list[Clip], dict[str, list[str]], Skipped]:
    root = existing(
        config.media_root, "download.media_root", "name the folder that holds your pictures"
    )
    names = _pictures(root)
    if not names:
        raise UserError(
            f"download.media_root: {root} holds no picture; known are {', '.join(EXTENSIONS)}."
        )
    if config.captions is None:
        captions, groups, skipped = {}, _classes(root, names), []
    else:
        captions = read_caption_table(root / config.captions, names)
        refuse_long_captions(root / config.captions, captions)
        groups = dict.fromkeys(captions, None)
        skipped = [(name, "has no caption") for name in names if name not in captions]
    troubles = _troubles(root, list(groups))
    skipped += [(name, trouble) for name, trouble in troubles.items()]
    groups = {name: group for name, group in groups.items() if name not in troubles}
    lonely = _lonely(groups)
    skipped += lonely.items()
    groups = {name: group for name, group in groups.items() if name not in lonely}
    _require_enough(root, groups, skipped)
    splits = _splits(groups, config)
    file = CAPTIONS if captions else None
    clips = [
        Clip(name, name, splits[name], label=label, caption_file=file)
        for name, label in groups.items()
    ]
    check_clips(clips, str(root))
    return (
        clips,
        {clip.id: captions[clip.id] for clip in clips} if captions else {},
        sorted(skipped),
    )


def _pictures(root: Path) -> list[str]:
    """The pictures below `root`, hidden ones aside, as sorted paths relative to it."""
    paths = (
        path.relative_to(root)
        for path in root.rglob("*")
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    )
    return sorted(
        path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)
    )


def _classes(root: Path, names: list[str]) -> dict[str, str]:
    """The class of each picture: the folder it is in, directly below `root`."""
    if loose := next((name for name in names if "/" not in name), None):
        raise UserError(
            f"{root / loose} is in no class folder; put it in one, or name a captions file in"
            " download.captions."
        )
    return {name: PurePosixPath(name).parts[0] for name in names}


def _troubles(root: Path, names: list[str]) -> dict[str, str]:
    """Why a picture cannot be used, for those that cannot."""

    def trouble(name: str) -> str | None:
        try:
            height, width = load_rgb(root / name).shape[:2]
        except UserError as mistake:
            return f"is unusable: {str(mistake).removesuffix('.')}"
        return f"has only {width} x {height} pixels" if min(height, width) < SMALLEST else None

    with ThreadPoolExecutor(cpu_count()) as pool:
        found = list(progress(pool.map(trouble, names), "reading pictures", len(names)))
    return {name: reason for name, reason in zip(names, found, strict=True) if reason}


def _lonely(groups: dict[str, str | None]) -> dict[str, str]:
    """Why the only picture of a class cannot be used, for those."""
    counts = Counter(groups.values())
    return {
        name: (
            f"is the only usable picture of class {group!r}, and splitting needs one to train on"
            " and one to test: add some"
        )
        for name, group in groups.items()
        if group is not None and counts[group] == 1
    }


def _require_enough(root: Path, groups: dict[str, str | None], skipped: Skipped) -> None:
    """Raises UserError, with the first reason for leaving a picture out, when nothing can be split
    or told apart.
    """
    first = f" The first left out: {skipped[0][0]} {skipped[0][1]}." if skipped else ""
    if len(groups) < 2:
        raise UserError(
            f"{root} has {len(groups)} usable pictures; at least one to train on and one to test"
            f" are needed.{first}"
        )
    if len(classes := set(groups.values())) == 1 and None not in classes:
        raise UserError(
            f"{root} has one class with two or more usable pictures, {classes.pop()!r}; inter"
            f" negatives, the judge and the shuffled control need a second one.{first}"
        )


def _splits(groups: dict[str, str | None], config: ImageFolder) -> dict[str, str]:
    """The split of each picture, drawn from the seed group by group, so that each is in every split
    in its share.
    """
    members = defaultdict(list)
    for name, group in groups.items():
        members[group].append(name)
    splits = {}
    for group, names in members.items():
        n_test = max(1, round(config.test * len(names)))
        n_val = max(1, round(config.val * len(names))) if len(names) > 2 else 0
        order = numpy_generator(config.seed, "split", group or "").permutation(len(names))
        parts = ["test"] * n_test + ["val"] * n_val + ["train"] * (len(names) - n_test - n_val)
        splits |= {names[row]: part for row, part in zip(order, parts, strict=True)}
    return splits

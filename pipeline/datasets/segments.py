"""Names of clips cut from long videos, and rows held out of a training split: what the real data
sets share.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import numpy_generator

_SEGMENT = re.compile(r"(.+)_seg([1-9]\d*)")


def segment_name(video: str, number: int) -> str:
    """The name of the `number`-th clip of a video, counted from 1: `<video>_seg<number>`."""
    return f"{video}_seg{number}"


def split_segment(name: str) -> tuple[str, int]:
    """The video and the number (from 1) that a clip's name consists of; raises UserError for any
    other name.
    """
    if not (found := _SEGMENT.fullmatch(name)):
        raise UserError(
            f"{name!r} is not the name of a clip; expected <video>_seg<number>, counted from 1."
        )
    return found[1], int(found[2])


def read_list(path: Path) -> list[str]:
    """The names in a list file, one path a line, without their folders and suffixes; raises
    UserError when it cannot be read.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(
            f"{path} does not exist; it should be a text file with one clip or sequence a line."
        ) from None
    except UnicodeDecodeError:
        raise UserError(
            f"{path} is not a text file; it should hold one clip or sequence a line."
        ) from None
    names = [PurePosixPath(line.strip()).stem for line in lines if line.strip()]
    if not names:
        raise UserError(f"{path} is empty; it should hold one clip or sequence a line.")
    return names


def hold_out(names: Sequence[str], count: int, seed: int) -> set[str]:
    """`count` of the distinct names, drawn from the seed alone; raises UserError when that would
    leave nothing to train on.
    """
    distinct = sorted(set(names))
    if count >= len(distinct):
        raise UserError(
            f"download.validation_images (or validation_songs) holds out {count} of"
            f" {len(distinct)}; nothing would be left to train on, so lower it."
        )
    chosen = numpy_generator(seed, "validation").choice(len(distinct), count, replace=False)
    return {distinct[index] for index in chosen}

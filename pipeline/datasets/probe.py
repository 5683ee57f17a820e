"""What is wrong with a file, told in half a sentence, or None when it can be read to its end."""

from pathlib import Path

import av
from PIL import Image, UnidentifiedImageError

from pipeline.media.audio import read_audio
from pipeline.media.container import open_media
from pipeline.media.video import probe
from pipeline.runtime.arrays import read_array
from pipeline.runtime.errors import UserError


def seconds_of(path: Path) -> float:
    """How long a video lasts by its header, without reading it to the end; raises UserError when it
    cannot be opened.
    """
    with open_media(path) as container:
        return (container.duration or 0) / av.time_base


def video_trouble(path: Path, needs_sound: bool = True) -> str | None:
    """Reads every packet of a video."""
    try:
        return None if probe(path).has_audio or not needs_sound else "has no sound track"
    except UserError as mistake:
        return f"is unusable: {str(mistake).removesuffix('.')}"


def sound_trouble(path: Path) -> str | None:
    """Decodes a whole sound file."""
    try:
        return None if len(read_audio(path, 22_050)) else "holds no sound"
    except UserError as mistake:
        return f"is unusable: {str(mistake).removesuffix('.')}"


def header_trouble(path: Path) -> str | None:
    """Reads the head of a picture: quick enough for every picture of a large set."""
    return _picture_trouble(path, whole=False)


def picture_trouble(path: Path) -> str | None:
    """Decodes a picture (JPEG at an eighth of its size, which still reads every byte)."""
    return _picture_trouble(path, whole=True)


def _picture_trouble(path: Path, whole: bool) -> str | None:
    try:
        with Image.open(path) as picture:
            if whole:
                picture.draft("RGB", (1, 1))
                picture.load()
    except FileNotFoundError:
        return "is missing"
    except UnidentifiedImageError:
        return "is no picture"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"cannot be read ({error})"
    return None


def array_trouble(path: Path, size: int) -> str | None:
    """Loads a .npy file, without unpickling, and counts its numbers."""
    if not path.exists():
        return "is missing"
    try:
        values = read_array(path)
    except UserError as mistake:
        return f"cannot be read: {str(mistake).removesuffix('.')}"
    if values.dtype.kind not in "fiu" or values.size != size:
        return f"holds {values.size} values of type {values.dtype}, expected {size} numbers"
    return None

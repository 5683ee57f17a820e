"""Captions beside a manifest: several for each picture, in one file that maps clip ids to lists.

A file for each picture would mean hundreds of thousands of them in a cache that is slow with small
files.
"""

from functools import lru_cache
from pathlib import Path

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import read_json, write_json
from pipeline.storage.manifest import Clip

CAPTIONS = "captions.json"
CONTEXT = 77  # tokens that CLIP reads, start and end included


def captions_of(clip: Clip, raw: Path) -> list[str]:
    """The captions of a clip whose `caption_file` lies in `raw`; raises UserError when there are
    none.
    """
    if clip.caption_file is None:
        raise UserError(
            f"{clip.id} has no caption_file in its manifest, but captions are the condition."
        )
    if not (found := _table((raw / clip.caption_file).absolute()).get(clip.id)):
        raise UserError(f"{raw / clip.caption_file} holds no caption for {clip.id}.")
    return found


@lru_cache(maxsize=2)
def _table(path: Path) -> dict[str, list[str]]:
    table = read_json(path)
    if not isinstance(table, dict):
        raise DamagedFile(path, "it maps no clips to captions")
    return table


def read_lines(path: Path) -> list[str]:
    """The captions in a text file, one a line, in lower case; bytes that are no UTF-8 are read as
    Latin-1.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; it should hold captions, one a line.") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return [caption for line in text.splitlines() if (caption := tidy(line))]


def tidy(caption: str) -> str:
    """The caption in lower case with single spaces, as the published models read it."""
    return " ".join(caption.lower().split())


def refuse_long_captions(path: Path, captions: dict[str, list[str]]) -> None:
    """Raises UserError for captions, by picture, that are longer than CLIP reads; `path` is where
    they come from.

    For captions whose owner can shorten them: those of published sets are cut, as the published
    models cut them.
    """
    from clip.simple_tokenizer import SimpleTokenizer

    encode = SimpleTokenizer().encode
    lengths = {
        name: max(len(encode(caption)) + 2 for caption in several)
        for name, several in captions.items()
    }
    if too_long := [name for name, length in lengths.items() if length > CONTEXT]:
        others = f" (and those of {len(too_long) - 1} more pictures)" if len(too_long) > 1 else ""
        raise UserError(
            f"{path}: the caption of {too_long[0]}{others} has {lengths[too_long[0]]} tokens, but"
            f" CLIP reads {CONTEXT}; shorten it to about 50 words."
        )


def write_captions(raw: Path, captions: dict[str, list[str]]) -> None:
    """Writes all captions of a set into raw/captions.json."""
    write_json(raw / CAPTIONS, captions)
    _table.cache_clear()

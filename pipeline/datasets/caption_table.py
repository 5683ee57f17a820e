"""A user's file of captions, one line for each caption, matched to the pictures by path, file name
or stem.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from pipeline.datasets.captions import tidy
from pipeline.runtime.errors import UserError

PICTURE_KEYS = ("id", "file", "file_name", "filename", "image", "path", "name")
CAPTION_KEYS = ("caption", "captions", "text", "sentence")


def read_caption_table(path: Path, pictures: list[str]) -> dict[str, list[str]]:
    """The captions of each picture that has some, in the order of `pictures`.

    `.csv` and `.tsv` have a header with one of PICTURE_KEYS and one of CAPTION_KEYS; `.jsonl` has
    such an object on each line, whose captions may be a list; `.txt` has "picture<tab>caption"
    lines. Several lines may name the same picture. Raises UserError when the file has another form
    or names a picture that is not there.
    """
    found = defaultdict(list)
    known = _names(pictures)
    wrong = []
    for key, caption in caption_lines(path):
        name = known.get(key.strip())
        if name is None:
            wrong.append(key)
        elif text := tidy(caption):
            found[name].append(text)
    if wrong:
        raise UserError(
            f"{path}: {len(wrong)} captions name no picture of the folder, the first is"
            f" {wrong[0]!r}; expected names like {pictures[0]!r} or"
            f" {PurePosixPath(pictures[0]).stem!r}."
        )
    if not found:
        raise UserError(f"{path} holds no caption.")
    return {name: found[name] for name in pictures if name in found}


def _names(pictures: list[str]) -> dict[str, str]:
    """How a picture may be named: its path, and its path without suffix, file name or stem where
    that is unique.
    """
    known = {}
    for short in (lambda p: p.stem, lambda p: p.name, lambda p: str(p.with_suffix("")), str):
        forms = [short(PurePosixPath(picture)) for picture in pictures]
        counts = defaultdict(int)
        for form in forms:
            counts[form] += 1
        known |= {
            form: picture
            for form, picture in zip(forms, pictures, strict=True)
            if counts[form] == 1
        }
    return known


def caption_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(picture, caption) pairs as they stand in the file, in any of the forms of
    `read_caption_table`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; it should be a table of captions.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    readers = {".csv": _table, ".tsv": _table, ".jsonl": _objects, ".txt": _tabbed}
    if path.suffix.lower() not in readers:
        raise UserError(
            f"{path}: captions are read from {', '.join(readers)}, not from"
            f" {path.suffix or 'this'}."
        )
    yield from readers[path.suffix.lower()](path, text.splitlines())


def _table(path: Path, lines: list[str]) -> Iterator[tuple[str, str]]:
    reader = csv.DictReader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    picture, caption = (
        _key(path, reader.fieldnames or [], PICTURE_KEYS),
        _key(path, reader.fieldnames or [], CAPTION_KEYS),
    )
    for row in reader:
        yield row[picture] or "", row[caption] or ""


def _objects(path: Path, lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            captions = item[_key(path, item, CAPTION_KEYS)]
            picture = str(item[_key(path, item, PICTURE_KEYS)])
        except (ValueError, TypeError, RecursionError):
            raise UserError(
                f"{path}, line {number} is not a JSON object with a picture and its caption."
            ) from None
        for caption in [captions] if isinstance(captions, str) else captions:
            yield picture, str(caption)


def _tabbed(path: Path, lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, start=1):
        picture, tab, caption = line.partition("\t")
        if line.strip() and not tab:
            raise UserError(
                f"{path}, line {number}: expected the picture's name, a tab and the caption."
            )
        if tab:
            yield picture, caption


def _key(path: Path, keys: Collection[str], known: tuple[str, ...]) -> str:
    """The one of `keys` that is known."""
    for key in known:
        if key in keys:
            return key
    raise UserError(
        f"{path} names no {' or '.join(known[:2])}; it has"
        f" {', '.join(map(str, keys)) or 'no columns'}."
    )

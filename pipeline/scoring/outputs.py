"""Folders of outputs: which file belongs to which clip or picture, and under which seed."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.media.video import EXTENSIONS
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import progress

SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", *EXTENSIONS)  # the first that is there counts
PICTURES = (".png", ".jpg", ".jpeg")
_SEED = re.compile(r"(.+)_seed(\d+)")
_NAMED = 5  # so many names stand in a sentence


@dataclass(frozen=True)
class Outputs:
    """A row of a table: its name, where its files lie, and the files of each id, one a seed."""

    row: str
    folder: Path
    files: Mapping[str, list[Path]]

    def only(self, ids: Iterable[str]) -> "Outputs":
        """The same with these ids alone, in their order."""
        return replace(self, files={name: self.files[name] for name in ids})

    @property
    def sets(self) -> list[list[Path]]:
        """The files seed by seed, [seeds][ids]."""
        return [list(files) for files in zip(*self.files.values(), strict=True)]


@dataclass
class Findings:
    """What was wrong with files, in sentences: `notes` of those that were measured all the same,
    `mistakes` of those that were not.
    """

    notes: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Keeps and tells what a reader of the figures should know."""
        self.notes.append(sentence)
        print(sentence, file=sys.stderr)

    def mistake(self, sentence: str) -> None:
        """Keeps and tells why something is not measured."""
        self.mistakes.append(sentence)
        print(f"Left out: {sentence}", file=sys.stderr)


def files_by_name(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """The files below `folder` by their names without ending (folders included, `a/b`); of two of
    one name that whose ending stands first. Raises UserError where there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give one that holds {', '.join(endings)} files.")
    found: dict[str, Path] = {}
    files = [file for file in folder.rglob("*") if file.suffix.lower() in endings]
    for file in sorted(files, key=lambda file: (endings.index(file.suffix.lower()), file)):
        if not any(part.startswith(".") for part in file.relative_to(folder).parts):
            found.setdefault(file.relative_to(folder).with_suffix("").as_posix(), file)
    if not found:
        raise UserError(
            f"{folder} holds nothing to score; expected files ending in {', '.join(endings)},"
            " called as the clips or pictures they were made for."
        )
    return found


def holds_pictures(folder: Path) -> bool:
    """Whether there are pictures below a folder and no sounds."""
    endings = {file.suffix.lower() for file in Path(folder).rglob("*")}
    return bool(endings & {*PICTURES}) and not endings & {*SOUNDS}


def match(
    folder: Path, row: str, endings: tuple[str, ...], known: Iterable[str], findings: Findings
) -> Outputs:
    """The files of a folder that belong to `known` ids: NAME, or NAME_seed0, NAME_seed1, ... for
    several outputs of one.

    The others are told; raises UserError where none is left.
    """
    known, folder = list(known), Path(folder)
    ids = set(known)
    seeds: dict[str, dict[int, Path]] = {}
    strange = []
    for name, file in sorted(files_by_name(folder, endings).items()):
        found = _SEED.fullmatch(name)
        if name in ids:
            seeds.setdefault(name, {})[-1] = file
        elif found and found[1] in ids:
            seeds.setdefault(found[1], {})[int(found[2])] = file
        else:
            strange.append(name)
    like = f"expected names such as {listing(known, 2)}"
    if not seeds:
        raise UserError(
            f"{folder}: no name matches ({listing(strange)}); {like}, of {len(known)} in all."
        )
    if strange:
        findings.mistake(
            f"{folder}: {len(strange)} files match no id ({listing(strange)}); {like}."
        )
    return _as_many_seeds(Outputs(row, folder, {}), seeds, known, findings)


def without_seed(name: str) -> str:
    """The name of the item that an output called NAME or NAME_seedS was made for."""
    found = _SEED.fullmatch(name)
    return found[1] if found else name


def _as_many_seeds(
    outputs: Outputs, seeds: dict[str, dict[int, Path]], known: list[str], findings: Findings
) -> Outputs:
    """The outputs of the ids that have one of every seed."""
    every = {seed for files in seeds.values() for seed in files}
    whole = [name for name in known if set(seeds.get(name, ())) == every]
    if partly := sorted(set(seeds) - set(whole)):
        findings.mistake(
            f"{outputs.folder}: {len(partly)} ids do not have an output of every seed"
            f" ({listing(partly)})."
        )
    if not whole:
        raise UserError(
            f"{outputs.folder}: no id has an output of every seed; give each the same number of"
            " files, NAME_seed0, NAME_seed1, ..."
        )
    files = {name: [seeds[name][seed] for seed in sorted(every)] for name in whole}
    return replace(outputs, files=files)


def readable(outputs: Outputs, check: Callable[[Path], str | None], findings: Findings) -> Outputs:
    """The outputs all of whose files `check` can read; what it says of a file is kept, counted by
    kind. Raises UserError where none can be read.
    """
    usable: list[str] = []
    said: dict[str, list[str]] = {}
    items = progress(outputs.files.items(), f"reading {outputs.row}", len(outputs.files))
    for name, files in items:
        try:
            for file in files:
                for sentence in filter(None, (check(file) or "").split("; ")):
                    said.setdefault(sentence, []).append(name)
        except UserError as error:
            findings.mistake(str(error))
            continue
        usable.append(name)
    for sentence, names in said.items():
        findings.note(f"{outputs.folder}: {len(names)} files {sentence} ({listing(names)}).")
    if not usable:
        raise UserError(
            f"{outputs.folder}: none of its files can be read; the reasons stand above."
        )
    return outputs.only(usable)


def shared(rows: list[Outputs], findings: Findings) -> list[Outputs]:
    """The rows with only the ids that every one of them has, so that they stand side by side."""
    ids = [name for name in rows[0].files if all(name in row.files for row in rows)]
    every = set(ids)
    if not ids:
        folders = ", ".join(str(row.folder) for row in rows)
        raise UserError(f"{folders} have no name in common; only what all hold is compared.")
    for row in rows:
        if extra := [name for name in row.files if name not in every]:
            findings.note(
                f"{row.folder}: {len(extra)} files have no counterpart in the other folders and are"
                f" not measured ({listing(extra)})."
            )
    return [row.only(ids) for row in rows]


def row_names(folders: list[Path], taken: Iterable[str]) -> list[str]:
    """A name for each folder's row: the folder's own, its parent's before it where taken."""
    taken, names = set(taken), []
    for folder in folders:
        folder = Path(folder).absolute()
        name = folder.name if folder.name not in taken else f"{folder.parent.name}/{folder.name}"
        number, plain = 2, name
        while name in taken:
            name, number = f"{plain} ({number})", number + 1
        taken.add(name)
        names.append(name)
    return names


def listing(names: list[str], most: int = _NAMED) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

"""What lies under a data set's media root: found, counted, and recorded by size and digest without
being copied.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.progress import progress
from pipeline.storage.manifest import Clip, read_manifest, write_manifest

Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser())]
Skipped = list[tuple[str, str]]  # files left out, and why
LISTING = "listing.sha256"


def existing(path: Path, key: str, hint: str) -> Path:
    """The folder or file itself; raises UserError that names the key and says what belongs there
    when it does not exist.
    """
    if not path.exists():
        raise UserError(f"{key}: {path} does not exist; {hint}.")
    return path


def first_existing(root: Path, names: Iterable[str], what: str) -> Path:
    """The first of `names` that exists below `root`; raises UserError that lists them when none
    does.
    """
    names = list(names)
    for name in names:
        if (root / name).exists():
            return root / name
    raise UserError(f"{root} holds no {what}; expected {' or '.join(names)} in it.")


def record(raw: Path, clips: list[Clip], skipped: Skipped, root: Path) -> Skipped:
    """`skipped`, the files left out and why; writes the manifest and the listing of the files it
    refers to into `raw`.

    Raises UserError that tells the first reason when nothing is left to work with.
    """
    if not clips and skipped:
        file, reason = skipped[0]
        raise UserError(
            f"No clip can be used, {len(skipped):,} files were left out; the first: {file}"
            f" {reason}."
        )
    write_manifest(raw / "manifest.csv", clips)
    write_listing(raw, clips, root)
    return skipped


def write_listing(raw: Path, clips: Iterable[Clip], root: Path) -> None:
    """Writes raw/listing.sha256: a digest of the names and sizes of all files the clips refer to,
    their number and bytes.
    """
    with atomic(raw / LISTING) as temporary:
        temporary.write_text(_listing(clips, root))


def verify_listing(raw: Path, root: Path) -> list[str]:
    """Sentences, none when the files under `root` still have the names and sizes recorded in
    `raw`.
    """
    if not (raw / LISTING).exists():
        return [f"{raw / LISTING} is missing; run `cdcd download` for this data set again."]
    recorded, found = (
        (raw / LISTING).read_text(),
        _listing(read_manifest(raw / "manifest.csv", root).clips, root),
    )
    if recorded == found:
        return []
    return [
        f"The files under {root} changed since the download: {recorded.strip()!r} then,"
        f" {found.strip()!r} now."
    ]


def _listing(clips: Iterable[Clip], root: Path) -> str:
    files = sorted(
        {name for clip in clips for name in (clip.path, clip.pose_file, clip.visual_file) if name}
    )
    sizes = [(root / name).stat().st_size if (root / name).exists() else -1 for name in files]
    digest = hashlib.sha256()
    for name, size in zip(files, sizes, strict=True):
        digest.update(f"{size} {name}\n".encode())
    missing = f", {sizes.count(-1)} missing" if -1 in sizes else ""
    return (
        f"{digest.hexdigest()}  {len(files)} files, {sum(size for size in sizes if size > 0)}"
        f" bytes{missing}\n"
    )


def faults(
    paths: Iterable[Path], trouble: Callable[[Path], str | None], title: str
) -> dict[Path, str]:
    """What `trouble` says of each file in which it finds fault; files are read by as many threads
    as there are cores.
    """
    paths = list(paths)
    with ThreadPoolExecutor(cpu_count()) as pool:
        found = list(progress(pool.map(trouble, paths), title, len(paths)))
    return {path: fault for path, fault in zip(paths, found, strict=True) if fault}


def unreadable(
    paths: Iterable[Path], trouble: Callable[[Path], str | None], title: str
) -> list[str]:
    """A sentence for each file in which `trouble` finds fault."""
    return shorten([f"{path} {fault}." for path, fault in faults(paths, trouble, title).items()])


def wrong_counts(found: Iterable[str], expected: dict[str, int], what: str) -> list[str]:
    """A sentence for each split whose number of rows differs from the complete data set's; `found`
    names each row's split.

    Rows held out for validation count as training rows where the complete set has no validation
    split.
    """
    counts = Counter(found)
    if "val" not in expected:
        counts["train"] += counts["val"]
    return [
        f"{split}: {counts[split]:,} {what}, the complete set has {count:,}."
        for split, count in expected.items()
        if counts[split] != count
    ]


def shorten(sentences: list[str], limit: int = 20) -> list[str]:
    """The first `limit` sentences and how many more there are."""
    return sentences[:limit] + (
        [f"... and {len(sentences) - limit:,} more like these."] if len(sentences) > limit else []
    )

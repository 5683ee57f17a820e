"""Published archives: fetched, held against what was published, unpacked, and put away."""

import hashlib
from pathlib import Path

from pipeline.runtime.errors import UserError
from pipeline.storage.archive import unpack
from pipeline.storage.download import fetch

GIB = 2**30
BY_HAND = (
    "By hand: docs/datasets.md names the page and other sources; put the file or its contents into"
    " {folder}."
)


def fetch_archive(
    url: str,
    folder: Path,
    max_bytes: int,
    size: int | None = None,
    sha256: str | None = None,
    md5: str | None = None,
) -> None:
    """Downloads an archive into `folder`, unpacks it there and deletes it; a copy already in
    `folder` is used as it is.

    Raises UserError, and unpacks nothing, when it cannot be had whole or is not the published one.
    """
    archive = folder / url.rpartition("/")[2]
    by_hand = BY_HAND.format(folder=folder)
    if not archive.exists():
        fetch((url,), archive, by_hand, size, sha256)
    if md5:
        with open(archive, "rb") as handle:
            actual = hashlib.file_digest(handle, "md5").hexdigest()
        if actual != md5:
            raise UserError(
                f"{archive} has the MD5 {actual}, not {md5}: another or a damaged file; delete it."
                f" {by_hand}"
            )
    unpack(archive, folder, max_bytes)
    archive.unlink()

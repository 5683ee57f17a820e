"""Downloads that continue where they stopped and become a file only when they are whole and what was published."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from pipeline.runtime import Mistake, progress

_CHUNK = 2**20
_TIMEOUT_S = 60


def fetch(url: str, path: Path, digest: str | None = None, size: int | None = None) -> None:
    """Brings `url` to `path` unless it is there; an unfinished `<name>.part` beside it is continued.

    `digest` is "sha256:<hex>" or "md5:<hex>", `size` the published number of bytes. Raises Mistake when the address does
    not answer, answers with a web page, the connection ends early (what arrived is kept), or the bytes are not those published.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        _continue(url, part, path.name)
    except (OSError, HTTPException) as error:
        raise Mistake(
            f"{url} could not be fetched ({error}); run the command again to continue, or put the file at {path} yourself."
        ) from None
    _verify(url, part, digest, size)
    os.replace(part, path)


def _continue(url: str, part: Path, title: str) -> None:
    """Appends what is missing to `part`."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "cdcd"} | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing is missing, or the file changed: the digest tells
            return
        raise
    with response:
        if "text/html" in response.headers.get("Content-Type", ""):
            raise Mistake(f"{url} answered with a web page instead of a file; open it in a browser and save the file yourself.")
        resumed = response.status == 206
        expected = int(response.headers.get("Content-Length", 0)) or None
        with open(part, "ab" if resumed else "wb") as handle:
            start = handle.tell() if resumed else 0
            for chunk in progress(_chunks(response), f"fetching {title} (MiB)", -(-expected // _CHUNK) if expected else None):
                handle.write(chunk)
            arrived = handle.tell() - start
        if expected and arrived < expected:
            raise ConnectionError(f"the connection ended after {arrived:,} of {expected:,} bytes")


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while chunk := response.read(_CHUNK):
        yield chunk


def _verify(url: str, part: Path, digest: str | None, size: int | None) -> None:
    """Deletes `part` and raises Mistake when it is not the published file."""
    found = part.stat().st_size
    if size is not None and found != size:
        part.unlink()
        raise Mistake(f"{url} gave {found:,} bytes, the published file has {size:,}; it was deleted.")
    if digest:
        name, expected = digest.split(":")
        with open(part, "rb") as handle:
            actual = hashlib.file_digest(handle, name).hexdigest()
        if actual != expected:
            part.unlink()
            raise Mistake(f"{url} gave a file whose {name} is {actual}, not {expected} as published; it was deleted.")

"""Files from the web that arrive whole or not at all: resumed after a dropped connection, verified,
renamed at the end.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, sha256_file

ATTEMPTS = 4
PIECE = 2**16


def fetch(
    urls: tuple[str, ...],
    target: Path,
    by_hand: str,
    size: int | None = None,
    sha256: str | None = None,
) -> Path:
    """`target`, after downloading the file (several URLs: its parts in order) and checking it.

    Unfinished parts stay beside the target as `.NAME.0.part` and the next call goes on from them.
    `sha256` may be the beginning of a digest. Whatever goes wrong ends in a UserError that closes
    with `by_hand`; then `target` does not exist.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    parts = [target.with_name(f".{target.name}.{number}.part") for number in range(len(urls))]
    with _alone(target):
        for url, part in zip(urls, parts):
            _fetch_part(url, part, by_hand)
        with atomic(target) as whole:
            _join(parts, whole)
            try:
                verify(whole, size, sha256, f"What {urls[0]} gave", by_hand)
            except UserError:
                for part in parts:
                    part.unlink(missing_ok=True)
                raise
    for part in parts:
        part.unlink(missing_ok=True)
    return target


def verify(path: Path, size: int | None, sha256: str | None, what: str, by_hand: str) -> str:
    """The hex SHA-256 of a file; raises UserError when it is a web page, or its size or digest is
    not the expected one.
    """
    with open(path, "rb") as file:
        if looks_like_html(file.read(512)):
            raise UserError(f"{what} is a web page, not the file itself. {by_hand}")
    actual = path.stat().st_size
    if actual == 0 or (size is not None and actual != size):
        raise UserError(
            f"{what} has {actual:,} bytes instead of {'some' if size is None else f'{size:,}'}."
            f" {by_hand}"
        )
    digest = sha256_file(path)
    if sha256 is not None and not digest.startswith(sha256):
        raise UserError(
            f"{what} has the SHA-256 {digest[: len(sha256)]}, not {sha256}: another or a damaged"
            f" file. {by_hand}"
        )
    return digest


def looks_like_html(start: bytes) -> bool:
    """Whether a file's first bytes are those of a web page."""
    return (
        start.lstrip(b"\xef\xbb\xbf \t\r\n")
        .lower()
        .startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--"))
    )


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Holds back a second process that fetches the same file."""
    lock = target.with_name(f".{target.name}.lock")
    with open(lock, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    lock.unlink(missing_ok=True)


def _fetch_part(url: str, part: Path, by_hand: str) -> None:
    """Completes `part`; a connection that drops is taken up again, and given up when it brings
    nothing new several times.
    """
    failures = kept = held = 0
    reason = "nothing came"
    while failures < ATTEMPTS:
        try:
            if _continue(url, part, by_hand):
                return
            reason = "the connection dropped"
        except requests.RequestException as error:
            reason = _reason(error)
        held = part.stat().st_size if part.exists() else 0
        failures = 0 if held > kept else failures + 1
        kept = max(kept, held)
        time.sleep(2**failures)
    resume = (
        f" {held:,} bytes are kept: run the same command again to go on from there." if held else ""
    )
    raise UserError(f"{url} could not be fetched ({reason}).{resume} {by_hand}")


def _continue(url: str, part: Path, by_hand: str) -> bool:
    """Asks for what `part` lacks and appends it; True when the server says that it is complete
    now.
    """
    held = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
    with requests.get(url, headers=headers, stream=True, timeout=30) as response:
        if (
            response.status_code == 416
        ):  # nothing lies beyond what we hold: complete, or not this file at all
            if response.headers.get("Content-Range", "").rpartition("/")[2] == str(held):
                return True
            part.unlink()
            return False
        if response.status_code >= 500 or response.status_code == 429:
            response.raise_for_status()
        if not response.ok:
            raise UserError(f"{url} answers {response.status_code} ({response.reason}). {by_hand}")
        if "html" in response.headers.get("Content-Type", ""):
            raise UserError(
                f"{url} answers with a web page instead of the file (moved, quota, or a login)."
                f" {by_hand}"
            )
        resumed = response.status_code == 206 and response.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {held}-")
        start = held if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with open(part, "ab" if resumed else "wb") as file, _shown(part, start, total) as advance:
            for piece in response.iter_content(PIECE):
                file.write(piece)
                advance(len(piece))
    return total is None or part.stat().st_size == total


@contextmanager
def _shown(part: Path, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(stderr=True), disable=not Console(stderr=True).is_terminal
    ) as bar:
        task = bar.add_task(
            part.name.strip(".").removesuffix(".part"), total=total, completed=start
        )
        yield lambda size: bar.advance(task, size)


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answers {error.response.status_code}"
    match error:
        case requests.ConnectTimeout() | requests.ReadTimeout():
            return "no answer within 30 s"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection dropped"
        case requests.ConnectionError():
            return "the server cannot be reached"
    return type(error).__name__


def _join(parts: list[Path], whole: Path) -> None:
    if len(parts) == 1:
        parts[0].replace(whole)
        return
    with open(whole, "wb") as file:
        for part in parts:
            with open(part, "rb") as piece:
                while data := piece.read(PIECE):
                    file.write(data)

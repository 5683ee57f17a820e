"""What dvc.lock records of the outputs: their digests as DVC computes them, without DVC."""

import hashlib
import json
from pathlib import Path

from pipeline.runtime.files import read_json
from pipeline.runtime.params import read_yaml


def recorded(lock: Path) -> dict[str, str]:
    """The digest of each output in a dvc.lock, by its path; empty where there is no such file."""
    if not lock.exists():
        return {}
    stages = read_yaml(lock).get("stages") or {}
    return {
        str(Path(out["path"])): out["md5"]
        for stage in stages.values()
        for out in stage.get("outs", [])
        if "md5" in out
    }


def differences(out: Path, digest: str, cache: Path) -> list[str]:
    """Which files of an output differ from what dvc.lock records, as paths below it (`.` for the
    output itself, where DVC's `cache` no longer lists its files); none when all is as recorded.
    """
    if out.is_file():
        return [] if _md5(out) == digest else ["."]
    found = {
        file.relative_to(out).as_posix(): _md5(file)
        for file in sorted(out.rglob("*"))
        if file.is_file()
    }
    if _listing_digest(found) == digest:
        return []
    listing = cache / "files" / "md5" / digest[:2] / digest[2:]
    if not listing.exists():
        return ["."]
    known = {entry["relpath"]: entry["md5"] for entry in read_json(listing)}
    return sorted(name for name in found | known if found.get(name) != known.get(name)) or ["."]


def _listing_digest(files: dict[str, str]) -> str:
    """The digest of a folder: that of its files' names and digests as DVC writes them."""
    parts = sorted(files, key=lambda name: tuple(name.split("/")))
    entries = [{"md5": files[name], "relpath": name} for name in parts]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()

"""What CUB-200, MSCOCO and ImageNet share: pictures that can be opened become the manifest, and a
check reads them whole.
"""

from pathlib import Path

from pipeline.datasets.captions import write_captions
from pipeline.datasets.listing import Skipped, faults, record, shorten, unreadable, wrong_counts
from pipeline.datasets.probe import header_trouble, picture_trouble
from pipeline.storage.manifest import Clip


def record_pictures(
    raw: Path,
    clips: list[Clip],
    skipped: Skipped,
    root: Path,
    captions: dict[str, list[str]] | None = None,
) -> Skipped:
    """The files left out and why, those that cannot be opened as well; writes manifest, listing and
    captions into `raw`.
    """
    found = faults([root / clip.path for clip in clips], header_trouble, "opening files")
    kept = [clip for clip in clips if root / clip.path not in found]
    skipped = record(
        raw, kept, skipped + [(str(path), fault) for path, fault in found.items()], root
    )
    if captions is not None:
        write_captions(raw, {clip.id: captions[clip.id] for clip in kept})
    return skipped


def check_pictures(
    clips: list[Clip], skipped: Skipped, root: Path, complete: dict[str, int]
) -> list[str]:
    """What is missing, unreadable or differs in number from the `complete` set, a sentence each."""
    problems = wrong_counts((clip.split for clip in clips), complete, "pictures")
    problems += shorten([f"{name}: {reason}." for name, reason in skipped])
    return problems + unreadable(
        [root / clip.path for clip in clips], picture_trouble, "reading pictures"
    )

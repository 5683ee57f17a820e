"""AIST++ from its official addresses: annotations from Google's release, videos from the AIST Dance
Video Database.
"""

from pathlib import Path

from pipeline.datasets.archives import BY_HAND, GIB, fetch_archive
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import progress
from pipeline.storage.download import fetch

RELEASE = "https://github.com/google/aistplusplus_dataset/releases/download/v1.0"
VIDEO = "https://aistdancedb.ongaaccel.jp/v1.0.0/video/10M"
TERMS = "https://aistdancedb.ongaaccel.jp/terms_of_use/"
# Bytes and SHA-256 as the release states them; where the digest is not known here, the size and the
# checksums inside do.
ANNOTATIONS = {
    "splits": (16_454, "38e2d47c81d245fdc0d65b3897b83db1693eea377edc13b30270e4928f4073ad"),
    "cameras": (27_294, "134050b967fe92364450fd341bf02c36e23873b7677c42288dfc428db4547637"),
    "motions": (78_684_689, None),
    "keypoints2d": (1_316_187_461, None),
    "keypoints3d": (
        876_142_511,
        "8b2a3bfcea233b8d1859a0dc93c7800a8f9e832136ef6828d0b3ddff640ddcfd",
    ),
}
IGNORE_LIST = (1_217, "be44c54baa91a1aff18306da2f3fc44abd1adfbb32317ac9f9b1362685415339")
_GIVE_UP_AFTER = 5


def fetch_annotations(root: Path, kinds: tuple[str, ...]) -> None:
    """Brings the split lists, the ignore list and the given kinds of annotation below `root`,
    unless they are there.
    """
    size, digest = IGNORE_LIST
    if not (root / "ignore_list.txt").exists():
        fetch(
            (f"{RELEASE}/ignore_list.txt",),
            root / "ignore_list.txt",
            BY_HAND.format(folder=root),
            size,
            digest,
        )
    for kind in ("splits", *kinds):
        size, digest = ANNOTATIONS[kind]
        if not (root / kind).exists():
            fetch_archive(f"{RELEASE}/{kind}.zip", root, 8 * GIB, size, digest)


def fetch_videos(folder: Path, names: list[str]) -> None:
    """Brings the named videos into `folder`; single ones that do not answer are left to be reported
    as missing.

    Raises UserError when several in a row do not answer.
    """
    failures = 0
    for name in progress(
        [name for name in names if not (folder / f"{name}.mp4").exists()], "fetching videos"
    ):
        try:
            fetch((f"{VIDEO}/{name}.mp4",), folder / f"{name}.mp4", BY_HAND.format(folder=folder))
            failures = 0
        except UserError:
            failures += 1
            if failures == _GIVE_UP_AFTER:
                raise


def require_terms(accepted: bool) -> None:
    """Raises UserError unless the user has accepted the terms of the AIST Dance Video Database."""
    if not accepted:
        raise UserError(
            f"AIST videos are for research only: read {TERMS}, send the application form named"
            " there, and set download.accept_aist_terms: true in params/aist.yaml; or set"
            " download.source: local for copies that you have."
        )

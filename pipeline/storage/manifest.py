"""The one table that describes a data set on disk: every data set ends here, a user's own folder as
well.
"""

import csv
import math
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic

LEAST_TEST_CLIPS, LEAST_TEST_SONGS = 10, 5  # below, figures of a whole set mean little
SPLITS = ("train", "val", "test", "infer")


@dataclass(frozen=True)
class Clip:
    """One item: a stretch of a video, or a picture. `path` is relative to the media root.

    Split `infer` marks items without content (a silent video): they have conditions but no tokens.
    `pose_file` and `visual_file` name annotated motion and ready I3D features where a data set
    brings its own.
    """

    id: str
    path: str
    split: str
    start_s: float | None = None
    duration_s: float | None = None
    song: str | None = None
    genre: str | None = None
    label: str | None = None
    caption_file: str | None = None
    pose_file: str | None = None
    visual_file: str | None = None


@dataclass(frozen=True)
class Manifest:
    """The clips of a data set in their one order, and the folder their paths are relative to."""

    clips: tuple[Clip, ...]
    root: Path

    def of(self, *splits: str) -> list[int]:
        """The row numbers of the given splits, in order."""
        return [row for row, clip in enumerate(self.clips) if clip.split in splits]

    def file(self, clip: Clip) -> Path:
        """Where the clip's media file lies."""
        return self.root / clip.path

    @property
    def ids(self) -> list[str]:
        """The clips' ids in order."""
        return [clip.id for clip in self.clips]


def write_manifest(path: Path, clips: list[Clip]) -> None:
    """Writes manifest.csv atomically, with only the columns in use; raises UserError when
    `check_clips` objects.
    """
    check_clips(clips, str(path))
    rows = [asdict(clip) for clip in clips]
    columns = [
        field.name for field in fields(Clip) if any(row[field.name] is not None for row in rows)
    ]
    with atomic(path) as temporary, open(temporary, "w", newline="") as handle:
        writer = csv.DictWriter(handle, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_manifest(path: Path, media_root: Path | None = None) -> Manifest:
    """The manifest in `path`, its files relative to `media_root` (default: the manifest's own
    folder).
    """
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; run `cdcd download` for this data set first."
        ) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; a table was expected there.") from None
    except (UnicodeDecodeError, csv.Error):
        raise DamagedFile(path, "it is not a table") from None
    clips = [_clip(row, number, path) for number, row in enumerate(rows, start=2)]
    check_clips(clips, str(path))
    return Manifest(tuple(clips), Path(media_root) if media_root else Path(path).parent)


def _clip(row: dict, number: int, path: Path) -> Clip:
    known = {field.name for field in fields(Clip)}
    if unknown := set(row) - known:
        raise UserError(
            f"{path}: unknown column {sorted(map(str, unknown))[0]!r}; known are"
            f" {', '.join(sorted(known))}."
        )
    try:
        values = {name: value for name, value in row.items() if value not in ("", None)}
        for name in ("start_s", "duration_s"):
            if name in values:
                values[name] = _seconds(values[name])
        return Clip(**values)
    except (ValueError, TypeError):
        raise UserError(
            f"{path}, line {number}: needs id, path and split, and numbers of seconds; found {row}."
        ) from None


def _seconds(text: str) -> float:
    """A length or a place in time; raises ValueError for what is neither."""
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError(text)
    return number


def thin_test(manifest: Manifest) -> str | None:
    """Why the test split can carry few figures, in one sentence; None where it has enough clips and
    songs.
    """
    clips = [manifest.clips[row] for row in manifest.of("test")]
    songs = len({clip.song or clip.id for clip in clips})
    if len(clips) >= LEAST_TEST_CLIPS and songs >= LEAST_TEST_SONGS:
        return None
    return (
        f"the test split has {len(clips)} clips of {songs} songs, fewer than {LEAST_TEST_CLIPS} of"
        f" {LEAST_TEST_SONGS}: the report withholds intervals and distances that they cannot carry;"
        " more or longer videos mend it."
    )


def check_clips(clips: list[Clip], name: str) -> None:
    """Raises UserError when there is nothing, an id repeats or could leave a folder (samples are
    named by it), a split is unknown, or train shares a song with val or test.
    """
    if not clips:
        raise UserError(f"{name}: no usable clip was found.")
    repeated, times = Counter(clip.id for clip in clips).most_common(1)[0]
    if times > 1:
        raise UserError(f"{name}: the id {repeated!r} stands {times} times; ids must be unique.")
    for clip in clips:
        if "\0" in clip.id + clip.path or _leaves_its_folder(clip.id):
            raise UserError(
                f"{name}: the id {clip.id!r} cannot name a file; use letters, digits and dashes."
            )
        if clip.split not in SPLITS:
            raise UserError(
                f"{name}: {clip.id} has split {clip.split!r}; use one of {', '.join(SPLITS)}."
            )
    songs = {
        split: {clip.song for clip in clips if clip.split == split and clip.song}
        for split in SPLITS
    }
    if shared := songs["train"] & (songs["val"] | songs["test"]):
        raise UserError(
            f"{name}: song {sorted(shared)[0]!r} is in train and in val or test; splits must not"
            " share a song."
        )


def _leaves_its_folder(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def spread(songs: list[str], n: int) -> list[int]:
    """`n` positions, one of each song in turn, so that few examples show as many songs as they
    can.
    """
    turn: dict[str, int] = {}
    order = []
    for position, song in enumerate(songs):
        order.append((turn.get(song, 0), position))
        turn[song] = turn.get(song, 0) + 1
    return [position for _, position in sorted(order)[:n]]

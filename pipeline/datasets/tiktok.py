"""`tiktok`: the TikTok Dance-Music set of D2M-GAN, 445 short dances "in the wild".

A clip is `<number>_<music>_<video>_seg<k>`, two seconds long; the music number tells the song. The
authors' two lists share no song. They made no validation split: whole songs can be held out of the
training list for it.
"""

import re
from pathlib import Path
from typing import Literal

from pipeline.datasets.listing import (
    Folder,
    Skipped,
    existing,
    first_existing,
    record,
    shorten,
    unreadable,
    wrong_counts,
)
from pipeline.datasets.probe import array_trouble, seconds_of, sound_trouble, video_trouble
from pipeline.datasets.segments import hold_out, read_list, split_segment
from pipeline.media.video import EXTENSIONS
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Amount, Section, Seed
from pipeline.runtime.progress import progress
from pipeline.storage.manifest import Clip

CLIP_SECONDS = 2
TOLERANCE_S = 0.25  # the last picture may stand in for what is missing at the end
CLIPS = {"train": 2384, "test": 307}
VISUAL_VALUES = 2048
POSE_VALUES = 60 * 75  # frames at 30 fps, times 25 joints (x, y, score)
_VIDEO = re.compile(r"\d{6}_(\d+)_\d+")


class Tiktok(Section):
    """Where the authors' lists lie, and the clips they name.

    `source`: the authors' `features` (audio_s2, motion_s2, video_s2 below `media_root`), or your
    own copies of the `videos`, `<number>_<music>_<video>.mp4`, whose poses are then extracted here.
    Nothing is downloaded.
    """

    source: Literal["features", "videos"]
    media_root: Folder
    train_list: Folder
    test_list: Folder
    validation_songs: Amount
    split_seed: Seed

    @property
    def clip_seconds(self) -> float:
        """The length of the clips that the authors' lists name."""
        return 2.0


def song_of(video: str) -> str:
    """The song of a video by its name; raises UserError for a name that the data set does not
    give.
    """
    if not (found := _VIDEO.fullmatch(video)):
        raise UserError(
            f"{video!r} is not a TikTok Dance-Music name; expected <6 digits>_<music>_<video>."
        )
    return found[1]


def prepare(config: Tiktok, raw: Path) -> Skipped:
    """The files left out and why; writes the manifest and the listing of the files it refers to
    into `raw`.
    """
    return record(raw, *_clips(config), config.media_root)


def check(config: Tiktok) -> list[str]:
    """What is missing, short, unreadable or differs from the complete data set, a sentence each."""
    try:
        clips, skipped = _clips(config)
    except UserError as mistake:
        return [str(mistake)]
    problems = wrong_counts((clip.split for clip in clips), CLIPS, "clips")
    problems += shorten([f"{name}: {reason}." for name, reason in skipped])
    media = sorted({config.media_root / clip.path for clip in clips})
    if config.source == "videos":
        return problems + unreadable(media, video_trouble, "reading videos")
    motions = [config.media_root / str(clip.pose_file) for clip in clips]
    features = [config.media_root / str(clip.visual_file) for clip in clips]
    problems += unreadable(media, sound_trouble, "reading sound")
    problems += unreadable(motions, lambda path: array_trouble(path, POSE_VALUES), "reading motion")
    return problems + unreadable(
        features, lambda path: array_trouble(path, VISUAL_VALUES), "reading video features"
    )


def _clips(config: Tiktok) -> tuple[list[Clip], Skipped]:
    existing(
        config.media_root,
        "download.media_root",
        "docs/datasets.md says what belongs there and where to get it",
    )
    rows = listed_clips(config)
    return (
        _video_clips(config.media_root, rows)
        if config.source == "videos"
        else _feature_clips(config.media_root, rows)
    )


def listed_clips(config: Tiktok) -> list[tuple[str, str, str]]:
    """The name, split and song of every clip in the authors' lists, in their order."""
    listed = {"train": read_list(config.train_list), "test": read_list(config.test_list)}
    songs = {name: song_of(split_segment(name)[0]) for names in listed.values() for name in names}
    held_out = hold_out(
        [songs[name] for name in listed["train"]], config.validation_songs, config.split_seed
    )
    train = [
        (name, "val" if songs[name] in held_out else "train", songs[name])
        for name in listed["train"]
    ]
    return train + [(name, "test", songs[name]) for name in listed["test"]]


def _feature_clips(root: Path, rows: list[tuple[str, str, str]]) -> tuple[list[Clip], Skipped]:
    """The clips for which sound, motion and video features are all there, and the first missing
    file of the others.
    """
    clips, skipped = [], []
    for name, split, song in progress(rows, "looking at clips"):
        files = [f"audio_s2/{name}.wav", f"motion_s2/{name}.npy", f"video_s2/{name}.npy"]
        if missing := [file for file in files if not (root / file).exists()]:
            skipped.append((missing[0], "is missing"))
            continue
        sound, motion, video = files
        clips.append(
            Clip(name, sound, split, 0.0, CLIP_SECONDS, song, pose_file=motion, visual_file=video)
        )
    return clips, skipped


def _video_clips(root: Path, rows: list[tuple[str, str, str]]) -> tuple[list[Clip], Skipped]:
    """The clips whose video is there and lasts long enough; a fault of a video is told once."""
    seconds, faults, clips = {}, {}, []
    for video in progress(
        dict.fromkeys(split_segment(name)[0] for name, _, _ in rows), "looking at videos"
    ):
        try:
            path = first_existing(
                root, [video + suffix for suffix in EXTENSIONS], "video of that name"
            )
            seconds[video] = (path.name, seconds_of(path))
        except UserError as mistake:
            faults[video] = str(mistake)
    for name, split, song in rows:
        video, number = split_segment(name)
        file, lasts = seconds.get(video, (None, 0.0))
        start = CLIP_SECONDS * (number - 1)
        if start + CLIP_SECONDS <= lasts + TOLERANCE_S:
            clips.append(Clip(name, file, split, float(start), CLIP_SECONDS, song))
        elif file:
            faults[name] = f"ends at {start + CLIP_SECONDS} s, but its video lasts {lasts:.2f} s"
    return clips, list(faults.items())

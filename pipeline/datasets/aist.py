"""`aist`: AIST++ dance videos with their music, annotated motion and the official cross-modal
split.

A sequence is `g<genre>_s<situation>_cAll_d<dancer>_m<song>_ch<choreography>`; its video has the
camera in place of `All`, always `c01` here. Basic dances (BM) last 16 beats, freestyle ones (FM)
64, at a tempo that the song's name tells, so the clips of each video follow from its name.
Validation and test share their ten songs, but no video; training has other songs.
"""

import re
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from typing import Any, Literal

from pipeline.datasets.aist_download import fetch_annotations, fetch_videos, require_terms
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
from pipeline.datasets.segments import read_list, segment_name, split_segment
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.storage.manifest import Clip
from pipeline.storage.unpickle import load_pickle

# The order of the authors' one-hot genre vectors.
GENRES = {
    "BR": "break",
    "PO": "pop",
    "LO": "lock",
    "MH": "middle hip-hop",
    "LH": "LA-style hip-hop",
    "HO": "house",
    "WA": "waack",
    "KR": "krump",
    "JS": "street jazz",
    "JB": "ballet jazz",
}
SPLITS = ("train", "val", "test")
BEATS = {"BM": 16, "FM": 64}
FPS = 60
FRAMES = {
    "motions": ("smpl_trans", 0),
    "keypoints2d": ("keypoints2d", 1),
    "keypoints3d": ("keypoints3d_optim", 0),
}
TOLERANCE_S = 0.25  # videos and motions end some frames before their last beat
VIDEOS = {"train": 980, "val": 20, "test": 20}
CLIPS = {  # of the complete set, by clip_seconds and clips
    (2, "complete"): (6632, 86, 86),
    (4, "complete"): (3129, 40, 40),
    (6, "complete"): (1930, 24, 24),
    (2, "authors"): (6632, 86, 86),
    (4, "authors"): (3129, 40, 40),
    (6, "authors"): (2581, 36, 36),
}
_SEQUENCE = re.compile(r"g([A-Z]{2})_s(BM|FM)_c(?:All|\d\d)_d\d\d_m(([A-Z]{2})[0-5])_ch\d\d")


class Aist(Section):
    """Where AIST++ lies and how it is cut.

    `source`: videos and annotations in `local` folders, the same fetched from the `official`
    addresses once `accept_aist_terms` is true, or the authors' ready `features` (audio_s2,
    motion_s2, video_s2 under `media_root`). `clips`: `complete` ones without padding or overlap, or
    as many as the `authors` cut (at 6 s, the last one of a video then starts early enough to end
    with it). `annotations` names what `official` fetches; `motion`, which of them the manifest
    points to: SMPL `motions` (for pose.source aist_smpl) or keypoints. `drop_ignored` leaves out
    the sequences whose motion AIST++ itself calls poor.
    """

    source: Literal["local", "official", "features"]
    media_root: Folder
    annotations_root: Folder
    accept_aist_terms: bool
    annotations: tuple[Literal["motions", "keypoints2d", "keypoints3d", "cameras"], ...]
    motion: Literal["motions", "keypoints2d", "keypoints3d"]
    clip_seconds: Literal[2, 4, 6]
    clips: Literal["complete", "authors"]
    drop_ignored: bool


@dataclass(frozen=True)
class Sequence:
    """What the name of a sequence, video or clip tells."""

    name: str
    genre: str
    song: str
    situation: str

    @property
    def video(self) -> str:
        """The name of the sequence's video, seen by camera 1."""
        return self.name.replace("_cAll_", "_c01_")

    @property
    def seconds(self) -> float:
        """How long the dance lasts: its beats at the song's tempo."""
        return BEATS[self.situation] * 60 / tempo(self.song)


def parse_sequence(name: str) -> Sequence:
    """What a sequence's or video's name tells; raises UserError for a name that AIST++ does not
    give.
    """
    found = _SEQUENCE.fullmatch(name)
    if not found or found[1] != found[4] or found[1] not in GENRES:
        raise UserError(
            f"{name!r} is not an AIST++ name; expected one like gBR_sBM_cAll_d04_mBR0_ch01."
        )
    return Sequence(name, genre=found[1], song=f"m{found[3]}", situation=found[2])


def tempo(song: str) -> float:
    """The song's beats per minute: 80, 90 .. 130 for mXX0 .. mXX5; house runs from 110 to 135 in
    steps of 5.
    """
    step = int(song[-1])
    return 110.0 + 5 * step if song[1:3] == "HO" else 80.0 + 10 * step


def clip_starts(seconds: float, clip_seconds: int, clips: str) -> list[float]:
    """The start in seconds of each clip of a dance of the given length.

    `complete`: floor(seconds / clip_seconds) clips one after the other. `authors`: their 6 s list
    has one clip for every three or fewer 2 s clips; where the last would reach past the end, it
    starts earlier and overlaps the one before.
    """
    count = int(seconds // clip_seconds)
    if clips == "authors" and clip_seconds == 6:
        count = -(-int(seconds // 2) // 3)
    return [min(number * clip_seconds, seconds - clip_seconds) for number in range(count)]


def prepare(config: Aist, raw: Path) -> Skipped:
    """The files left out and why; writes the manifest and the listing of the files it refers to
    into `raw`.
    """
    if config.source == "official":
        require_terms(config.accept_aist_terms)
        fetch_annotations(config.annotations_root, config.annotations)
        videos = [sequence.video for members in sequences(config).values() for sequence in members]
        fetch_videos(config.media_root / "videos", videos)
    return record(raw, *_clips(config, trust_duration=False), config.media_root)


def check(config: Aist) -> list[str]:
    """What is missing, short, unreadable or differs from the complete data set, a sentence each;
    downloads nothing.
    """
    try:
        clips, skipped = _clips(config, trust_duration=True)
    except UserError as mistake:
        return [str(mistake)]
    expected: dict[str, int] = (
        {}
        if config.drop_ignored
        else dict(zip(SPLITS, CLIPS[config.clip_seconds, config.clips], strict=True))
    )
    problems = wrong_counts(
        (clip.split for clip in clips), expected, f"clips of {config.clip_seconds} s"
    )
    problems += shorten([f"{name}: {reason}." for name, reason in skipped])
    root, seconds = config.media_root, config.clip_seconds
    trouble = sound_trouble if config.source == "features" else video_trouble
    problems += unreadable(sorted({root / clip.path for clip in clips}), trouble, "reading media")
    poses = sorted({root / clip.pose_file for clip in clips if clip.pose_file})
    if config.source == "features":
        problems += unreadable(
            poses, lambda path: array_trouble(path, seconds * FPS * 219), "reading motion"
        )
        visual = sorted({root / clip.visual_file for clip in clips if clip.visual_file})
        return problems + unreadable(
            visual, lambda path: array_trouble(path, 2048), "reading video features"
        )
    return problems + unreadable(poses, _motion_trouble, "reading motion")


def sequences(config: Aist) -> dict[str, list[Sequence]]:
    """The sequences of each split of the official cross-modal lists; raises UserError when a list
    is missing.
    """
    folder = config.annotations_root / "splits"
    hint = (
        "put AIST++'s annotation folder (motions/, splits/, ignore_list.txt) there, or set"
        " download.source: official"
    )
    existing(folder, "download.annotations_root", hint)
    ignored = (
        set(read_list(config.annotations_root / "ignore_list.txt"))
        if config.drop_ignored
        else set()
    )
    names = {split: read_list(folder / f"crossmodal_{split}.txt") for split in SPLITS}
    return {
        split: [parse_sequence(name) for name in names[split] if name not in ignored]
        for split in SPLITS
    }


def _clips(config: Aist, trust_duration: bool) -> tuple[list[Clip], Skipped]:
    existing(
        config.media_root,
        "download.media_root",
        "docs/datasets.md says what belongs there and where to get it",
    )
    if config.source == "features":
        return _feature_clips(config)
    clips, skipped = [], []
    videos = first_existing(config.media_root, ["videos", "."], "videos")
    hint = "add it to download.annotations with source official, or unpack it there"
    existing(config.annotations_root / config.motion, "download.annotations_root", hint)
    motions = relpath(
        config.annotations_root.resolve() / config.motion, config.media_root.resolve()
    )
    for split, members in sequences(config).items():
        for sequence in progress(members, f"looking at {split} videos"):
            media, motion = videos / f"{sequence.video}.mp4", f"{motions}/{sequence.name}.pkl"
            if fault := _fault(media, config.media_root / motion, sequence, trust_duration):
                skipped.append(fault)
                continue
            for number, start in enumerate(
                clip_starts(sequence.seconds, config.clip_seconds, config.clips), start=1
            ):
                clips.append(
                    Clip(
                        segment_name(sequence.video, number),
                        relpath(media, config.media_root),
                        split,
                        start_s=round(start, 6),
                        duration_s=config.clip_seconds,
                        song=sequence.song,
                        genre=sequence.genre,
                        pose_file=motion,
                    )
                )
    return clips, skipped


def _fault(
    media: Path, motion: Path, sequence: Sequence, trust_duration: bool
) -> tuple[str, str] | None:
    """The file because of which a sequence cannot be used, and why."""
    for path in (media, motion):
        if not path.exists():
            return str(path), "is missing"
    if trust_duration:
        return None
    try:
        lasts = seconds_of(media)
    except UserError as mistake:
        return str(media), str(mistake)
    if lasts < sequence.seconds - TOLERANCE_S:
        return (
            str(media),
            (
                f"lasts {lasts:.2f} s, but its dance {sequence.seconds:.2f} s: the file is cut off"
                " or another edit"
            ),
        )
    return None


def _feature_clips(config: Aist) -> tuple[list[Clip], Skipped]:
    """The clips for which the authors' sound, motion and video features are all there, split by
    their folders.
    """
    clips, skipped = [], []
    sounds, motions, videos = (
        f"{kind}_s{config.clip_seconds}" for kind in ("audio", "motion", "video")
    )
    for split in SPLITS:
        folder = existing(
            config.media_root / sounds / split,
            "download.media_root",
            "unpack the authors' features there",
        )
        for sound in sorted(folder.glob("*.wav")):
            sequence = parse_sequence(split_segment(sound.stem)[0])
            motion, video = (f"{kind}/{split}/{sound.stem}.npy" for kind in (motions, videos))
            if missing := [
                name for name in (motion, video) if not (config.media_root / name).exists()
            ]:
                skipped.append((missing[0], "is missing"))
                continue
            path = f"{sounds}/{split}/{sound.name}"
            clips.append(
                Clip(
                    sound.stem,
                    path,
                    split,
                    start_s=0.0,
                    duration_s=config.clip_seconds,
                    song=sequence.song,
                    genre=sequence.genre,
                    pose_file=motion,
                    visual_file=video,
                )
            )
    return clips, skipped


def _motion_trouble(path: Path) -> str | None:
    """What is wrong with a motion annotation: unreadable, or shorter than its dance."""
    try:
        key, time_axis = FRAMES[path.parent.name]
        content: Any = load_pickle(path)
        frames = content[key].shape[time_axis]
    except (UserError, KeyError, TypeError, AttributeError, IndexError) as error:
        return f"cannot be read ({error})"
    seconds = parse_sequence(path.stem).seconds
    if frames / FPS < seconds - TOLERANCE_S:
        return f"holds {frames / FPS:.2f} s of motion, but its dance lasts {seconds:.2f} s"
    return None

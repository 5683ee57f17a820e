"""`folder`: any directory of video files, cut into clips of one length."""

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, model_validator

from pipeline.datasets.listing import Folder as FolderPath
from pipeline.datasets.listing import Skipped, existing, record
from pipeline.media.audio import is_silent, read_audio
from pipeline.media.video import EXTENSIONS, probe
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Decay, Seconds, Section, Seed
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Clip

LEAST_CLIPS = 10  # of a test part, where there are enough
_SOUND_RATE = 16_000  # enough to tell whether there is sound


class Folder(Section):
    """Which videos, how they are cut, and how they are divided.

    Every `hop_seconds` a clip of `clip_seconds` begins (an equal hop: no overlap). `genres`: the
    names of the folders below `media_root` are genres. Whole videos, each taken for a song of its
    own, go to validation and test, drawn from `split_seed` so that both come as close to their
    shares of all clips as whole videos allow (at least one each, if there are three or more). Clips
    quieter than `silence_db` have no music to learn from and become inference-only.
    """

    media_root: FolderPath
    clip_seconds: Seconds
    hop_seconds: Seconds
    genres: bool
    val_share: Decay
    test_share: Decay
    split_seed: Seed
    silence_db: float = Field(strict=True, ge=-200, le=0)

    @model_validator(mode="after")
    def _leaves_training(self) -> "Folder":
        if self.val_share + self.test_share >= 1:
            raise ValueError("val_share and test_share must leave something to train on")
        return self


def prepare(config: Folder, raw: Path) -> Skipped:
    """The files left out and why; writes the manifest and the listing of the files it refers to
    into `raw`.
    """
    clips, skipped = _clips(config)
    return record(raw, clips, skipped, config.media_root)


def check(config: Folder) -> list[str]:
    """What is wrong with the folder or its videos, a sentence each; changes nothing."""
    try:
        _, skipped = _clips(config)
    except UserError as mistake:
        return [str(mistake)]
    return [f"{name}: {reason}" for name, reason in skipped]


def _clips(config: Folder) -> tuple[list[Clip], Skipped]:
    """The clips of all videos that can be used, in the order of their names, and the others with
    the reasons.
    """
    clips, skipped = {}, []
    for path in progress(_videos(config.media_root), "looking at videos"):
        name = path.relative_to(config.media_root).as_posix()
        try:
            clips[name] = list(_cut(config, path, name))
        except UserError as mistake:
            skipped.append((name, str(mistake)))
    counts = {name: sum(clip.split == "train" for clip in cut) for name, cut in clips.items()}
    splits = _splits(config, {name: count for name, count in counts.items() if count})
    divided = [
        Clip(**{**vars(clip), "split": splits[name]}) if clip.split == "train" else clip
        for name, cut in clips.items()
        for clip in cut
    ]
    return divided, skipped


def _videos(root: Path) -> list[Path]:
    """Every video below a folder, hidden ones aside, by name; raises UserError when there is
    none.
    """
    existing(root, "download.media_root", "give the folder that holds your videos")
    paths = sorted(
        Path(folder) / name
        for folder, _, names in os.walk(root, followlinks=False)
        for name in names
        if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
    )
    if not paths:
        raise UserError(
            f"{root} holds no video; expected files ending in {', '.join(EXTENSIONS)}, in folders"
            " of any depth."
        )
    return paths


def _cut(config: Folder, path: Path, name: str) -> Iterator[Clip]:
    """The clips of one video, provisionally `train` or, without music, `infer`; raises UserError
    when it cannot be used.
    """
    info, seconds = probe(path), config.clip_seconds
    if info.duration_s < seconds - 1 / info.fps:
        raise UserError(f"{name} lasts {info.duration_s:.2f} s, less than a clip of {seconds:g} s.")
    sound = read_audio(path, _SOUND_RATE) if info.has_audio else None
    n_clips = 1 + int((info.duration_s - seconds + 1 / info.fps) // config.hop_seconds)
    stem, folders = (
        name.rsplit(".", 1)[0].replace("/", "__") + "_" + path.suffix[1:].lower(),
        name.split("/")[:-1],
    )
    for number in range(n_clips):
        start = round(number * config.hop_seconds, 6)
        stretch = (
            sound[round(start * _SOUND_RATE) : round((start + seconds) * _SOUND_RATE)]
            if sound is not None
            else ()
        )
        yield Clip(
            id=f"{stem}_seg{number + 1}",
            path=name,
            split=(
                "infer" if len(stretch) == 0 or is_silent(stretch, config.silence_db) else "train"
            ),
            start_s=start,
            duration_s=seconds,
            song=name,
            genre=folders[0] if config.genres and folders else None,
        )


def _splits(config: Folder, videos: dict[str, int]) -> dict[str, str]:
    """The split of each video with music, given how many clips it has.

    Test and validation come as close to their shares of all clips as whole videos allow, test to
    `LEAST_CLIPS` at least where a third of the clips is as many; each gets one video if there are
    three. The longest video always trains.
    """
    splits, total = dict.fromkeys(videos, "train"), sum(videos.values())
    names = list(videos)
    drawn = numpy_generator(config.split_seed, "splits").permutation(len(names))
    order = [names[place] for place in drawn if names[place] != max(names, key=videos.__getitem__)]
    wanted = {
        "test": max(config.test_share * total, min(LEAST_CLIPS, total // 3)),
        "val": config.val_share * total,
    }
    shares = {"test": config.test_share, "val": config.val_share}
    held_out = [s for s in wanted if shares[s] and (len(names) > 2 or round(2 * shares[s]))]
    for split in held_out:
        left = [name for name in order if splits[name] == "train"]
        spared = 1 if split == "test" and len(held_out) > 1 else 0  # one for validation
        for name in _closest(left[: len(left) - spared], videos, wanted[split]):
            splits[name] = split
    return splits


def _closest(order: list[str], clips: dict[str, int], wanted: float) -> list[str]:
    """The videos, taken in `order` where each brings the number of clips closer to what is wanted;
    the shortest one where none does.
    """
    chosen, held = [], 0
    for name in order:
        if abs(held + clips[name] - wanted) < abs(held - wanted):
            chosen.append(name)
            held += clips[name]
    return chosen or order and [min(order, key=clips.__getitem__)]

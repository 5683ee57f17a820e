"""The examples a page shows: for some clips the dance, the true music, and the sound of the rows
worth hearing.

`examples.json`: {"task": "dance", "clips": [{"id", "song", "genre", "split", "video", "sounds":
[{"row", "audio", "spectrogram", "onsets"}]}]} or, for pictures, {"task": "image", "items": [{"id",
"caption", "images": [{"row", "image", "caption"}]}]} (an image's caption is the one it was sampled
under, or its own); paths are relative to the folder. Training curves, where there are any, lie in
curves/*.csv.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.media.video import EXTENSIONS, read_frames, write_video
from pipeline.metrics.beats import onset_envelope, onset_times
from pipeline.metrics.dance_data import DanceData
from pipeline.metrics.dance_rows import nearest_training_clips
from pipeline.reporting.audio import draw_spectrogram, write_m4a
from pipeline.runtime.files import write_json
from pipeline.runtime.progress import progress
from pipeline.storage.curves import read_curves

VIDEO_SIDE, VIDEO_FPS = 224, 25.0


def write_dance_examples(data: DanceData, songs: list[str], n_examples: int, folder: Path) -> None:
    """Fills `folder` with examples.json and the media of `n_examples` measured clips, by their
    `songs`, and of silent ones.
    """
    chosen = spread(songs, n_examples)
    numbers = [data.numbers[position] for position in chosen]
    silent = [number for number in data.manifest.of("infer") if number not in numbers][:n_examples]
    shown = numbers + silent
    nearest = nearest_training_clips(data, data.ids(shown)) or [None] * len(shown)
    entries = [
        _example(data, *pair, folder)
        for pair in progress(zip(shown, nearest), "examples", len(shown))
    ]
    write_json(folder / "examples.json", {"task": "dance", "clips": entries})


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


def _example(data: DanceData, number: int, nearest: int | None, folder: Path) -> dict:
    clip = data.manifest.clips[number]
    home = folder / f"clip_{number:05d}"
    home.mkdir(parents=True)
    source, video = data.manifest.file(clip), None
    if source.suffix.lower() in EXTENSIONS:
        video = f"{home.name}/dance.mp4"
        frames = read_frames(
            source, VIDEO_FPS, clip.start_s or 0.0, data.seconds, short_side=VIDEO_SIDE
        )
        write_video(folder / video, frames, VIDEO_FPS)
    reference, sounds = None, []
    for row, audio in _sounds(data, number, nearest):
        if row == "ground_truth":
            reference = onset_times(onset_envelope(audio, data.sample_rate), "5hz")
        write_m4a(home / f"{row}.m4a", audio, data.sample_rate)
        onsets = draw_spectrogram(home / f"{row}.png", audio, data.sample_rate, reference)
        files = {"audio": f"{home.name}/{row}.m4a", "spectrogram": f"{home.name}/{row}.png"}
        sounds.append({"row": row, "onsets": onsets, **files})
    facts = {"id": clip.id, "song": clip.song, "genre": clip.genre, "split": clip.split}
    return {**facts, "video": video, "sounds": sounds}


def _sounds(data: DanceData, number: int, nearest: int | None) -> Iterator[tuple[str, np.ndarray]]:
    """What is worth hearing for one clip: (row, audio [T]), the first sampling seed's."""
    clip = data.manifest.clips[number]
    row = data.samples.rows_of([clip.id])
    if clip.split != "infer":
        yield "ground_truth", data.true_music(number)
        yield (
            "reconstruction",
            next(data.decoded(data.tokens["tokens"][data.tokens.rows_of([clip.id])])),
        )
    yield "model", next(data.decoded(data.samples["tokens"][row][:, 0]))
    if "shuffled" in data.samples:
        yield "model_shuffled", next(data.decoded(data.samples["shuffled"][row][:, 0]))
    if nearest is not None:
        yield "nearest_neighbour", data.true_music(nearest)


def copy_curves(folder: Path, **histories: Path) -> None:
    """Copies the training histories that exist to curves/<name>.csv in `folder`; raises
    DamagedFile for one that is no table of numbers.
    """
    (folder / "curves").mkdir(parents=True, exist_ok=True)
    for name, history in histories.items():
        if history.exists():
            read_curves(history)
            shutil.copy(history, folder / "curves" / f"{name}.csv")

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
from pipeline.storage.manifest import Clip, spread

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
        sounds.append(write_sound(home, row, audio, data.sample_rate, reference))
    return {**facts_of(clip), "video": video, "sounds": sounds}


def write_sound(
    home: Path, row: str, audio: np.ndarray, sample_rate: int, reference: np.ndarray | None
) -> dict:
    """The entry of a sound [T] on the page, its file and spectrogram written into `home`; see
    `draw_spectrogram`.
    """
    name = row.replace(" ", "_")
    write_m4a(home / f"{name}.m4a", audio, sample_rate)
    onsets = draw_spectrogram(home / f"{name}.png", audio, sample_rate, reference)
    files = {"audio": f"{home.name}/{name}.m4a", "spectrogram": f"{home.name}/{name}.png"}
    return {"row": row, "onsets": onsets, **files}


def facts_of(clip: Clip) -> dict[str, str | None]:
    """What the page says of a clip."""
    return {"id": clip.id, "song": clip.song, "genre": clip.genre, "split": clip.split}


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

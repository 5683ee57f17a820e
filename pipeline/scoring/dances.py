"""What music is laid against: a data set that was built here, or anybody's folders of true music
and of dances.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from pipeline.features.pose_reader import PoseReader
from pipeline.media.content import AudioClips
from pipeline.media.midi import read_score
from pipeline.media.video import EXTENSIONS, probe
from pipeline.metrics.alignment import dance_accents
from pipeline.metrics.dance import Clips
from pipeline.metrics.dance_data import DanceData
from pipeline.metrics.dance_rows import EvaluateDance, describe_clips, nearest_training_clips
from pipeline.metrics.embeddings import MfccStatistics
from pipeline.metrics.genre import Gallery
from pipeline.metrics.midi_truth import Truth, truth_of
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import progress
from pipeline.scoring.music import MusicBench
from pipeline.scoring.outputs import SOUNDS, Findings, files_by_name
from pipeline.scoring.sounds import Sounds, rate_and_length
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import Store


@dataclass(frozen=True)
class NamedRows:
    """The ids for which there are outputs, in the place of a store of samples."""

    ids: list[str]


def bench_of_data(
    music: AudioClips,
    conditions: Store,
    tokens: Store | None,
    gallery: Gallery,
    settings: EvaluateDance,
    ids: list[str],
    level: float | None,
) -> MusicBench:
    """The bench of a data set for its clips `ids`, described exactly as its evaluation does. The
    ids of `tokens` say what a model was trained on, for the nearest training clips.
    """

    def decode(tokens: np.ndarray) -> np.ndarray:
        raise AssertionError("outputs come as sound; no codec is asked")

    samples = cast("Store", NamedRows(ids))
    data = DanceData(music, tokens or samples, conditions, samples, gallery, decode)
    clips = describe_clips(data)
    nearest = nearest_training_clips(data, clips.ids)
    return MusicBench(
        clips,
        (lambda position: data.true_music(data.numbers[position])) if data.have_music else None,
        Sounds(music.sample_rate, music.seconds, level, settings.noise_reduce),
        gallery,
        settings,
        (lambda: map(data.true_music, nearest)) if nearest else None,
    )


@dataclass(frozen=True)
class Folders:
    """Anybody's references: true music, dances, or both, as files by name, and the song of each
    (itself where nothing is said).
    """

    true: dict[str, Path] | None
    dances: dict[str, Path] | None
    songs: dict[str, str]

    @property
    def ids(self) -> list[str]:
        """The names that both have, or the one that there is."""
        first, *rest = [files for files in (self.true, self.dances) if files is not None]
        return sorted(name for name in first if all(name in files for files in rest))

    def shortest(self) -> float:
        """The seconds of the shortest reference that can be read."""
        seconds, reasons = [], []
        for name in self.ids:
            try:
                seconds.append(self._seconds(name))
            except UserError as error:
                reasons.append(str(error))
        if not seconds:
            raise UserError(f"None of the references can be read: {reasons[0]}")
        return min(seconds)

    def _seconds(self, name: str) -> float:
        if self.true is not None:
            return rate_and_length(self.true[name])[1]
        assert self.dances is not None, "one of the two is given"
        return probe(self.dances[name]).duration_s


def read_folders(references: Path | None, dances: Path | None, songs: Path | None) -> Folders:
    """The files of the folders by name; raises UserError where they hold nothing, or nothing in
    common.
    """
    if references is None and dances is None:
        raise UserError(
            "Nothing to score against: give --references (a folder of the true music), --dances (a"
            " folder of the dance videos), or --data (a data set that was built here)."
        )
    folders = Folders(
        files_by_name(references, SOUNDS) if references else None,
        files_by_name(dances, EXTENSIONS) if dances else None,
        _songs(songs) if songs else {},
    )
    if not folders.ids:
        raise UserError(f"{references} and {dances} have no name in common; call both alike.")
    return folders


def _songs(file: Path) -> dict[str, str]:
    try:
        with open(file, newline="", encoding="utf-8") as handle:
            return {row["id"]: row["song"] for row in csv.DictReader(handle)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error):
        raise UserError(f"{file} is no table with the columns id and song; write one.") from None


def bench_of_folders(
    folders: Folders,
    ids: list[str],
    sounds: Sounds,
    settings: EvaluateDance,
    pose_reader: Callable[[], PoseReader],
    findings: Findings,
) -> MusicBench:
    """The bench of anybody's files, for those of `ids` whose references can be read; the others are
    told. MFCC statistics embed the sound: they need no weights.
    """
    gallery = Gallery(np.zeros((0, 1)), np.zeros(0, dtype=str), "mfcc", MfccStatistics())
    poses = pose_reader() if folders.dances is not None else None
    accents: dict[str, np.ndarray] = {}
    for name in progress(ids, "reading references", len(ids)):
        try:
            if folders.true is not None:
                sounds.check(folders.true[name])
            seen = np.zeros(0)
            if poses is not None and folders.dances is not None:
                seen = _accents(poses, folders.dances[name], sounds.seconds)
            accents[name] = seen
        except UserError as error:
            findings.mistake(str(error))
    if not accents:
        raise UserError("No reference of these outputs can be read; the reasons stand above.")
    clips = Clips(
        ids=list(accents),
        songs=[folders.songs.get(name, name) for name in accents],
        genres=None,
        seconds=sounds.seconds,
        accents=list(accents.values()),
        heard=None,
    )
    bench = MusicBench(clips, None, sounds, gallery, settings)
    return bench if folders.true is None else _with_music(bench, [folders.true[n] for n in accents])


def _with_music(bench: MusicBench, files: list[Path]) -> MusicBench:
    """The bench with the true music, and the scores that lie beside it as NAME.mid."""
    sounds = Sounds(bench.sounds.sample_rate, bench.sounds.seconds, bench.sounds.level)

    def true(position: int) -> np.ndarray:
        return sounds.read(files[position])

    bench = replace(bench, true=true)
    told = progress(range(len(files)), "listening: ground truth", len(files))
    heard = [bench.listen(position, true(position)) for position in told]
    truths: list[Truth | None] = []
    for file in files:
        score = file.with_suffix(".mid")
        truths.append(truth_of(read_score(score)) if score.exists() else None)
    known = truths if any(truth is not None for truth in truths) else None
    return replace(bench, clips=replace(bench.clips, heard=heard, truths=known))


def _accents(poses: PoseReader, file: Path, seconds: float) -> np.ndarray:
    """The accents in seconds of the first `seconds` of a dance."""
    shown = min(seconds, probe(file).duration_s)
    clip = Clip(file.stem, file.name, "infer", 0.0, shown)
    motion = poses.read(Manifest((clip,), file.parent), clip, shown).motion()
    return dance_accents(motion, poses.config.fps)

"""`toy_dance` on disk: short mp4 files with sound, and their manifest, all from one seed."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from pipeline.datasets.toy_dance.camera import frame_rate, set_up
from pipeline.datasets.toy_dance.dancer import Noise, dance
from pipeline.datasets.toy_dance.render import render
from pipeline.datasets.toy_dance.songs import Song, Title, compose, split_songs
from pipeline.datasets.toy_dance.sound import play, sound_font
from pipeline.media import midi, video
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.runtime.scratch import fingerprint, scratch
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Clip, write_manifest

WORKERS = 2


class ToyDance(Section):
    """How many clips of each split, how long, and how hard to read the dancers are."""

    train: int = Field(ge=10)
    val: int = Field(ge=1)
    test: int = Field(ge=1)
    clip_seconds: float = Field(ge=1, le=30)
    size: int = Field(ge=96, le=512, multiple_of=2)
    """Side in pixels of a square picture; others, portrait and landscape, have its area."""
    sample_rate: int = Field(ge=11025, le=48000)
    noise: float = Field(ge=0, le=3)
    """How far the dancers stray from beat and genre: 0 not at all, 1 as people do."""
    variety: float = Field(ge=0, le=1)
    """How much cameras and frame rates differ: 0, all are square at 30 frames a second and stand
    still in front; 1, as people film.
    """
    seed: int


@dataclass(frozen=True)
class Take:
    """One clip to be made: number `number` of its song's split."""

    number: int
    song: Title

    @property
    def id(self) -> str:
        """The clip's id, which is its files' name as well."""
        return f"{self.song.split}_{self.number:05d}_{self.song.genre}{self.song.number:03d}"


def check(config: ToyDance) -> list[str]:
    """What is missing before `prepare` can run: at most the sound font, all else is made here."""
    try:
        sound_font()
    except UserError as error:
        return [str(error)]
    return []


def prepare(config: ToyDance, raw: Path) -> list[tuple[str, str]]:
    """The files left out (none); makes every clip into `raw`/media, its score beside it, and
    writes `raw`/manifest.csv.

    Each clip depends on the settings and its own place alone, so a killed run goes on with the
    missing clips and ends with the same bytes.
    """
    sound_font()  # refuses a missing one before the work
    takes = list(plan(config))
    code = Path(__file__).parent
    with scratch(
        fingerprint("toy_dance", config, code, Path(video.__file__), Path(midi.__file__))
    ) as unfinished:
        missing = [take for take in takes if not (unfinished / f"{take.id}.mp4").exists()]
        songs: dict[Title, list[Take]] = {}
        for take in missing:
            songs.setdefault(take.song, []).append(take)
        with ThreadPoolExecutor(WORKERS) as pool:
            work = [
                pool.submit(_film_song, config, danced, unfinished) for danced in songs.values()
            ]
            for done in progress(
                as_completed(work), "filming dancers, song by song", total=len(work)
            ):
                done.result()
        with atomic(raw / "media") as media:
            media.mkdir()
            for take in takes:
                for name in (f"{take.id}.mp4", f"{take.id}.mid"):
                    shutil.copyfile(unfinished / name, media / name)
        write_manifest(raw / "manifest.csv", [_row(config, take) for take in takes])
    return []


def _row(config: ToyDance, take: Take) -> Clip:
    return Clip(
        take.id,
        f"media/{take.id}.mp4",
        take.song.split,
        0.0,
        config.clip_seconds,
        song=str(take.song),
        genre=take.song.genre,
    )


def plan(config: ToyDance) -> Iterator[Take]:
    """Every clip in manifest order: a split's songs in turn, so that its genres are balanced."""
    counts = {"train": config.train, "val": config.val, "test": config.test}
    for split, songs in split_songs(counts).items():
        for number in range(counts[split]):
            yield Take(number, songs[number % len(songs)])


def _film_song(config: ToyDance, takes: list[Take], folder: Path) -> None:
    """Makes the clips `takes`, which are danced to one song."""
    song = compose(takes[0].song, config.seed)
    for take in takes:
        film(config, take, song, folder / f"{take.id}.mp4")


def film(config: ToyDance, take: Take, song: Song, path: Path) -> None:
    """Writes one clip, a new dancer, camera and place for a stretch of the song, after its score,
    which lies beside it.
    """
    rng = numpy_generator(config.seed, "take", take.song.split, take.number)
    start_s = rng.uniform(0, song.seconds - config.clip_seconds)
    fps = frame_rate(config.variety, rng)
    joints = dance(song, start_s, config.clip_seconds, fps, Noise.of_level(config.noise), rng)
    camera = set_up(np.arange(len(joints)) / fps, config.size, config.variety, rng)
    frames, _ = render(joints, camera, fps, rng)
    midi.write_score(path.with_suffix(".mid"), song.score.stretch(start_s, config.clip_seconds))
    video.write_video(
        path,
        frames,
        fps,
        play(song.score, start_s, config.clip_seconds, config.sample_rate),
        config.sample_rate,
    )

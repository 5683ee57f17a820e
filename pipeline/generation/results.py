"""What a model made, and the files that it is saved to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.generation.timings import Timings
from pipeline.media.audio import WRITTEN, reduce_noise, write_sound
from pipeline.media.video import mux_sound
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True)
class Music:
    """Music for one dance: for each seed the tokens [n, L] int64 and the waveform [n, T] float32 at
    `sample_rate`, exactly as long as the pictures of `video`.
    """

    tokens: np.ndarray
    waveforms: np.ndarray
    sample_rate: int
    seeds: tuple[int, ...]
    video: Path
    timings: Timings = field(default_factory=Timings, compare=False)

    def save(self, path: Path | str, clean: bool = False) -> list[Path]:
        """The files written: a film of the dance under the music for an .mp4, else the sound alone
        as .wav, .mp3 or .flac; NAME_seedS for each of several seeds.

        `clean` applies spectral noise reduction. Raises UserError for another ending.
        """
        path = Path(path)
        if path.suffix.lower() not in (".mp4", *WRITTEN):
            raise UserError(
                f"{path}: music is saved as .mp4 (under the dance) or {', '.join(WRITTEN)}; end"
                " the name with one."
            )
        targets = list(for_each_seed(path, self.seeds))
        with self.timings.of(f"writing {path.suffix.lower()}"):
            for target, waveform in zip(targets, self.waveforms):
                sound = reduce_noise(waveform, self.sample_rate) if clean else waveform
                if path.suffix.lower() == ".mp4":
                    mux_sound(self.video, target, sound, self.sample_rate)
                else:
                    write_sound(target, sound, self.sample_rate)
        return targets


@dataclass(frozen=True)
class Pictures:
    """Pictures for one caption or class: for each seed the tokens [n, L] int64, row by row of their
    grid, and the picture [n, 3, H, W] float32 in [0, 1].
    """

    tokens: np.ndarray
    images: np.ndarray
    seeds: tuple[int, ...]
    timings: Timings = field(default_factory=Timings, compare=False)

    def save(self, path: Path | str) -> list[Path]:
        """The files written, .png, .jpg or .webp; NAME_seedS for each of several seeds. Raises
        UserError for another ending.
        """
        path = Path(path)
        kind = PICTURES.get(path.suffix.lower())
        if kind is None:
            raise UserError(
                f"{path}: pictures are saved as {', '.join(PICTURES)}; end the name with one."
            )
        targets = list(for_each_seed(path, self.seeds))
        for target, image in zip(targets, self.images):
            pixels = (image.transpose(1, 2, 0) * 255).round().clip(0, 255).astype(np.uint8)
            with atomic(target) as temporary:
                Image.fromarray(pixels).save(temporary, kind)
        return targets


def for_each_seed(path: Path, seeds: Sequence[int]) -> Iterator[Path]:
    """`path` itself for one seed, NAME_seedS beside it for each of several."""
    for seed in seeds:
        yield path if len(seeds) == 1 else path.with_name(f"{path.stem}_seed{seed}{path.suffix}")


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds; raises UserError where there is none, one is no whole number, or one occurs
    twice.
    """
    given = tuple(seeds)
    if not given or len(set(given)) < len(given) or any(type(seed) is not int for seed in given):
        raise UserError(f"seeds are different whole numbers, at least one; given {list(given)}.")
    return given

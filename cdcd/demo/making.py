"""What the tabs do, without the page: results of what somebody asked for, as files to be shown."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

import numpy as np

from cdcd.demo.bounds import Bounds
from pipeline.generation.canvas import Rectangle
from pipeline.generation.dances import PoseSource
from pipeline.generation.music import Drawing, MusicModel
from pipeline.generation.pictures import PictureModel
from pipeline.generation.results import Music, Pictures
from pipeline.generation.timings import Timings
from pipeline.media.audio import read_audio
from pipeline.media.video import probe
from pipeline.metrics.beats import onset_envelope, onset_times
from pipeline.reporting.audio import draw_spectrogram
from pipeline.runtime.errors import UserError

KEPT = 40  # results, the oldest go


@dataclass(frozen=True)
class Variant:
    """One of several results: what is shown (a film, or a picture), its spectrogram if it is heard,
    and the files to take home.
    """

    title: str
    shown: Path
    spectrogram: Path | None
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Made:
    """Results side by side, where the time went, and what is to be said of them."""

    variants: list[Variant]
    timings: Timings
    note: str = ""


@dataclass(frozen=True)
class Workshop:
    """Where results are made and examples kept, and within which bounds."""

    folder: Path
    examples: Path
    bounds: Bounds
    _made: list[Path] = field(default_factory=list)

    def new_folder(self) -> Path:
        """A folder for one result; of more than `KEPT` the oldest is removed."""
        while len(self._made) >= KEPT:
            shutil.rmtree(self._made.pop(0), ignore_errors=True)
        self._made.append(Path(tempfile.mkdtemp(dir=self.folder)))
        return self._made[-1]

    def dance(
        self,
        model: MusicModel,
        *,
        video: str | None,
        pose: str,
        seed: float | None,
        variants: float,
        genre: str | None = None,
        **drawing: Unpack[Drawing],
    ) -> Made:
        """Music for a video; raises UserError as `MusicModel.generate` does."""
        film = given(video, "a video of a dance")
        made = model.generate(
            film,
            seeds=self.bounds.seeds(seed, variants),
            pose=PoseSource(pose),
            genre=genre,
            longest_s=self.bounds.seconds,
            **drawing,
        )
        return self._music(made, film.stem, None)

    def caption(
        self,
        model: PictureModel,
        *,
        text: str | None,
        seed: float | None,
        variants: float,
        **drawing: Unpack[Drawing],
    ) -> Made:
        """Pictures of a caption; raises UserError as `PictureModel.generate` does."""
        said = self.bounds.caption(text)
        seeds = self.bounds.seeds(seed, variants)
        return self._pictures(model.generate(text=said, seeds=seeds, **drawing), "picture")

    def label(
        self,
        model: PictureModel,
        *,
        label: str | int | None,
        seed: float | None,
        variants: float,
        **drawing: Unpack[Drawing],
    ) -> Made:
        """Pictures of a class; raises UserError as `PictureModel.generate` does."""
        seeds = self.bounds.seeds(seed, variants)
        return self._pictures(
            model.generate(label=wanted(label), seeds=seeds, **drawing), "picture"
        )

    def edit_music(
        self,
        model: MusicModel,
        *,
        sound: str | None,
        video: str | None,
        start_s: str,
        end_s: str,
        strength: float,
        pose: str,
        seed: float | None,
        variants: float,
        genre: str | None = None,
        **drawing: Unpack[Drawing],
    ) -> Made:
        """The music of `sound` with a part made anew under the dance of `video`: from its beginning
        and to its end, unless there are seconds. Raises UserError as `MusicModel.edit` does.
        """
        heard = given(sound, "the music (a sound file, or a film with sound)")
        film = given(video, "a video of the dance that the new part follows")
        self.bounds.check_sound(heard)
        made = model.edit(
            heard,
            dance=film,
            span=span(start_s, end_s, film),
            strength=strength,
            seeds=self.bounds.seeds(seed, variants),
            pose=PoseSource(pose),
            genre=genre,
            longest_s=self.bounds.seconds,
            **drawing,
        )
        return self._music(made, heard.stem, read_audio(heard, made.sample_rate))

    def edit_picture(
        self,
        model: PictureModel,
        *,
        picture: str | None,
        words: str | int | None,
        part: str,
        numbers: Sequence[float | None],
        strength: float,
        seed: float | None,
        variants: float,
        **drawing: Unpack[Drawing],
    ) -> Made:
        """The picture with a part made anew for a caption or class: the `rectangle` or what lies
        `around`, as four `numbers` say, or `everything`. Raises UserError as `PictureModel.edit`
        does.
        """
        file = given(picture, "a picture")
        by_class = model.task == "class"
        label = wanted(words) if by_class else None
        text = None if by_class else self.bounds.caption(str(words or ""))
        rectangle, margins = None, None
        if part == "rectangle":
            rectangle = _four(numbers)
            if min(rectangle[2:]) <= 0:
                raise UserError(
                    "Say which part: touch two opposite corners of it in the picture, or give left,"
                    " top, width and height."
                )
        elif part == "around":
            left, top, right, bottom = map(round, _four(numbers))
            margins = (left, top, right, bottom)
        made = model.edit(
            file,
            text=text,
            label=label,
            rectangle=rectangle,
            margins=margins,
            strength=strength,
            seeds=self.bounds.seeds(seed, variants),
            **drawing,
        )
        return self._pictures(made, file.stem)

    def _music(self, made: Music, name: str, before: np.ndarray | None) -> Made:
        """Films and sounds with their spectrograms: onsets as ticks below, and above those of the
        sound `before` the edit.
        """
        folder, rate = self.new_folder(), made.sample_rate
        films, sounds = (made.save(folder / f"{name}{end}") for end in (".mp4", ".wav"))
        above, note = None, "Ticks below a spectrogram are the onsets of its music."
        if before is not None:
            heard = before[: made.waveforms.shape[1]]
            above = onset_times(onset_envelope(heard, rate), "5hz")
            note = "Ticks below a spectrogram are onsets now, ticks above those of before."
        variants = []
        with made.timings.of("drawing spectrograms"):
            for seed, film, sound, waveform in zip(made.seeds, films, sounds, made.waveforms):
                picture = sound.with_suffix(".png")
                draw_spectrogram(picture, waveform, rate, above)
                variants.append(Variant(f"Seed {seed}", film, picture, (film, sound)))
        return Made(variants, made.timings, note)

    def _pictures(self, made: Pictures, name: str) -> Made:
        files = made.save(self.new_folder() / f"{name}.png")
        variants = [
            Variant(f"Seed {seed}", file, None, (file,)) for seed, file in zip(made.seeds, files)
        ]
        return Made(variants, made.timings)


def given(file: str | None, what: str) -> Path:
    """The file that was chosen; raises UserError where none was."""
    if not file:
        raise UserError(f"Choose {what} first.")
    return Path(file)


def span(start_s: str, end_s: str, film: Path) -> tuple[float, float] | None:
    """The seconds of the part, None where neither is given: the beginning or the end of the film in
    place of one that is empty. Raises UserError for what is no number.
    """
    if not start_s.strip() and not end_s.strip():
        return None
    try:
        start = float(start_s) if start_s.strip() else 0.0
        if end_s.strip():
            return start, float(end_s)
    except ValueError:
        raise UserError(
            f"The part goes from {start_s!r} to {end_s!r}, and seconds were expected, as 2 and 4.5."
        ) from None
    info = probe(film)
    return start, info.duration_s - info.start_s


def _four(numbers: Sequence[float | None]) -> Rectangle:
    """All four numbers of a part; raises UserError where one is missing."""
    left, top, third, fourth = numbers
    if left is None or top is None or third is None or fourth is None:
        raise UserError("The part is four numbers of pixels; some are missing.")
    return left, top, third, fourth


def wanted(label: str | int | None) -> str | int:
    """The class that was chosen; raises UserError where none was."""
    if label is None or str(label).strip() == "":
        raise UserError("Choose a class first.")
    return label if isinstance(label, int) else str(label).strip()

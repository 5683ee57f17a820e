"""A dance model as one object: music for clips of any length, made or changed."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import torch

from pipeline.codecs.sound import load_sound_codec
from pipeline.diffusion.sampler import Sampling
from pipeline.features.i3d import I3D
from pipeline.features.i3d_source import VisualReader
from pipeline.generation.dances import MOST_SECONDS, Dance, DanceReader, PoseSource, Told
from pipeline.generation.drawing import FREE, checked_strength, drawn, encoded, loosened
from pipeline.generation.files import ModelFiles
from pipeline.generation.results import Music, checked_seeds
from pipeline.generation.settings import Dances, drawn_with
from pipeline.generation.timings import Timings
from pipeline.media.audio import is_silent, peak, read_audio
from pipeline.model.encoders.fuse import DanceEncoder
from pipeline.model.network import Network
from pipeline.model.released.dance import ReleasedDanceEncoder
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import progress, steps
from pipeline.runtime.seeds import numpy_generator, torch_generator

# of a window, whose tokens are given to the next one: the music goes on instead of starting anew
OVERLAP = 0.5
# of the last token, that may be missing at the end: not worth a window of its own
MISSING = 0.99


class Drawing(TypedDict, total=False):
    """How tokens are drawn; what is left out is as the model's settings say (`Sampling`)."""

    steps: int | None
    truncation: float | None
    temperature: float | None
    guidance: float | None
    order: str | None
    choice_temperature: float | None


class MusicModel:
    """A finished dance model: `generate` makes music for a clip, `edit` changes a part of some."""

    task = "dance"

    def __init__(self, files: ModelFiles, timings: Timings | None = None):
        assert isinstance(files.settings.reads, Dances)
        self.settings, self.reads, self.files = files.settings, files.settings.reads, files
        self.name, self.card = files.settings.name, files.card
        with (timings or Timings()).of("opening the model"):
            self.network = files.load_network()
            codec = load_sound_codec(files.codec, files.level, self.reads.sample_rate)
            self.codec = codec.to(device())
            self.visual = self._visual_reader()
        self._readers: dict[PoseSource, DanceReader] = {}

    @property
    def sample_rate(self) -> int:
        """Of the sound that the model makes, in Hz."""
        return self.codec.sample_rate

    def check_pose(self, pose: PoseSource) -> None:
        """Raises UserError where the dancer cannot be read so: before the first of many clips."""
        _ = self._reader(pose).pose

    def generate(
        self,
        video: Path | str,
        *,
        seeds: Sequence[int] = (0,),
        pose: PoseSource | None = None,
        condition: Told = "both",
        genre: str | None = None,
        longest_s: float = MOST_SECONDS,
        **drawing: Unpack[Drawing],
    ) -> Music:
        """Music for a clip of any length and frame rate, for each of `seeds` another, exactly as
        long as its pictures.

        `condition` names what the model is told of, for models that learned to do without motion or
        pictures; `genre` is for those that were trained with it. Raises UserError for a
        file that is no video, a clip under half a second or over `longest_s`, one that shows
        nobody, a reader whose poses do not fit, and a setting out of range.
        """
        timings, draw = Timings(), drawn_with(self.settings.sampling, drawing)
        dance = self._reader(pose).read(Path(video), longest_s, condition, timings)
        rows = np.full((len(checked_seeds(seeds)), self._count(dance)), FREE)
        self._fill(rows, dance, genre, seeds, draw, timings)
        return self._music(rows, dance, seeds, 1.0, timings)

    def edit(
        self,
        sound: Path | str,
        *,
        dance: Path | str,
        span: tuple[float, float] | None = None,
        strength: float = 1.0,
        seeds: Sequence[int] = (0,),
        pose: PoseSource | None = None,
        condition: Told = "both",
        genre: str | None = None,
        longest_s: float = MOST_SECONDS,
        **drawing: Unpack[Drawing],
    ) -> Music:
        """The music of `sound` (a file with sound, films as well) with the seconds of `span` made
        anew under `dance`; all of it, where there is no span.

        `strength` below 1 replaces only that share of the tokens there: a variation. Where the
        dance is longer than the sound, the music goes on to its end; where it is shorter, the sound
        is cut. The tokens outside the span stay as they are. Raises UserError as `generate` does,
        and for a span outside the dance, a strength outside 0 to 1, and silence.
        """
        checked_strength(strength)
        timings, draw = Timings(), drawn_with(self.settings.sampling, drawing)
        moves = self._reader(pose).read(Path(dance), longest_s, condition, timings)
        region = self._region(span, moves)
        with timings.of("encoding the sound"):
            heard, gain = self._heard(Path(sound), self._count(moves))
        rows = np.stack(
            [
                loosened(heard, region & (heard != FREE), strength, numpy_generator(seed, "edit"))
                for seed in checked_seeds(seeds)
            ]
        )
        self._fill(rows, moves, genre, seeds, draw, timings)
        return self._music(rows, moves, seeds, gain, timings)

    def _fill(
        self,
        rows: np.ndarray,
        dance: Dance,
        genre: str | None,
        seeds: Sequence[int],
        sampling: Sampling,
        timings: Timings,
    ) -> None:
        """Draws what is FREE in `rows` [n, L], in place, in overlapping windows: what one has
        played the next one keeps.
        """
        length, number = self.network.length, self._genre(genre)
        places = window_places(rows.shape[1], length)
        step = steps("drawing tokens", len(places) * len(rows) * sampling.steps)
        for place in progress(places, f"{dance.video.name}: playing"):
            window = rows[:, place : place + length]
            if not (window == FREE).any():
                continue
            at_s = place * self.codec.hop / self.sample_rate
            inputs = dance.window(at_s, timings) | {"genre": number}
            with timings.of("drawing tokens"):
                condition = encoded(self.network, inputs)
                for row, seed in zip(window, seeds):
                    generator = torch_generator(seed, "generate", place)
                    row[:] = drawn(self.network, condition, sampling, generator, row, step)

    def _music(
        self, rows: np.ndarray, dance: Dance, seeds: Sequence[int], gain: float, timings: Timings
    ) -> Music:
        """The sound of finished `rows` of tokens, as long as the dance."""
        length = round(dance.seconds * self.sample_rate)
        with timings.of("decoding the sound"), torch.inference_mode():
            sounds = [self.codec.decode(torch.from_numpy(row)[None].to(device())) for row in rows]
            waveforms = gain * torch.cat(sounds).float().cpu().numpy()
        waveforms = waveforms[:, :length]
        waveforms = np.pad(waveforms, ((0, 0), (0, length - waveforms.shape[1])))
        return Music(rows, waveforms, self.sample_rate, tuple(seeds), dance.video, timings)

    def _heard(self, sound: Path, count: int) -> tuple[np.ndarray, float]:
        """The first `count` tokens of a sound, FREE beyond its end, and by what the decoded sound
        is multiplied to be as loud; raises UserError for silence.
        """
        waveform = read_audio(sound, self.sample_rate)[: count * self.codec.hop]
        if is_silent(waveform) or len(waveform) < self.codec.hop:
            raise UserError(f"{sound} is silent; there is no music in it that could be changed.")
        gain = 1.0 if self.reads.peak is None else peak(waveform) / self.reads.peak
        scaled = torch.from_numpy(waveform / np.float32(gain))[None].to(device())
        tokens = self.codec.encode(scaled)[0].cpu().numpy()[:count]
        return np.pad(tokens, (0, count - len(tokens)), constant_values=FREE), gain

    def _region(self, span: tuple[float, float] | None, dance: Dance) -> np.ndarray:
        """Which of the dance's tokens [L] lie, wholly or in part, in the span."""
        start_s, end_s = (0.0, dance.seconds) if span is None else span
        if not 0 <= start_s < end_s <= dance.seconds + 0.01:
            raise UserError(
                f"The span {start_s:g} to {end_s:g} s does not lie in {dance.video}, which lasts"
                f" {dance.seconds:.2f} s."
            )
        begins_s = np.arange(self._count(dance)) * self.codec.hop / self.sample_rate
        return (begins_s < end_s) & (begins_s + self.codec.hop / self.sample_rate > start_s)

    def _count(self, dance: Dance) -> int:
        """How many tokens the dance takes, at least a window."""
        tokens = dance.seconds * self.sample_rate / self.codec.hop
        return max(self.network.length, ceil(tokens - MISSING))

    def _genre(self, genre: str | None) -> torch.Tensor:
        """The number [1] of a genre; raises UserError where the model needs one and there is none,
        or the other way round.
        """
        names = self.reads.genres
        takes = takes_genre(self.network)
        if takes and genre not in names:
            raise UserError(
                f"The model {self.name} takes the genre as an input; give one of"
                f" {', '.join(names)}."
            )
        if genre is not None and not takes:
            raise UserError(f"The model {self.name} hears of no genre; leave it out.")
        return torch.tensor([names.index(genre) if genre is not None else 0])

    def _reader(self, pose: PoseSource | None) -> DanceReader:
        """The clip reader for a way of reading poses; it is made once."""
        chosen = pose or PoseSource()
        if chosen not in self._readers:
            self._readers[chosen] = DanceReader(self.reads, self.visual, self.name, chosen)
        return self._readers[chosen]

    def _visual_reader(self) -> VisualReader:
        """What looks at the pictures; raises UserError for a model of ready video features."""
        config, files = self.reads.visual, self.files.extractors
        if config is None:
            raise UserError(
                f"The model {self.name} was trained on ready video features, which a clip of yours"
                " lacks; use one that was trained on videos."
            )
        if config.flow:
            given = {"flow": str(files["i3d_flow"]), "raft": str(files["raft"])}
            config = config.model_copy(update=given)
        return VisualReader(config, I3D.load(files["i3d_rgb"]))


def takes_genre(network: Network) -> bool:
    """Whether a dance model has the genre among its inputs."""
    encoder = network.encoder
    assert isinstance(encoder, DanceEncoder | ReleasedDanceEncoder)
    return encoder.genre is not None


def window_places(n_tokens: int, length: int) -> list[int]:
    """The tokens at which the windows of `length` begin: overlapping, the last ending with the
    tokens.
    """
    last, step = n_tokens - length, round(length * (1 - OVERLAP))
    return [*range(0, last, step), last]

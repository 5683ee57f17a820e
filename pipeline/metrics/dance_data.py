"""What an evaluation of the dance task reads: true music, scores, tokens, conditions, samples and
judge.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from pipeline.media.content import AudioClips
from pipeline.media.midi import read_score
from pipeline.metrics.dance import listen
from pipeline.metrics.genre import Gallery
from pipeline.metrics.midi_truth import Truth, truth_of
from pipeline.metrics.music import Spectra, spectra
from pipeline.runtime.errors import UserError
from pipeline.runtime.pieces import Work
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import Store

DECODE_BATCH = 16
KEPT_SPECTRA = 256  # some 100 MB of clips of two seconds


@dataclass(frozen=True)
class DanceData:
    """What an evaluation reads. `music` reads true waveforms, `decode` turns tokens [n, L] into
    waveforms [n, T] as long.
    """

    music: AudioClips
    tokens: Store
    conditions: Store
    samples: Store
    gallery: Gallery
    decode: Callable[[np.ndarray], np.ndarray]

    @property
    def manifest(self) -> Manifest:
        """The data set's clips."""
        return self.music.manifest

    @property
    def sample_rate(self) -> int:
        """Of all waveforms."""
        return self.music.sample_rate

    @property
    def seconds(self) -> float:
        """The length of a clip."""
        return self.music.seconds

    @cached_property
    def numbers(self) -> list[int]:
        """The manifest rows that are measured: the sampled ones of the test split, or the silent
        clips where there is none.
        """
        sampled = set(self.samples.ids)
        usable = {"test": sampled & set(self.tokens.ids), "infer": sampled}
        for split in ("test", "infer"):
            if numbers := [
                number
                for number in self.manifest.of(split)
                if self.manifest.clips[number].id in usable[split]
            ]:
                return numbers
        raise UserError(
            "There is nothing to evaluate: no clip of the splits test and infer has samples."
        )

    @cached_property
    def training(self) -> list[int]:
        """The manifest rows that the model was trained on: those of the training split with tokens
        and conditions.
        """
        usable = set(self.tokens.ids) & set(self.conditions.ids)
        return [
            number
            for number in self.manifest.of("train")
            if self.manifest.clips[number].id in usable
        ]

    @cached_property
    def have_music(self) -> bool:
        """Whether the measured clips have true music to compare with."""
        return self.manifest.clips[self.numbers[0]].split == "test"

    def ids(self, numbers: list[int]) -> list[str]:
        """The ids of manifest rows."""
        return [self.manifest.clips[number].id for number in numbers]

    def true_music(self, number: int) -> np.ndarray:
        """The recorded music [T] of a manifest row."""
        return self.music.read([number])[0].numpy()

    def true_spectra(self, number: int) -> Spectra:
        """The spectra of a manifest row's recorded music; the last few hundred are kept."""
        return spectra_reader(self.music)(number)

    @cached_property
    def truths(self) -> list[Truth | None] | None:
        """What the score beside each measured clip's media says (`<name>.mid`, times from the
        clip's start); None where no clip has one.
        """
        found = [self._truth(self.manifest.clips[number]) for number in self.numbers]
        return found if any(truth is not None for truth in found) else None

    def _truth(self, clip: Clip) -> Truth | None:
        score = self.manifest.file(clip).with_suffix(".mid")
        if clip.split == "infer" or clip.start_s or not score.exists():
            return None
        return truth_of(read_score(score))

    def decoded(self, tokens: np.ndarray) -> Iterator[np.ndarray]:
        """The waveforms [T] of `tokens` [n, L], a few decoded at a time."""
        for start in range(0, len(tokens), DECODE_BATCH):
            yield from np.asarray(
                self.decode(tokens[start : start + DECODE_BATCH].astype(np.int64))
            )


@lru_cache(maxsize=1)
def spectra_reader(music: AudioClips) -> Callable[[int], Spectra]:
    """What gives the spectra of a manifest row's recorded music."""
    return lru_cache(KEPT_SPECTRA)(
        lambda number: spectra(music.read([number])[0].numpy(), music.sample_rate)
    )


def listener(music: AudioClips, embed: Any, have_music: bool) -> Work:
    """What listens to (manifest row, waveform), each beside its row's recorded music where there is
    some, opened in the process that does it.
    """
    true = spectra_reader(music) if have_music else lambda number: None

    def hear(batch: list[tuple[int, np.ndarray]]) -> dict:
        heard = [listen(sound, music.sample_rate, embed, true(number)) for number, sound in batch]
        return {"heard": heard}

    return hear

"""Sixty songs, six for each of AIST++'s ten genres, synthesised from drum, bass and chord
patterns.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.datasets.toy_dance import instruments
from pipeline.datasets.toy_dance.grooves import GROOVES, Groove
from pipeline.runtime.seeds import numpy_generator

GENRES = tuple(GROOVES)
SONGS_PER_GENRE = 6
BARS = 8
STEPS = 16  # sixteenth notes in a bar
LOWEST_C = 32.703  # Hz
PAD = 0.08  # gain of the sustained chord that fills the gaps between the hits


def tempo(genre: str, digit: int) -> int:
    """Beats per minute of song `digit` (0..5) of a genre by AIST++'s rule: 80, 90, ... 130; house
    110, 115, ... 135.
    """
    return 110 + 5 * digit if genre == "HO" else 80 + 10 * digit


def split_songs() -> dict[str, tuple[tuple[str, int], ...]]:
    """(genre, digit) of the songs of train, val and test: four, one and one a genre, none shared.

    The held-out digits are 1..4 and differ between genres, so a held-out tempo lies inside its
    genre's training range, and other genres train at it.
    """
    test = {genre: 1 + row % 4 for row, genre in enumerate(GENRES)}
    val = {genre: 1 + (row + 2) % 4 for row, genre in enumerate(GENRES)}
    everything = [(genre, digit) for digit in range(SONGS_PER_GENRE) for genre in GENRES]
    return {
        "train": tuple(song for song in everything if song[1] not in (test[song[0]], val[song[0]])),
        "val": tuple(val.items()),
        "test": tuple(test.items()),
    }


@dataclass(frozen=True)
class Song:
    """One piece of `BARS` bars, which repeats; bar 0 begins at 0 s."""

    name: str
    genre: str
    bpm: int
    hits: tuple[tuple[float, float], ...]
    """(beat within the bar 0..4, strength 0..1) of the drum and chord hits that a dancer can hear.
    """
    sound: np.ndarray
    """Mono float32 [n] in [-1, 1]."""

    @property
    def seconds(self) -> float:
        """How long the piece is before it repeats."""
        return BARS * 4 * 60 / self.bpm

    def clip(self, start_s: float, seconds: float, sample_rate: int) -> np.ndarray:
        """Sound [seconds * sample_rate] from `start_s` on, going round at the end of the piece."""
        rows = int(start_s * sample_rate) + np.arange(int(seconds * sample_rate))
        return self.sound[rows % self.sound.size]


def compose(genre: str, digit: int, seed: int, sample_rate: int) -> Song:
    """Song `digit` of a genre: the genre's groove in a key, a pattern variant and instruments of
    its own, drawn from `seed`.
    """
    groove, bpm = GROOVES[genre], tempo(genre, digit)
    rng = numpy_generator(seed, 0, GENRES.index(genre), digit)
    variant = {
        "kicks": groove.kicks[digit % 2],
        "snares": groove.snares[(digit + 1) % 2],
        "hats": groove.hats[digit // 2 % 2],
        "basses": groove.basses[(digit + 1) % 2],
        "stabs": groove.stabs[(digit + digit // 2) % 2],
    }
    roots = groove.roots[digit // 3]
    key = int(rng.integers(-4, 5))
    tune = 2 ** (rng.uniform(-2, 2, 3) / 12)
    last = rng.uniform(
        0.85, 1.15, 5
    )  # how long kick, snare, hat, bass and chord ring, as a share of the groove's own

    step = 60 / bpm / 4
    sound = np.zeros(int(round(BARS * STEPS * step * sample_rate)), np.float32)
    kick = instruments.kick(
        sample_rate, groove.kick[0] * tune[0], groove.kick[1] * last[0], groove.kick[2]
    )
    snare = instruments.snare(
        sample_rate, groove.snare[0] * tune[1], groove.snare[1] * last[1], groove.snare[2], rng
    )
    hat = instruments.hat(sample_rate, groove.hat[0] * last[2], groove.hat[1], rng)
    voices = dict(zip(variant, groove.levels, strict=True))
    for root in sorted(set(roots)):
        bass = _note(sample_rate, key + root, groove.bass, last[3], 4 * step)
        notes = [
            _note(sample_rate, key + root + interval, groove.chord, last[4], 8 * step)
            for interval in groove.intervals
        ]
        samples = dict(zip(voices, (kick, snare, hat, bass, sum(notes) / len(notes)), strict=True))
        pad = PAD * _pad(sample_rate, key + root, groove, STEPS * step + 0.3)
        for bar in (bar for bar in range(BARS) if roots[bar % len(roots)] == root):
            _add(sound, pad, int(bar * STEPS * step * sample_rate))
            for part, level in voices.items():
                for position, loudness in _events(variant[part], groove.swing):
                    _add(
                        sound,
                        level * loudness * samples[part],
                        int((bar * STEPS + position) * step * sample_rate),
                    )
    sound = np.tanh(1.2 * sound / np.abs(sound).max()) / np.tanh(1.2) * 0.9
    return Song(
        f"{genre}{digit}", genre, bpm, _hits(variant, groove.swing), sound.astype(np.float32)
    )


def _note(
    sample_rate: int, semitone: int, voice: tuple[str, float, int], last: float, seconds: float
) -> np.ndarray:
    timbre, decay, octave = voice
    return instruments.tone(
        sample_rate, LOWEST_C * 2 ** (octave + semitone / 12), seconds, timbre, 0.004, decay * last
    )


def _pad(sample_rate: int, root: int, groove: Groove, seconds: float) -> np.ndarray:
    """The bar's chord held in the groove's own timbre, fading over into its neighbours, so that it
    makes no onset.
    """
    pitches = (LOWEST_C * 2 ** (3 + (root + interval) / 12) for interval in groove.intervals)
    return sum(
        instruments.tone(sample_rate, hz, seconds, groove.chord[0], attack=0.3, decay=20.0)
        for hz in pitches
    )


def _events(pattern: str, swing: float) -> list[tuple[float, float]]:
    """(position in sixteenths, loudness) of a pattern's notes, those off the beat delayed by the
    swing.
    """
    delay = (0.0, 0.5 * (4 * swing - 2), 4 * swing - 2, 0.5 * (4 * swing - 2))
    return [
        (n + delay[n % 4], 1.0 if mark == "X" else 0.5)
        for n, mark in enumerate(pattern)
        if mark != "."
    ]


def _hits(variant: dict[str, str], swing: float) -> tuple[tuple[float, float], ...]:
    strength = {"kicks": 1.0, "snares": 1.0, "stabs": 0.7, "hats": 0.3, "basses": 0.5}
    loudest: dict[float, float] = {}
    for part, weight in strength.items():
        for position, loudness in _events(variant[part], swing):
            loudest[position / 4] = max(loudest.get(position / 4, 0.0), weight * loudness)
    return tuple(sorted(loudest.items()))


def _add(sound: np.ndarray, sample: np.ndarray, start: int) -> None:
    """Adds a sample at `start`, wrapping at the end of the piece so that it repeats without a
    seam.
    """
    rows = (start + np.arange(sample.size)) % sound.size
    sound[rows] += sample

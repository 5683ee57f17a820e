"""Chords and scales: what a song's progression means in pitches."""

from dataclasses import dataclass

import numpy as np

QUALITIES = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "sus4": (0, 5, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "hdim7": (0, 3, 6, 10),
    "9": (0, 4, 7, 10, 14),
    "maj9": (0, 4, 7, 11, 14),
    "min9": (0, 3, 7, 10, 14),
}
"""Semitones above the root, by Harte's names."""
SCALES = {"maj": (0, 2, 4, 7, 9), "min": (0, 3, 5, 7, 10)}
"""The pentatonic scales, in which a melody cannot go far wrong."""


@dataclass(frozen=True)
class Harmony:
    """One chord of a progression: its root as a pitch class, its quality, and the sixteenths
    [start, end) of the song in which it sounds.
    """

    root: int
    quality: str
    start: int
    end: int

    @property
    def intervals(self) -> tuple[int, ...]:
        """Semitones of the chord's notes above its root."""
        return QUALITIES[self.quality]

    def voicing(self, lowest: int) -> list[int]:
        """Pitches of the chord within the octave above `lowest`, so that voices move little from
        chord to chord; a chord of five notes leaves its root to the bass.
        """
        intervals = self.intervals[1:] if len(self.intervals) > 4 else self.intervals
        return sorted({into(self.root + interval, lowest) for interval in intervals})


def progression(text: str, key: int, first_bar: int, bars: int) -> list[Harmony]:
    """The chords of the first bars of a text such as `0:min7 | 5:7 7:7`: bars parted by `|`, roots
    in semitones above the key, the chords of one bar equally long.
    """
    harmonies = []
    for number, bar in enumerate(text.split("|")[:bars]):
        names = bar.split()
        length = 16 // len(names)
        for place, name in enumerate(names):
            root, _, quality = name.partition(":")
            start = 16 * (first_bar + number) + place * length
            harmonies.append(Harmony((key + int(root)) % 12, quality, start, start + length))
    return harmonies


def into(pitch: int, lowest: int) -> int:
    """The pitch moved by octaves into lowest .. lowest + 11."""
    return lowest + (pitch - lowest) % 12


def melody(
    rng: np.random.Generator, steps: int, density: float, span: int
) -> list[tuple[int, int, int]]:
    """A motif as (sixteenth, sixteenths it lasts, degree of the scale): mostly on eighths and by
    step, its notes up to `span` degrees from the first.
    """
    weights = np.where(np.arange(steps) % 4 == 0, 1.0, np.where(np.arange(steps) % 2, 0.15, 0.7))
    chosen = np.flatnonzero(rng.random(steps) < density * weights)
    starts = chosen if len(chosen) > 1 else np.array([0, steps // 2])
    degree, motif = int(rng.integers(0, 3)), []
    for start, following in zip(starts, (*starts[1:], steps)):
        length = min(int(following - start), int(rng.choice([2, 3, 4, 8], p=[0.3, 0.2, 0.3, 0.2])))
        motif.append((int(start), length, degree))
        degree = int(np.clip(degree + rng.choice([-2, -1, -1, 0, 1, 1, 2]), -1, span))
    return motif

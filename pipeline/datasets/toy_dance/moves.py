"""What a bar is danced with besides its key poses: held, stepped, flowing or turned, and which hits
of the song the dancer answers.
"""

from dataclasses import dataclass, fields

import numpy as np

from pipeline.datasets.toy_dance.songs import Song

STRONG = 0.3  # of a hit that a dancer answers
APART_S = 0.2  # hits nearer than this are answered once
SNAP = 0.3  # of a beat by which a key may move to a hit
STEP = 0.11  # body heights that a foot goes aside and up in footwork


@dataclass(frozen=True)
class Moves:
    """The chances of a bar that is no row of key poses; what they leave is."""

    hold: float
    """The first pose of the bar stays, still, until the next bar."""
    steps: float
    """Footwork: feet alternate on every hit and eighth."""
    flow: float
    """The same poses without a stop: each is on the way all the time."""
    turn: float
    """Once around, to end on a beat."""

    def draw(self, rng: np.random.Generator) -> str:
        """The name of a bar's move, `keys` for a row of key poses."""
        chances = {field.name: getattr(self, field.name) for field in fields(self)}
        chances["keys"] = 1 - sum(chances.values())
        return str(rng.choice(list(chances), p=list(chances.values())))


MOVES = {
    "BR": Moves(hold=0.05, steps=0.45, flow=0.0, turn=0.05),
    "PO": Moves(hold=0.15, steps=0.0, flow=0.05, turn=0.0),
    "LO": Moves(hold=0.15, steps=0.05, flow=0.0, turn=0.05),
    "MH": Moves(hold=0.05, steps=0.15, flow=0.15, turn=0.0),
    "LH": Moves(hold=0.05, steps=0.05, flow=0.3, turn=0.05),
    "HO": Moves(hold=0.0, steps=0.4, flow=0.1, turn=0.05),
    "WA": Moves(hold=0.05, steps=0.05, flow=0.3, turn=0.05),
    "KR": Moves(hold=0.08, steps=0.15, flow=0.0, turn=0.05),
    "JS": Moves(hold=0.05, steps=0.25, flow=0.1, turn=0.15),
    "JB": Moves(hold=0.05, steps=0.0, flow=0.3, turn=0.15),
}


def strong_hits(song: Song, start_s: float, end_s: float) -> np.ndarray:
    """Seconds of the hits that a dancer answers, the stronger of two that are close."""
    hits = [hit for hit in song.accents(start_s, end_s) if hit[1] >= STRONG]
    taken: list[float] = []
    for time_s, _ in sorted(hits, key=lambda hit: (-hit[1], hit[0])):
        if all(abs(time_s - other) >= APART_S for other in taken):
            taken.append(time_s)
    return np.array(sorted(taken))


def on_hits(times_s: np.ndarray, hits: np.ndarray, reach_s: float) -> np.ndarray:
    """The times, each moved to the nearest hit that lies within `reach_s`."""
    if not len(hits):
        return times_s
    nearest = hits[np.abs(times_s[:, None] - hits).argmin(axis=1)]
    return np.where(np.abs(nearest - times_s) <= reach_s, nearest, times_s)


def eased(share: np.ndarray) -> np.ndarray:
    """A way gone from 0 to 1 that starts and ends at rest."""
    u = np.clip(share, 0, 1)
    return u**2 * (3 - 2 * u)


def wander(times: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise [T] with standard deviation near `scale`, the same at any frame rate."""
    pace, phase = rng.uniform(0.15, 1.2, 6), rng.uniform(0, 2 * np.pi, 6)
    waves = np.sin(2 * np.pi * times[:, None] * pace + phase)
    return scale * waves.sum(axis=1) / np.sqrt(3)

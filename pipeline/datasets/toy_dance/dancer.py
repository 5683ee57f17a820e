"""The dancer's performance: key poses of the genre, footwork, holds, turns and continuous movement
that land on the hits of a song, most of the time.

A performance is drawn first and then looked at, so that it is the same at any frame rate.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.datasets.toy_dance.moves import (
    MOVES,
    SNAP,
    STEP,
    eased,
    on_hits,
    strong_hits,
    wander,
)
from pipeline.datasets.toy_dance.skeleton import C, joints_of, limbs
from pipeline.datasets.toy_dance.songs import GENRES, Song
from pipeline.datasets.toy_dance.styles import CONTROLS, POSES, STYLES, Style

REBOUND = 0.04  # of a step, by which a limb swings back and forth after its arrival
PREPARATION = 0.45
"""Share of a step that is gone slowly from one key to the next; the rest comes with the attack."""
ANSWER = 0.45  # of a pose's size, with which a hit between the beats is answered
MARGIN_S = 1.0  # before and after what is seen
FEET = ("l_foot_x", "l_foot_y", "r_foot_x", "r_foot_y")


@dataclass(frozen=True)
class Noise:
    """How far a performance strays from its genre and its song."""

    timing_s: float
    """Standard deviation of each accent's time."""
    missed: float
    """Chance that an accent is left out."""
    extra: float
    """Chance that one is added after a key, anywhere."""
    borrowed: float
    """Chance that a bar is danced with any genre's phrase."""
    size: float
    """Standard deviation of a pose's size, as a share."""
    drift: float
    """Standard deviation of the slow wander of every control, in radians or tenths of a body
    height.
    """

    @classmethod
    def of_level(cls, level: float) -> "Noise":
        """The noise of a dancer who is perfect at level 0 and human at level 1."""
        return cls(
            0.025 * level, 0.08 * level, 0.2 * level, 0.3 * level, 0.25 * level, 0.08 * level
        )


class Key(NamedTuple):
    """A pose [17] that is reached at a time, the last part of the way within `attack_s`."""

    time_s: float
    pose: np.ndarray
    attack_s: float


class Turn(NamedTuple):
    """Once around, to either side, that ends at a time."""

    time_s: float
    seconds: float
    angle: float


def dance(
    song: Song, start_s: float, seconds: float, fps: float, noise: Noise, rng: np.random.Generator
) -> np.ndarray:
    """Joints [T, 17, 3] of one performance of `song` from `start_s` on, in body heights above the
    floor; equal draws give the same performance at any `fps`.
    """
    times = start_s + np.arange(round(seconds * fps)) / fps
    controls = _controls(song, start_s, seconds, times, noise, rng)
    return joints_of(controls, limbs(rng))


def _controls(
    song: Song,
    start_s: float,
    seconds: float,
    times: np.ndarray,
    noise: Noise,
    rng: np.random.Generator,
) -> np.ndarray:
    style, beat_s = STYLES[song.title.genre], song.beat_s
    around = start_s - MARGIN_S, start_s + seconds + MARGIN_S
    size, phrase = rng.normal(1, noise.size), int(rng.integers(len(style.phrases)))
    late = rng.normal(0, noise.timing_s / 2)
    attack = style.attack * rng.uniform(0.8, 1.25)
    hits = strong_hits(song, *around)

    keys: list[Key] = []
    turns: list[Turn] = []
    still = np.zeros(len(times))
    for bar in range(*(int(np.floor(t / beat_s / 4)) + n for n, t in enumerate(around))):
        move = MOVES[song.title.genre].draw(rng)
        dancer = (
            STYLES[GENRES[rng.integers(len(GENRES))]] if rng.random() < noise.borrowed else style
        )
        keys += [
            key._replace(time_s=key.time_s + late + rng.normal(0, noise.timing_s))
            for key in _bar(move, bar, dancer, phrase, attack, size, beat_s, hits, noise, rng)
        ]
        first_s, last_s = (4 * bar + late) * beat_s, (4 * bar + 4) * beat_s
        if move == "hold":
            still += eased((times - first_s) / 0.2) - eased((times - last_s) / 0.2 + 1)
        if move == "turn":
            end_s = on_hits(np.array([(4 * bar + rng.integers(2, 5)) * beat_s]), hits, SNAP)[0]
            turns.append(Turn(end_s, rng.uniform(1, 2) * beat_s, rng.choice([-1, 1]) * 2 * np.pi))

    controls = _reach(times, keys)
    answered = [hit for hit in hits if rng.random() > noise.missed]
    pulses = np.array([hit + late + rng.normal(0, noise.timing_s) for hit in answered])
    beats = _swung((times - late) / beat_s + wander(times, 0.02, rng), song.groove.swing)
    lively = size * np.clip(1 - still, 0, 1)
    controls[:, C["crouch"]] += style.crouch + lively * style.bounce * np.cos(2 * np.pi * beats)
    controls[:, C["crouch"]] += lively * style.pulse * _knees(times, pulses)
    controls[:, C["nod"]] += 6 * lively * style.pulse * _knees(times, pulses)
    controls[:, C["hip_x"]] += lively * style.sway * np.cos(np.pi * beats + np.pi * phrase)
    for turn in turns:
        controls[:, C["turn"]] += turn.angle * eased((times - turn.time_s) / turn.seconds + 1)
    lengths = np.isin(CONTROLS, ("hip_x", "crouch", *FEET))
    drift = np.stack([wander(times, noise.drift, rng) for _ in CONTROLS], axis=1)
    controls += drift * np.where(lengths, 0.1, 1.0)
    controls[:, C["turn"]] += rng.normal(0, 0.2)
    return controls


def _bar(
    move: str,
    bar: int,
    style: Style,
    phrase: int,
    attack: float,
    size: float,
    beat_s: float,
    hits: np.ndarray,
    noise: Noise,
    rng: np.random.Generator,
) -> list[Key]:
    """The keys of a bar in its move: the phrase's poses on their beats or the hits beside them, and
    smaller answers to the hits between.
    """
    poses = [size * _pose(name) for name in style.phrases[phrase % len(style.phrases)]]
    first_s, length_s = 4 * bar * beat_s, 4 * beat_s
    places = first_s + np.arange(len(poses)) * length_s / len(poses)
    places = on_hits(places, hits, SNAP * beat_s)
    if move == "hold":
        return [Key(places[0], poses[0] * rng.normal(1, noise.size), attack)]
    between = [
        hit
        for hit in hits
        if first_s <= hit < first_s + length_s and np.abs(places - hit).min() > 0.01
    ]
    keys = []
    for time_s, scale in [(place, 1.0) for place in places] + [(hit, ANSWER) for hit in between]:
        number = int(np.clip((time_s - first_s) / length_s * len(poses), 0, len(poses) - 1))
        if rng.random() > noise.missed:
            pose = scale * poses[number] * rng.normal(1, noise.size)
            keys.append(Key(time_s, pose, attack))
        if rng.random() < noise.extra:
            off_s = time_s + rng.uniform(0.2, 0.8) * beat_s
            keys.append(Key(off_s, poses[number] * rng.uniform(0.3, 0.8), attack))
    keys.sort(key=lambda key: key.time_s)
    match move:
        case "steps":
            return [_stepped(key, number, size) for number, key in enumerate(keys)]
        case "flow":
            return [key._replace(attack_s=2 * beat_s) for key in keys]
        case _:
            return keys


def _stepped(key: Key, number: int, size: float) -> Key:
    """The key of a bar of footwork: one foot aside, the other in the air, in turn; arms follow
    halfway.
    """
    pose = 0.5 * key.pose
    down, up, side = ("l", "r", -1) if number % 2 else ("r", "l", 1)
    pose[C[f"{down}_foot_x"]] = side * STEP * size
    pose[C[f"{down}_foot_y"]] = 0.0
    pose[C[f"{up}_foot_x"]] = side * 0.3 * STEP * size
    pose[C[f"{up}_foot_y"]] = STEP * size
    return Key(key.time_s, pose, min(key.attack_s, 0.16))


def _pose(name: str) -> np.ndarray:
    pose = np.zeros(len(CONTROLS))
    pose[[C["l_arm"], C["r_arm"]]] = 0.2
    for control, value in POSES[name].items():
        pose[C[control]] = value
    return pose


def _reach(times: np.ndarray, keys: list[Key]) -> np.ndarray:
    """Controls [T, 17] that come to rest in each key's pose at its time: a part of the way is
    drifted since the last key, the rest is gone within the key's attack.
    """
    keys = sorted(keys, key=lambda key: key.time_s)
    at, attack = (np.array([getattr(key, name) for key in keys]) for name in ("time_s", "attack_s"))
    poses = np.array([key.pose for key in keys])
    steps = np.diff(poses, axis=0, prepend=poses[:1])
    since = times[:, None] - at
    way = np.maximum(np.diff(at, prepend=at[0] - attack[0]), 0.08)
    attack = np.minimum(attack, way)
    drift, strike = eased(since / way + 1), eased(since / attack + 1)
    swing_back = np.exp(-since / 0.1) * np.sin(2 * np.pi * since / 0.3)
    rebound = REBOUND * np.where(since >= 0, swing_back, 0)
    return poses[0] + (PREPARATION * drift + (1 - PREPARATION) * strike + rebound) @ steps


def _swung(beats: np.ndarray, swing: float) -> np.ndarray:
    """Beats counted so that a swung second eighth, at `swing` of its beat, falls on the half."""
    whole = np.floor(beats)
    return whole + np.interp(beats - whole, (0, swing, 1), (0, 0.5, 1))


def _knees(times: np.ndarray, pulses: np.ndarray) -> np.ndarray:
    """A dip [T] that comes to rest at each pulse: goes down within an eighth of a second, recovers
    within a quarter.
    """
    since = times[:, None] - pulses
    return (eased(since / 0.12 + 1) - eased(since / 0.25)).sum(axis=1)

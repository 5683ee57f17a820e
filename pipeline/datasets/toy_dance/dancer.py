"""The dancer: a jointed figure of 17 COCO joints in three dimensions whose movements land on the
hits of a song.

All lengths are in body heights, y points up, z towards the camera, x to the right of the picture.
The dancer's left is therefore at positive x when facing the camera.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.datasets.toy_dance.songs import GENRES, Song
from pipeline.datasets.toy_dance.styles import CONTROLS, POSES, STYLES

JOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
HEAD_RADIUS = 0.1
LIMBS = {
    "torso": 0.29,
    "neck": 0.14,
    "shoulder": 0.115,
    "upper_arm": 0.165,
    "forearm": 0.155,
    "hip": 0.07,
    "thigh": 0.24,
    "shin": 0.23,
}
REBOUND = 0.04  # of a step, by which a limb swings back and forth after its arrival
PREPARATION = 0.5
"""Share of a step that is gone slowly from one key to the next; the rest comes with the attack."""
C = {name: column for column, name in enumerate(CONTROLS)}


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
            0.025 * level, 0.08 * level, 0.08 * level, 0.3 * level, 0.25 * level, 0.08 * level
        )


def dance(
    song: Song, start_s: float, seconds: float, fps: float, noise: Noise, rng: np.random.Generator
) -> np.ndarray:
    """Joints [T, 17, 3] of one performance of `song` from `start_s` on, in body heights above the
    floor.
    """
    times = start_s + np.arange(round(seconds * fps)) / fps
    controls = _controls(song, times, noise, rng)
    return _skeleton(controls, _limbs(rng))


def _controls(song: Song, times: np.ndarray, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    style, beat_s = STYLES[song.title.genre], song.beat_s
    first_bar, last_bar = (int(np.floor(t / beat_s / 4)) for t in (times[0] - 1, times[-1] + 1))
    size = rng.normal(1, noise.size)
    phrase = rng.integers(len(style.phrases))
    late = rng.normal(0, noise.timing_s / 2)
    attack = style.attack * rng.uniform(0.8, 1.25)

    keys: list[tuple[float, np.ndarray]] = []
    pulses: list[tuple[float, float]] = []
    for bar in range(first_bar, last_bar + 1):
        dancer = (
            STYLES[GENRES[rng.integers(len(GENRES))]] if rng.random() < noise.borrowed else style
        )
        poses = dancer.phrases[phrase]
        for number, name in enumerate(poses):
            beat = 4 * bar + number * 4 / len(poses)
            if rng.random() > noise.missed:
                time_s = beat * beat_s + late + rng.normal(0, noise.timing_s)
                keys.append((time_s, size * _pose(name) * rng.normal(1, noise.size)))
            if rng.random() < noise.extra:
                keys.append(
                    (
                        (beat + rng.uniform(0.2, 0.8)) * beat_s,
                        size * _pose(name) * rng.uniform(0.3, 0.8),
                    )
                )
    for time_s, strength in song.accents(times[0] - 1, times[-1] + 1):
        if rng.random() > noise.missed:
            pulses.append((time_s + late + rng.normal(0, noise.timing_s), strength))

    controls = _reach(times, keys, attack)
    beats = _swung((times - late) / beat_s + _wander(times.size, 0.04, rng), song.groove.swing)
    controls[:, C["crouch"]] += style.crouch + size * style.bounce * np.cos(2 * np.pi * beats)
    controls[:, C["crouch"]] += size * style.pulse * _knees(times, pulses)
    controls[:, C["nod"]] += 6 * size * style.pulse * _knees(times, pulses)
    controls[:, C["hip_x"]] += size * style.sway * np.cos(np.pi * beats + np.pi * phrase)
    lengths = np.isin(CONTROLS, ("hip_x", "crouch", "l_foot_x", "l_foot_y", "r_foot_x", "r_foot_y"))
    wander = np.stack([_wander(times.size, noise.drift, rng) for _ in CONTROLS], axis=1)
    controls += wander * np.where(lengths, 0.1, 1.0)
    controls[:, C["turn"]] += rng.normal(0, 0.2)
    return controls


def _pose(name: str) -> np.ndarray:
    pose = np.zeros(len(CONTROLS))
    pose[[C["l_arm"], C["r_arm"]]] = 0.2
    for control, value in POSES[name].items():
        pose[C[control]] = value
    return pose


def _reach(times: np.ndarray, keys: list[tuple[float, np.ndarray]], attack: float) -> np.ndarray:
    """Controls [T, 17] that come to rest in each key's pose at its time: half of the way is drifted
    since the last key, half is gone in the last `attack` seconds.
    """
    keys = sorted(keys, key=lambda key: key[0])
    at = np.array([time for time, _ in keys])
    poses = np.array([pose for _, pose in keys])
    steps = np.diff(poses, axis=0, prepend=poses[:1])
    since = times[:, None] - at
    way = np.maximum(np.diff(at, prepend=at[0] - attack), attack)
    drift, strike = _eased(since / way + 1), _eased(since / attack + 1)
    swing_back = np.exp(-since / 0.1) * np.sin(2 * np.pi * since / 0.3)
    rebound = REBOUND * np.where(since >= 0, swing_back, 0)
    return poses[0] + (PREPARATION * drift + (1 - PREPARATION) * strike + rebound) @ steps


def _eased(share: np.ndarray) -> np.ndarray:
    """A way gone from 0 to 1 that starts and ends at rest."""
    u = np.clip(share, 0, 1)
    return u**2 * (3 - 2 * u)


def _swung(beats: np.ndarray, swing: float) -> np.ndarray:
    """Beats counted so that a swung second eighth, at `swing` of its beat, falls on the half."""
    whole = np.floor(beats)
    return whole + np.interp(beats - whole, (0, swing, 1), (0, 0.5, 1))


def _knees(times: np.ndarray, pulses: list[tuple[float, float]]) -> np.ndarray:
    """A dip [T] that is deepest at each pulse: falls within a tenth of a second, recovers within a
    fifth.
    """
    at, strength = np.array(pulses).reshape(-1, 2).T
    since = times[:, None] - at
    return np.where(since < 0, np.exp(since / 0.04), np.exp(-since / 0.09)) @ strength


def _wander(length: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise [T] with standard deviation near `scale`."""
    steps = rng.standard_normal(length + 16)
    return (
        scale
        * np.convolve(steps, np.hanning(18)[1:-1] / np.linalg.norm(np.hanning(18)), "valid")[
            :length
        ]
    )


def _limbs(rng: np.random.Generator) -> dict[str, float]:
    """One dancer's proportions, in body heights."""
    return {name: length * rng.uniform(0.9, 1.1) for name, length in LIMBS.items()}


def _skeleton(controls: np.ndarray, limbs: dict[str, float]) -> np.ndarray:
    """Joints [T, 17, 3] of the controls [T, 17]: hips from the feet, legs by inverse, all else by
    forward kinematics.
    """
    k = {name: controls[:, column] for name, column in C.items()}
    for name in (
        "hip_x",
        "lean_x",
        "tilt",
        "l_foot_x",
        "r_foot_x",
    ):  # poses count to the dancer's right, the picture to ours
        k[name] = -k[name]
    zero = np.zeros(len(controls))
    leg = limbs["thigh"] + limbs["shin"]
    pelvis = np.stack(
        [k["hip_x"], np.clip(0.97 * leg - k["crouch"], 0.5 * leg, 0.995 * leg) + 0.03, zero], 1
    )
    spine = _unit(
        np.stack(
            [np.sin(k["lean_x"]), np.cos(k["lean_x"]) * np.cos(k["lean_z"]), np.sin(k["lean_z"])], 1
        )
    )
    across = np.stack([np.cos(k["turn"]), zero, -np.sin(k["turn"])], 1)
    across = _unit(across - (across * spine).sum(1, keepdims=True) * spine)
    forward = np.cross(across, spine)
    neck = pelvis + limbs["torso"] * spine

    nod, tilt = k["nod"][:, None], k["tilt"][:, None]
    up = _unit(spine + nod * forward + tilt * across)
    head = neck + limbs["neck"] * up
    face = _unit(forward - nod * up)
    r = HEAD_RADIUS
    joints = np.zeros((len(controls), 17, 3))
    joints[:, 0] = head - 0.25 * r * up + 1.0 * r * face
    for side, sign, (arm, elbow, reach, foot_x, foot_y) in (
        (0, 1, ("l_arm", "l_elbow", "l_reach", "l_foot_x", "l_foot_y")),
        (1, -1, ("r_arm", "r_elbow", "r_reach", "r_foot_x", "r_foot_y")),
    ):
        joints[:, 1 + side] = head + 0.4 * r * up + sign * 0.45 * r * across + 0.8 * r * face
        joints[:, 3 + side] = head + sign * 0.95 * r * across + 0.1 * r * face
        shoulder = neck + sign * limbs["shoulder"] * across - 0.02 * spine
        joints[:, 5 + side] = shoulder
        body = sign * across, spine, forward
        joints[:, 7 + side] = shoulder + limbs["upper_arm"] * _bone(k[arm], k[reach], *body)
        joints[:, 9 + side] = joints[:, 7 + side] + limbs["forearm"] * _bone(
            k[arm] + k[elbow], k[reach], *body
        )
        hip = pelvis + sign * limbs["hip"] * across
        joints[:, 11 + side] = hip
        ankle = np.stack(
            [sign * 1.2 * limbs["hip"] + k[foot_x], 0.03 + np.maximum(k[foot_y], 0), 0.02 + zero], 1
        )
        bend = sign * 0.35 * across + forward
        joints[:, 13 + side], joints[:, 15 + side] = _leg(
            hip, ankle, limbs["thigh"], limbs["shin"], bend
        )
    return joints


def _bone(
    angle: np.ndarray,
    reach: np.ndarray,
    outwards: np.ndarray,
    spine: np.ndarray,
    forward: np.ndarray,
) -> np.ndarray:
    """Direction [T, 3] of an arm's bone at `angle` from hanging, which `reach` (and a little
    always) carries to the front.
    """
    to_front = reach * np.abs(np.sin(angle)) + 0.15
    return _unit(
        np.sin(angle)[:, None] * outwards
        - np.cos(angle)[:, None] * spine
        + to_front[:, None] * forward
    )


def _leg(
    hip: np.ndarray, ankle: np.ndarray, thigh: float, shin: float, bend: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Knee and ankle [T, 3] of a leg from `hip` whose knee points along `bend`; an ankle out of
    reach is drawn in.
    """
    line = ankle - hip
    length = np.linalg.norm(line, axis=1, keepdims=True)
    reach = np.minimum(length, 0.999 * (thigh + shin))
    direction = line / length
    along = (thigh**2 - shin**2 + reach**2) / (2 * reach)
    off = np.sqrt(np.maximum(thigh**2 - along**2, 0))
    bend = _unit(bend - (bend * direction).sum(1, keepdims=True) * direction)
    return hip + along * direction + off * bend, hip + reach * direction


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

"""The camera: where it stands, how it moves, the shape of its picture and its frame rate."""

from dataclasses import dataclass

import numpy as np

ASPECTS = (9 / 16, 3 / 4, 1.0, 4 / 3, 16 / 9)
RATES = {24.0: 0.2, 25.0: 0.2, 30000 / 1001: 0.2, 30.0: 0.25, 50.0: 0.05, 60000 / 1001: 0.1}
"""Frames a second of the videos, and how many of them have so many."""
PLAIN_RATE = 30.0
MIDDLE = 0.5  # body heights above the floor, around which a camera stands
WIDE_UNTIL = 1.15  # body heights that stand beside each other in the narrowest picture


@dataclass(frozen=True)
class Camera:
    """Where joints land in the picture: position [T, 2] of the floor below the dancer and body
    height [T], both in pixels.
    """

    origin: np.ndarray
    scale: np.ndarray
    yaw: np.ndarray
    """Radians [T] by which the camera stands to the side."""
    pitch: float
    """Radians by which it looks down."""
    nearness: float
    """How much larger things are a body height nearer, as a share: a phone at two metres has more
    of it than a camera at ten.
    """
    width: int
    height: int

    def project(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [T, J, 2] and depth towards the camera [T, J] of joints [T, J, 3]."""
        cos, sin = np.cos(self.yaw)[:, None], np.sin(self.yaw)[:, None]
        x = cos * joints[..., 0] + sin * joints[..., 2]
        away = cos * joints[..., 2] - sin * joints[..., 0]
        up = joints[..., 1] - MIDDLE
        y = np.cos(self.pitch) * up - np.sin(self.pitch) * away
        depth = np.sin(self.pitch) * up + np.cos(self.pitch) * away
        nearness = 1 / (1 - self.nearness * depth)
        pixels = np.stack([x * nearness, -y * nearness - MIDDLE], -1) * self.scale[:, None, None]
        return pixels + self.origin[:, None], depth


def frame_rate(variety: float, rng: np.random.Generator) -> float:
    """A video's frames a second, the plain one at variety 0."""
    if rng.random() >= variety:
        return PLAIN_RATE
    return float(rng.choice(list(RATES), p=list(RATES.values())))


def set_up(times: np.ndarray, size: int, variety: float, rng: np.random.Generator) -> Camera:
    """A camera with a place of its own that is held by an unsteady hand: it pans, zooms and goes
    around slowly, from `variety` 0, a fixed one in front of the dancer, to 1. Its picture has
    about `size` x `size` pixels; equal draws give the same camera at any frame `times`.
    """
    aspect = float(rng.choice(ASPECTS)) if rng.random() < variety else 1.0
    width, height = (2 * round(size * side / 2) for side in (aspect**0.5, aspect**-0.5))
    moving = rng.random() < 0.5 * variety  # the others stand on something
    time = (times - times.mean())[:, None]
    swings, phases = rng.uniform(0.3, 1.5, (4, 2)), rng.uniform(0, 2 * np.pi, (4, 2))
    shake = np.sin(2 * np.pi * time[..., None] * swings.T + phases.T).mean(-1)
    shake *= 0.006 * variety * rng.random()
    pan = time * rng.normal(0, (0.03, 0.01)) * variety * moving
    zoom = 1 + time[:, 0] * rng.normal(0, 0.06) * variety * moving
    orbit = time[:, 0] * rng.normal(0, 0.15) * variety * moving
    place = np.array([0.5, 0.93]) + variety * rng.uniform((-0.08, -0.03), (0.08, 0.02))
    body = min(height * rng.uniform(0.68, 0.88), width * rng.uniform(0.9, WIDE_UNTIL))
    sides = np.array([width, height])
    return Camera(
        (place + pan) * sides + shake * min(sides),
        zoom * body,
        rng.normal(0, 0.3) * variety + orbit,
        rng.normal(0.05, 0.12) * variety,
        0.15 + 0.1 * variety * rng.uniform(-1, 1),
        width,
        height,
    )

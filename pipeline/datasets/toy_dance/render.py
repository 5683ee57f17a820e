"""Drawing the dancer: background, limbs in the order of their depth, a marker on every
joint the camera sees.
"""

import cv2
import numpy as np

from pipeline.datasets.toy_dance.camera import Camera
from pipeline.datasets.toy_dance.markers import COLOURS

MARKER_RADIUS = 0.021  # of the side of a square picture of the same area
EARS_APART = 1.9  # of the head's radius
LIMBS = (
    ("left_arm", (5, 7, 9)),
    ("right_arm", (6, 8, 10)),
    ("left_leg", (11, 13, 15)),
    ("right_leg", (12, 14, 16)),
)
_SHIFT = 4  # bits of sub-pixel position that OpenCV draws with


def render(
    joints: np.ndarray, camera: Camera, fps: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Frames [T, height, width, 3] uint8 RGB of joints [T, 17, 3], with a background and clothes
    drawn from `rng`, and the markers' true pixels [T, 17, 2], in the coordinates of
    `markers.read_markers`.
    """
    pixels, depth = camera.project(joints)
    frames = _background(camera, fps, rng)
    clothes = {part: _greyish(rng, 40, 235, 14) for part in ("skin", "shirt", "trousers")}
    marker = MARKER_RADIUS * np.sqrt(camera.width * camera.height)
    head = float(np.linalg.norm(joints[0, 3] - joints[0, 4])) / EARS_APART
    for frame, at, near, scale in zip(frames, pixels, depth, camera.scale, strict=True):
        _draw(frame, at, near, scale, head, marker, clothes)
    return frames, pixels


def _background(camera: Camera, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Frames of a wall and a floor in pale colours, textured, moving with the camera, and things
    that drift across.
    """
    width, height = camera.width, camera.height
    margin = max(width, height) // 4
    wide, high = width + 2 * margin, height + 2 * margin
    top, bottom, floor = (_greyish(rng, 20, 200, 10) for _ in range(3))
    ramp = np.linspace(0, 1, high)[:, None, None]
    canvas = np.broadcast_to((1 - ramp) * top + ramp * bottom, (high, wide, 3)).copy()
    cells = int(rng.integers(3, 12))
    canvas += cv2.resize(
        rng.normal(0, 8, (cells, cells)), (wide, high), interpolation=cv2.INTER_CUBIC
    )[..., None]
    horizon = int(margin + height * rng.uniform(0.7, 0.85))
    canvas[horizon:] = floor + 0.1 * (canvas[horizon:] - floor)
    canvas = np.clip(canvas, 0, 255).astype(np.uint8)

    shift = 0.5 * (camera.origin - camera.origin[len(camera.origin) // 2])
    frames = np.empty((len(shift), height, width, 3), np.uint8)
    drifters = [_drifter(width, height, rng) for _ in range(rng.integers(0, 4))]
    for number, (x, y) in enumerate(shift):
        frames[number] = cv2.getRectSubPix(
            canvas, (width, height), ((wide - 1) / 2 - x, (high - 1) / 2 - y)
        )
        for place, speed, radius, colour in drifters:
            _disc(frames[number], place + number / fps * speed, radius, colour)
    return frames


def _drifter(
    width: int, height: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float, tuple[int, int, int]]:
    """Where a disc starts, how far it moves a second, its radius (all in pixels) and its colour."""
    size = min(width, height)
    place, speed = rng.uniform(0, (width, height)), rng.normal(0, 0.12 * size, 2)
    return place, speed, size * rng.uniform(0.03, 0.08), _shade(_greyish(rng, 30, 220, 12), 1.0)


def _greyish(rng: np.random.Generator, low: float, high: float, tint: float) -> np.ndarray:
    """A colour [3] of a brightness in low..high whose channels stray by `tint`: too pale to be
    taken for a marker.
    """
    return np.clip(
        rng.uniform(low, high) + np.clip(rng.normal(0, tint, 3), -1.5 * tint, 1.5 * tint), 0, 255
    )


def _draw(
    frame: np.ndarray,
    at: np.ndarray,
    near: np.ndarray,
    scale: float,
    head_radius: float,
    marker: float,
    clothes: dict[str, np.ndarray],
) -> None:
    """Draws one dancer, farthest part first, each part with its own markers, so that what is in
    front hides what is behind.
    """
    head = at[[3, 4]].mean(axis=0)
    parts = [(near[list(chain)].mean(), name, chain) for name, chain in LIMBS]
    parts += [
        (near[[5, 6, 11, 12]].mean(), "torso", (5, 6, 11, 12)),
        (near[[3, 4]].mean() + 0.1, "head", (3, 4, 0, 1, 2)),
    ]
    for _, name, chain in sorted(parts):
        if name == "torso":
            outline, shirt = at[[5, 6, 12, 11]], _shade(clothes["shirt"], 1.0)
            _line(frame, outline, 0.075 * scale, shirt, closed=True)
            cv2.fillPoly(frame, [_fixed(outline)], shirt, cv2.LINE_AA, _SHIFT)
            _line(
                frame,
                np.array([outline[:2].mean(axis=0), head]),
                0.05 * scale,
                _shade(clothes["skin"], 0.8),
            )
        elif name == "head":
            _disc(frame, head, head_radius * scale, _shade(clothes["skin"], 1.0))
            chain = [
                joint for joint in chain if near[joint] > near[[3, 4]].mean() - 0.5 * head_radius
            ]
        else:
            cloth, width = ("trousers", 0.062) if "leg" in name else ("shirt", 0.048)
            _line(
                frame,
                at[list(chain)],
                width * scale,
                _shade(clothes[cloth], 0.85 if name.startswith("left") else 0.7),
            )
        for joint in chain:
            _disc(frame, at[joint], marker, _shade(COLOURS[joint], 1.0))


def _shade(colour: np.ndarray, light: float) -> tuple[int, int, int]:
    red, green, blue = (colour * light).astype(int).tolist()
    return red, green, blue


def _line(
    frame: np.ndarray,
    points: np.ndarray,
    width: float,
    colour: tuple[int, int, int],
    closed: bool = False,
) -> None:
    cv2.polylines(
        frame, [_fixed(points)], closed, colour, max(1, round(width)), cv2.LINE_AA, _SHIFT
    )


def _disc(frame: np.ndarray, at: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    x, y = _fixed(at)
    cv2.circle(
        frame,
        (int(x), int(y)),
        round(radius * (1 << _SHIFT)),
        colour,
        cv2.FILLED,
        cv2.LINE_AA,
        _SHIFT,
    )


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels as the fixed-point integers that OpenCV draws with."""
    return np.round(points * (1 << _SHIFT)).astype(np.int32)

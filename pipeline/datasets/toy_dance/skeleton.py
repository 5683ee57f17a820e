"""The dancer's body: 17 COCO joints in three dimensions that follow from the controls of a pose and
one person's proportions.

All lengths are in body heights, y points up, z towards the camera, x to the right of the picture.
The dancer's left is therefore at positive x when facing the camera.
"""

import numpy as np

from pipeline.datasets.toy_dance.styles import CONTROLS

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
LIMBS = {  # length, and by how much people differ
    "torso": (0.29, 0.08),
    "neck": (0.14, 0.12),
    "shoulder": (0.115, 0.18),
    "upper_arm": (0.165, 0.12),
    "forearm": (0.155, 0.12),
    "hip": (0.07, 0.2),
    "thigh": (0.24, 0.1),
    "shin": (0.23, 0.1),
    "head": (0.1, 0.15),
}
C = {name: column for column, name in enumerate(CONTROLS)}


def limbs(rng: np.random.Generator) -> dict[str, float]:
    """One dancer's proportions, in body heights."""
    return {
        name: length * rng.uniform(1 - spread, 1 + spread)
        for name, (length, spread) in LIMBS.items()
    }


def joints_of(controls: np.ndarray, limbs: dict[str, float]) -> np.ndarray:
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
    r = limbs["head"]
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

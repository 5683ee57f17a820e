"""What tells the ten genres apart by eye: key poses, and one `Style` a genre that says which come
on which beat and how.
"""

from dataclasses import dataclass

CONTROLS = (
    "hip_x",
    "crouch",
    "turn",
    "lean_x",
    "lean_z",
    "nod",
    "tilt",
    "l_arm",
    "l_elbow",
    "l_reach",
    "r_arm",
    "r_elbow",
    "r_reach",
    "l_foot_x",
    "l_foot_y",
    "r_foot_x",
    "r_foot_y",
)
"""The numbers that make a pose. Arms: angle from hanging (radians, outwards and up), bend of the
elbow, share that reaches forward. Feet: sideways from the place below the hip and up from the
floor, in body heights, as are hip_x and crouch; the rest are radians. Positive is to the dancer's
right."""

POSES: dict[str, dict[str, float]] = {
    "stand": {},
    "step_l": {"hip_x": -0.07, "l_foot_x": -0.12, "tilt": -0.1, "l_arm": 0.6, "r_arm": 0.3},
    "step_r": {"hip_x": 0.07, "r_foot_x": 0.12, "tilt": 0.1, "l_arm": 0.3, "r_arm": 0.6},
    "open": {
        "l_arm": 1.5,
        "r_arm": 1.5,
        "l_foot_x": -0.08,
        "r_foot_x": 0.08,
        "crouch": 0.06,
        "lean_z": -0.1,
    },
    "cross": {
        "l_arm": 0.7,
        "r_arm": 0.7,
        "l_elbow": -1.6,
        "r_elbow": -1.6,
        "l_reach": 0.5,
        "r_reach": 0.5,
        "l_foot_x": 0.1,
        "r_foot_x": -0.02,
    },
    "kick_l": {
        "l_foot_x": -0.2,
        "l_foot_y": 0.14,
        "hip_x": 0.05,
        "lean_x": 0.12,
        "l_arm": 0.9,
        "r_arm": 1.3,
    },
    "kick_r": {
        "r_foot_x": 0.2,
        "r_foot_y": 0.14,
        "hip_x": -0.05,
        "lean_x": -0.12,
        "l_arm": 1.3,
        "r_arm": 0.9,
    },
    "box": {"l_arm": 1.57, "r_arm": 1.57, "l_elbow": 1.57, "r_elbow": -1.57},
    "box_flip": {"l_arm": 1.57, "r_arm": 1.57, "l_elbow": -1.57, "r_elbow": 1.57, "lean_x": 0.1},
    "freeze": {
        "l_arm": 0.9,
        "r_arm": 1.9,
        "l_elbow": 1.2,
        "r_elbow": 0.3,
        "turn": 0.3,
        "lean_z": 0.1,
    },
    "point_l": {"l_arm": 2.5, "r_arm": 0.5, "r_elbow": 1.9, "lean_x": -0.12, "tilt": -0.2},
    "point_r": {"r_arm": 2.5, "l_arm": 0.5, "l_elbow": 1.9, "lean_x": 0.12, "tilt": 0.2},
    "lock": {
        "l_arm": 0.9,
        "r_arm": 0.9,
        "l_elbow": -0.9,
        "r_elbow": -0.9,
        "lean_z": 0.35,
        "crouch": 0.07,
    },
    "nod_l": {
        "hip_x": -0.03,
        "crouch": 0.06,
        "nod": 0.4,
        "l_arm": 0.4,
        "l_elbow": 0.9,
        "r_arm": 0.25,
        "turn": -0.25,
    },
    "nod_r": {
        "hip_x": 0.03,
        "crouch": 0.06,
        "nod": 0.4,
        "r_arm": 0.4,
        "r_elbow": 0.9,
        "l_arm": 0.25,
        "turn": 0.25,
    },
    "wave_l": {"l_arm": 1.9, "l_elbow": 0.5, "r_arm": 1.0, "r_elbow": -0.5, "lean_x": -0.15},
    "wave_r": {"r_arm": 1.9, "r_elbow": 0.5, "l_arm": 1.0, "l_elbow": -0.5, "lean_x": 0.15},
    "frame": {"l_arm": 2.0, "r_arm": 2.0, "l_elbow": 1.5, "r_elbow": 1.5, "lean_z": 0.05},
    "jack_in": {
        "lean_z": 0.3,
        "l_arm": 0.7,
        "r_arm": 0.7,
        "l_elbow": 1.3,
        "r_elbow": 1.3,
        "l_reach": 0.6,
        "r_reach": 0.6,
        "l_foot_x": -0.05,
    },
    "jack_out": {
        "lean_z": -0.15,
        "l_arm": 0.5,
        "r_arm": 0.5,
        "l_elbow": 1.6,
        "r_elbow": 1.6,
        "l_reach": 0.4,
        "r_reach": 0.4,
        "r_foot_x": 0.05,
    },
    "shuffle": {
        "hip_x": 0.04,
        "r_foot_x": 0.1,
        "r_foot_y": 0.05,
        "l_arm": 0.6,
        "r_arm": 0.6,
        "l_elbow": 1.4,
        "r_elbow": 1.4,
    },
    "whirl_up": {
        "l_arm": 2.7,
        "r_arm": 2.7,
        "l_elbow": 0.5,
        "r_elbow": 0.5,
        "hip_x": 0.05,
        "tilt": 0.15,
    },
    "whirl_back": {"l_arm": 1.7, "r_arm": 1.7, "l_elbow": 2.2, "r_elbow": 2.2, "hip_x": 0.0},
    "whirl_down": {
        "l_arm": 1.1,
        "r_arm": 1.1,
        "l_elbow": -0.2,
        "r_elbow": -0.2,
        "hip_x": -0.05,
        "tilt": -0.15,
    },
    "stomp_l": {
        "l_foot_x": -0.14,
        "r_foot_x": 0.08,
        "crouch": 0.14,
        "l_arm": 1.2,
        "r_arm": 1.9,
        "r_elbow": 1.0,
        "lean_x": -0.2,
    },
    "stomp_r": {
        "r_foot_x": 0.14,
        "l_foot_x": -0.08,
        "crouch": 0.14,
        "r_arm": 1.2,
        "l_arm": 1.9,
        "l_elbow": 1.0,
        "lean_x": 0.2,
    },
    "chest_pop": {
        "lean_z": -0.3,
        "crouch": 0.08,
        "l_arm": 0.9,
        "r_arm": 0.9,
        "l_elbow": -0.6,
        "r_elbow": -0.6,
        "l_foot_x": -0.12,
        "r_foot_x": 0.12,
    },
    "jazz_l": {
        "l_arm": 1.75,
        "r_arm": 1.2,
        "r_elbow": 1.4,
        "l_foot_x": -0.17,
        "hip_x": -0.08,
        "turn": -0.4,
        "tilt": -0.2,
    },
    "jazz_r": {
        "r_arm": 1.75,
        "l_arm": 1.2,
        "l_elbow": 1.4,
        "r_foot_x": 0.17,
        "hip_x": 0.08,
        "turn": 0.4,
        "tilt": 0.2,
    },
    "fan": {"l_arm": 2.2, "r_arm": 2.2, "l_foot_y": 0.2, "l_foot_x": -0.22, "lean_x": 0.15},
    "first": {
        "l_arm": 0.5,
        "r_arm": 0.5,
        "l_elbow": -0.5,
        "r_elbow": -0.5,
        "l_reach": 0.5,
        "r_reach": 0.5,
    },
    "second": {"l_arm": 1.6, "r_arm": 1.6, "l_elbow": -0.15, "r_elbow": -0.15},
    "fifth": {"l_arm": 2.8, "r_arm": 2.8, "l_elbow": 0.5, "r_elbow": 0.5, "tilt": 0.1},
    "passe": {"l_arm": 1.6, "r_arm": 2.7, "r_elbow": 0.4, "r_foot_x": -0.06, "r_foot_y": 0.22},
}


@dataclass(frozen=True)
class Style:
    """How a genre is danced."""

    phrases: tuple[tuple[str, ...], ...]
    """Per phrase the poses reached at the keys of a bar: four of them on the beats, eight of them
    on the eighths.
    """
    attack: float
    """Seconds a pose takes to be reached; short is sharp."""
    bounce: float
    """Body heights; positive goes down on the beat, negative up."""
    sway: float
    """Body heights from side to side over two beats."""
    pulse: float
    """Body heights of the knees' answer to every hit of the music."""
    crouch: float
    """Body heights that the hips stay below standing."""


STYLES = {
    "BR": Style(
        (("open", "cross", "open", "kick_l"), ("kick_r", "cross", "kick_l", "cross")),
        0.22,
        0.052,
        0.0,
        0.04,
        0.1,
    ),
    "PO": Style(
        (("box", "box_flip", "freeze", "box"), ("freeze", "box", "box_flip", "freeze")),
        0.1,
        0.0,
        0.0,
        0.028,
        0.03,
    ),
    "LO": Style(
        (("point_l", "lock", "point_r", "lock"), ("lock", "point_r", "lock", "open")),
        0.14,
        0.019,
        0.0,
        0.04,
        0.05,
    ),
    "MH": Style(
        (("nod_l", "nod_r", "nod_l", "nod_r"), ("step_l", "nod_r", "step_r", "nod_l")),
        0.32,
        0.065,
        0.02,
        0.04,
        0.06,
    ),
    "LH": Style(
        (("wave_l", "frame", "wave_r", "nod_l"), ("frame", "wave_l", "nod_r", "wave_r")),
        0.26,
        0.033,
        0.03,
        0.055,
        0.06,
    ),
    "HO": Style(
        (
            (
                "jack_in",
                "jack_out",
                "shuffle",
                "jack_out",
                "jack_in",
                "jack_out",
                "shuffle",
                "jack_out",
            ),
            ("shuffle", "jack_in", "step_l", "jack_in", "shuffle", "jack_in", "step_r", "jack_in"),
        ),
        0.18,
        0.039,
        0.02,
        0.033,
        0.07,
    ),
    "WA": Style(
        (
            (
                "whirl_up",
                "whirl_back",
                "whirl_down",
                "whirl_back",
                "whirl_up",
                "whirl_back",
                "whirl_down",
                "whirl_back",
            ),
            (
                "whirl_down",
                "whirl_up",
                "whirl_back",
                "whirl_up",
                "whirl_down",
                "point_l",
                "whirl_back",
                "point_r",
            ),
        ),
        0.2,
        -0.019,
        0.04,
        0.0,
        0.0,
    ),
    "KR": Style(
        (
            ("stomp_l", "chest_pop", "stomp_r", "chest_pop"),
            ("chest_pop", "stomp_r", "stomp_l", "open"),
        ),
        0.12,
        0.06,
        0.0,
        0.065,
        0.12,
    ),
    "JS": Style(
        (("jazz_l", "step_r", "jazz_r", "fan"), ("step_l", "jazz_r", "fan", "jazz_l")),
        0.28,
        -0.026,
        0.05,
        0.01,
        0.02,
    ),
    "JB": Style(
        (("first", "second", "fifth", "second"), ("fifth", "passe", "second", "first")),
        0.45,
        -0.046,
        0.01,
        0.0,
        0.0,
    ),
}

"""How loud the programs of the sound font play, so that no part of a band is buried.

dB relative to full scale of the first quarter second of one note at velocity 100, measured around
the pitch at which the songs use it.
"""

import numpy as np

from pipeline.media.midi import drum_class

PITCHED = {
    0: -35, 1: -35, 2: -32, 4: -27, 5: -32, 6: -35, 7: -33, 8: -33, 9: -37, 10: -32, 11: -27,
    12: -32, 14: -30, 16: -30, 17: -33, 18: -32, 24: -31, 25: -35, 26: -32, 27: -36, 28: -33,
    29: -34, 30: -30, 32: -27, 33: -29, 34: -31, 35: -28, 36: -29, 37: -33, 38: -28, 39: -28,
    40: -29, 42: -28, 43: -28, 45: -30, 46: -26, 48: -33, 49: -39, 50: -37, 51: -30, 52: -33,
    53: -33, 54: -28, 55: -26, 56: -30, 57: -32, 59: -38, 60: -25, 61: -35, 62: -28, 63: -28,
    64: -30, 65: -28, 66: -31, 68: -29, 71: -31, 73: -28, 75: -32, 80: -28, 81: -30, 82: -29,
    84: -27, 87: -24, 88: -28, 89: -41, 90: -31, 91: -28, 92: -30, 94: -37, 95: -32, 98: -30,
}  # fmt: skip
KITS = {
    0: {"kick": -32, "snare": -32, "hat": -50, "tom": -31, "cymbal": -40, "percussion": -40},
    8: {"kick": -26, "snare": -28, "hat": -50, "tom": -29, "cymbal": -40, "percussion": -40},
    16: {"kick": -29, "snare": -30, "hat": -50, "tom": -25, "cymbal": -34, "percussion": -34},
    24: {"kick": -27, "snare": -32, "hat": -42, "tom": -27, "cymbal": -38, "percussion": -34},
    25: {"kick": -26, "snare": -37, "hat": -41, "tom": -34, "cymbal": -38, "percussion": -34},
    32: {"kick": -32, "snare": -32, "hat": -50, "tom": -31, "cymbal": -42, "percussion": -40},
    40: {"kick": -32, "snare": -41, "hat": -50, "tom": -26, "cymbal": -36, "percussion": -34},
    48: {"kick": -33, "snare": -32, "hat": -42, "tom": -31, "cymbal": -38, "percussion": -31},
}
RIDE = 12  # dB by which a ride is softer than a crash at the same velocity


def velocity(program: int, is_drum: bool, pitch: int, level_db: float) -> int:
    """The velocity 1..127 at which a note comes out at `level_db`; gain goes with its square."""
    played = KITS[program][drum_class(pitch)] if is_drum else PITCHED[program]
    if is_drum and pitch in (51, 53, 59):
        played -= RIDE
    return int(np.clip(round(100 * 10 ** ((level_db - played) / 40)), 1, 127))

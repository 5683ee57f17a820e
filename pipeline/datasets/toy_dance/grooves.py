"""What tells the ten genres apart by ear: one `Groove` a genre, named and ordered as in AIST++."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Groove:
    """The music of one genre.

    Patterns are sixteen sixteenth-notes of one 4/4 bar: `X` loud, `x` soft, `.` silent; a song
    picks one of the variants. Roots are semitones above the key, one a bar. `swing` is where the
    second of two eighths falls in its beat: 0.5 is straight, 0.67 a triplet.
    """

    kicks: tuple[str, ...]
    snares: tuple[str, ...]
    hats: tuple[str, ...]
    basses: tuple[str, ...]
    stabs: tuple[str, ...]
    roots: tuple[tuple[int, ...], ...]
    swing: float
    kick: tuple[float, float, float]
    """Hz, seconds, drive."""
    snare: tuple[float, float, float]
    """Hz, seconds, brightness."""
    hat: tuple[float, float]
    """Seconds, lowest Hz."""
    bass: tuple[str, float, int]
    """Timbre, decay in seconds, octave above 32.7 Hz."""
    chord: tuple[str, float, int]
    """Timbre, decay in seconds, octave above 32.7 Hz."""
    intervals: tuple[int, ...]
    """Semitones of the chord above its root."""
    levels: tuple[float, float, float, float, float]
    """Gains of kick, snare, hat, bass, chord."""


GROOVES = {
    "BR": Groove(
        kicks=("X.X.......X..X..", "X.X.......XX...."),
        snares=("....X.......X...", "....X..x....X..."),
        hats=("x.x.x.x.x.x.x.x.", "x...x...x...x..."),
        basses=("X.....X...X.....", "X.X.......X....."),
        stabs=("..............X.", "......X........."),
        roots=((0, 0, 5, 0), (0, 0, -2, 0)),
        swing=0.54,
        kick=(62, 0.18, 1.5),
        snare=(210, 0.16, 0.75),
        hat=(0.05, 3000),
        bass=("slap", 0.15, 1),
        chord=("brass", 0.12, 3),
        intervals=(0, 4, 10),
        levels=(1.0, 0.9, 0.2, 0.5, 0.35),
    ),
    "PO": Groove(
        kicks=("X.......X.......", "X.......X..X...."),
        snares=("....X.......X...", "....X.......X..."),
        hats=("..x...x...x...x.", "................"),
        basses=("X..X..X...X.....", "X..X..X........."),
        stabs=("..........X.....", "......X........."),
        roots=((0, 0, 3, 5), (0, 0, -2, 3)),
        swing=0.5,
        kick=(45, 0.35, 1.2),
        snare=(900, 0.09, 0.95),
        hat=(0.04, 4000),
        bass=("square", 0.12, 2),
        chord=("square", 0.1, 4),
        intervals=(0, 7, 12),
        levels=(1.0, 0.8, 0.1, 0.6, 0.3),
    ),
    "LO": Groove(
        kicks=("X.....X...X.....", "X.....X........."),
        snares=("....X.......X...", "....X.......X..."),
        hats=("x.x.x.x.x.x.x.x.", "x...x...x...x..."),
        basses=("X.....X...X.....", "X.....X........."),
        stabs=("....X.X.....X.X.", "....X.......X.X."),
        roots=((0, 5, 0, 5), (0, 5, 7, 5)),
        swing=0.5,
        kick=(75, 0.12, 1.0),
        snare=(240, 0.12, 0.6),
        hat=(0.04, 3500),
        bass=("slap", 0.2, 1),
        chord=("guitar", 0.06, 4),
        intervals=(0, 4, 7, 10),
        levels=(0.8, 0.7, 0.25, 0.5, 0.6),
    ),
    "MH": Groove(
        kicks=("X......X..X.....", "X.........X....."),
        snares=("....X.......X...", "....X.......X..."),
        hats=("X.x.X.x.X.x.X.x.", "x...x...x...x.x."),
        basses=("X.........X.....", "X......X..X....."),
        stabs=("X...............", "X.........X....."),
        roots=((0, 0, 5, 3), (0, -4, 5, 3)),
        swing=0.64,
        kick=(58, 0.22, 2.0),
        snare=(180, 0.2, 0.6),
        hat=(0.05, 3500),
        bass=("round", 0.35, 1),
        chord=("rhodes", 0.6, 3),
        intervals=(0, 3, 7, 10),
        levels=(1.0, 0.9, 0.3, 0.5, 0.45),
    ),
    "LH": Groove(
        kicks=("X.....X.........", "X..........X...."),
        snares=("........X.......", "........X......."),
        hats=("X.X.X.X.X.XXX.X.", "X...X...X...X.XX"),
        basses=("X.....X.........", "X..........X...."),
        stabs=("............X...", "....X.......X..."),
        roots=((0, 0, -4, -2), (0, 0, 3, -2)),
        swing=0.5,
        kick=(40, 0.35, 2.5),
        snare=(1200, 0.14, 1.0),
        hat=(0.09, 2200),
        bass=("sub", 0.5, 1),
        chord=("bell", 0.3, 5),
        intervals=(0, 3),
        levels=(1.0, 0.9, 0.55, 0.5, 0.4),
    ),
    "HO": Groove(
        kicks=("X...X...X...X...", "X...X...X...X..."),
        snares=("................", "....X.......X..."),
        hats=("..X...X...X...X.", "..X...X...X...X."),
        basses=("..X...X...X...X.", "................"),
        stabs=("................", "......X........."),
        roots=((0, 0, 3, 5), (0, 0, -2, -2)),
        swing=0.5,
        kick=(52, 0.2, 1.5),
        snare=(1000, 0.1, 0.9),
        hat=(0.1, 3200),
        bass=("round", 0.12, 2),
        chord=("organ", 0.15, 4),
        intervals=(0, 3, 7),
        levels=(1.0, 0.45, 0.45, 0.45, 0.4),
    ),
    "WA": Groove(
        kicks=("X...X...X...X...", "X...X...X...X..."),
        snares=("....X.......X...", "....X.......X..."),
        hats=("................", "................"),
        basses=("X.X.X.X.X.X.X.X.", "X...X.X.X...X.X."),
        stabs=("X...............", "X.......X......."),
        roots=((0, 5, -2, 3), (0, -4, 3, -2)),
        swing=0.5,
        kick=(65, 0.14, 1.0),
        snare=(260, 0.18, 0.85),
        hat=(0.08, 3000),
        bass=("saw", 0.14, 2),
        chord=("strings", 1.2, 4),
        intervals=(0, 3, 7, 12),
        levels=(0.9, 0.6, 0.1, 0.7, 0.4),
    ),
    "KR": Groove(
        kicks=("X..X..X...X.....", "X..X......X.X..."),
        snares=("........X.......", "........X......."),
        hats=("................", "................"),
        basses=("X..X..X...X.....", "X..X......X.X..."),
        stabs=("X...X.......X...", "X.....X.....X..."),
        roots=((0, 0, 1, 0), (0, 0, -1, 1)),
        swing=0.5,
        kick=(48, 0.3, 6.0),
        snare=(150, 0.3, 0.7),
        hat=(0.03, 3500),
        bass=("growl", 0.3, 1),
        chord=("brass", 0.3, 2),
        intervals=(0, 1, 7),
        levels=(1.0, 1.0, 0.1, 0.6, 0.45),
    ),
    "JS": Groove(
        kicks=("X...............", "X.......X......."),
        snares=("....x.......x...", "....x.......x.x."),
        hats=("X...X.x.X...X.x.", "X...X...X...X.x."),
        basses=("X...X...X...X...", "X...X...X...X..."),
        stabs=("......X.........", "......X.......X."),
        roots=((0, 9, 2, 7), (0, 5, 2, 7)),
        swing=0.67,
        kick=(80, 0.1, 1.0),
        snare=(330, 0.08, 0.5),
        hat=(0.12, 3000),
        bass=("round", 0.25, 1),
        chord=("piano", 0.2, 3),
        intervals=(0, 4, 7, 11, 14),
        levels=(0.7, 0.7, 0.45, 0.8, 0.5),
    ),
    "JB": Groove(
        kicks=("................", "X..............."),
        snares=("................", "................"),
        hats=("x.x.x.x.x.x.x.x.", "x.x.x...x.x.x..."),
        basses=("X...............", "X.......X......."),
        stabs=("X.X.X.X.X.X.X.X.", "X.X.X...X.X.X..."),
        roots=((0, 7, 9, 5), (0, 5, 9, 7)),
        swing=0.5,
        kick=(90, 0.3, 1.0),
        snare=(400, 0.1, 0.4),
        hat=(0.1, 2200),
        bass=("strings", 0.9, 2),
        chord=("piano", 0.25, 4),
        intervals=(0, 4, 7),
        levels=(0.4, 0.3, 0.3, 0.4, 0.8),
    ),
}

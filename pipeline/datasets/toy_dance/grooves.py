"""What tells the ten genres apart by ear: one `Groove` a genre, named and ordered as in AIST++."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Groove:
    """The music of one genre: its instruments, rhythms and chords, of which a song picks its own.

    Rhythms are sixteen sixteenth-notes of one 4/4 bar, `.` silent. Drums: `X` loud, `x` soft; hats
    also `o` open, `r` two in the place of one, `R` the ride cymbal. Bass: `1 3 5 8` the chord's
    notes, `7` a tone below the root, `w` a step of a walk. Chords: `X` loud, `x` soft, `a` the
    next note of the chord alone. Fills: `s` snare, `h m l` toms, `c` clap, `t` timpani.
    """

    mode: str
    """Whether the key is `maj` or `min`."""
    swing: float
    """Where the second of two eighths falls in its beat: 0.5 is straight, 0.67 a triplet."""
    steady_ms: float
    """Standard deviation of the players' timing."""
    kits: tuple[int, ...]
    """General-MIDI programs, here and for the other instruments."""
    basses: tuple[int, ...]
    chords: tuple[int, ...]
    pads: tuple[int, ...]
    leads: tuple[int, ...]
    kicks: tuple[str, ...]
    snares: tuple[str, ...]
    hats: tuple[str, ...]
    percussion: tuple[tuple[int, str], ...]
    """Drum pitch and rhythm of what is added in the chorus."""
    bass_lines: tuple[str, ...]
    stabs: tuple[str, ...]
    fills: tuple[str, ...]
    progressions: tuple[str, ...]
    """Four bars each, as `harmony.progression` reads them."""
    snare: int = 38
    """Drum pitch that keeps the back beat."""
    held: tuple[float, float] = (0.8, 0.5)
    """Share of the time to the next note that bass and chords sound."""
    density: float = 0.5
    """How many of the places in a bar the lead uses."""
    levels: tuple[float, float, float, float, float] = (0, 0, 0, 0, 0)
    """dB by which drums, bass, chords, pad and lead differ from `band.LEVELS`."""


GROOVES = {
    "BR": Groove(  # funk breaks: a busy drummer, finger bass, clipped guitar and horns
        mode="min",
        swing=0.54,
        steady_ms=6,
        kits=(0, 8),
        basses=(33, 36),
        chords=(28, 7, 16),
        pads=(16, 18),
        leads=(61, 56, 65),
        kicks=("X.X.......X..X..", "X.X.......XX....", "X..X..X...X.....", "X.....X..XX....."),
        snares=("....X..x.x..X...", "....X..x....X..x", "....X..x.xX.x..X"),
        hats=("X.x.X.x.X.x.X.x.", "X.x.X.o.X.x.X.x.", "XxxxXxxxXxxxXxxx"),
        percussion=((63, "..x..xX...x..xX."), (56, "X...X...X...X..."), (54, "x.X.x.X.x.X.x.X.")),
        bass_lines=("1.1...8.7.1.....", "1.....1.8.71....", "1..1..8...5.7..."),
        stabs=("..x...X...x...X.", "....X.....x...X.", "x.XX..x.x.XX..x."),
        fills=("........ssshhmml", "............ssss", "....s.sss.hhm.ll"),
        progressions=(
            "0:min7 | 0:min7 | 5:9 | 5:9",
            "0:9 | 0:9 | 10:7 | 5:9",
            "0:min7 | 3:7 | 5:9 | 0:min7",
        ),
        held=(0.6, 0.25),
    ),
    "PO": Groove(  # electro funk: machines, claps, square leads
        mode="min",
        swing=0.5,
        steady_ms=2,
        kits=(24, 25),
        basses=(38, 39),
        chords=(80, 62, 63),
        pads=(50, 90),
        leads=(81, 80, 84),
        snare=39,
        kicks=("X.......X.......", "X.......X..X....", "X..X....X.X....."),
        snares=("....X.......X...", "....X.......X..x", "....X.......X.X."),
        hats=("x.X.x.X.x.X.x.X.", "..o...o...o...o.", "xxXxxxXxxxXxxxXx"),
        percussion=((56, "..x.x...x..x...."), (38, "..........x....."), (75, "x..x..x...x.x...")),
        bass_lines=("1..1..8...1.7...", "1.1.8.1.1.8.7.5.", "1..5..8.1..5.7.."),
        stabs=("..........X.....", "......X...X.....", "X..X..X........."),
        fills=("............cccc", "........c.c.cccc", "............hmll"),
        progressions=(
            "0:min | 0:min | 10:maj | 5:min",
            "0:min7 | 8:maj | 10:maj | 0:min7",
            "0:min | 3:maj | 5:min | 10:maj",
        ),
        held=(0.5, 0.35),
    ),
    "LO": Groove(  # seventies funk: slap bass, clavinet and guitar, brass, tambourine
        mode="maj",
        swing=0.5,
        steady_ms=6,
        kits=(0, 8),
        basses=(36, 37, 33),
        chords=(27, 7, 28),
        pads=(16, 18),
        leads=(61, 65, 66),
        kicks=("X.....X...X.....", "X.....X.X..X....", "X..X......X..X.."),
        snares=("....X.......X...", "....X.......X..x", "....X..x....X.x."),
        hats=("X.x.X.x.X.x.X.o.", "XxXxXxXxXxXxXxXx", "X.xxX.xxX.xxX.xx"),
        percussion=((54, "x.X.x.X.x.X.x.X."), (54, "....X.......X..."), (64, "..x...xx..x...xx")),
        bass_lines=("1..8..1...5.7.8.", "1.8.1..7..1.5...", "1.....8.1..3.5.7"),
        stabs=("..X..xX...X..xX.", "x.X.x.X.x.X.x.X.", "....X.X.....X.X."),
        fills=("............shml", "........s.s.hhml", "..........ssssss"),
        progressions=("0:9 | 5:9 | 0:9 | 5:9", "0:7 | 0:7 | 5:9 | 7:7", "0:9 | 2:min7 | 5:9 | 7:7"),
        held=(0.45, 0.22),
    ),
    "MH": Groove(  # boom bap: swung, lazy, upright bass and electric piano
        mode="min",
        swing=0.62,
        steady_ms=8,
        kits=(8, 0),
        basses=(32, 33),
        chords=(4, 0, 11),
        pads=(48, 52),
        leads=(73, 59, 11),
        kicks=("X......X..X.....", "X.........X..x..", "X..x...X..X....."),
        snares=("....X.......X...", "....X.......X..x", "....X..x....X..."),
        hats=("X.x.X.x.X.x.X.x.", "X.x.X.xxX.x.X.x.", "X.x.X.x.X.x.X.o."),
        percussion=((70, "x.X.x.X.x.X.x.X."), (54, "....X.......X..."), (75, "......x...x.....")),
        bass_lines=("1......1..5.....", "1.....8...7..5..", "1..1......3..5.."),
        stabs=("X..........x....", "X.........X.....", "..X.......X....."),
        fills=("............s.ss", ".............ssl", "..........s..s.s"),
        progressions=(
            "0:min9 | 5:min7 | 10:9 | 3:maj7",
            "0:min7 | 8:maj7 | 5:min7 | 7:7",
            "0:min9 | 0:min9 | 8:maj9 | 7:min7",
        ),
        held=(0.7, 0.9),
    ),
    "LH": Groove(  # half time: long low bass, rolling hats, bells
        mode="min",
        swing=0.5,
        steady_ms=2,
        kits=(25, 24),
        basses=(39, 38),
        chords=(46, 5, 10),
        pads=(89, 94, 95),
        leads=(14, 98, 80),
        snare=39,
        kicks=("X.....X.........", "X..........X....", "X..X......X....."),
        snares=("........X.......", "........X......x", "........X.....x."),
        hats=("X.X.X.X.X.XrX.X.", "X.X.XrX.X.X.rrX.", "XxXxX.XxXxXxrrrr"),
        percussion=((56, "......x.......x."), (38, "........X......."), (75, "..x...x.....x...")),
        bass_lines=("1.....1.........", "1..........5....", "1..1......7....."),
        stabs=("a.a.a.a.a.a.a.a.", "a..a..a.a..a..a.", "X.......X......."),
        fills=("............rrrr", "..........c.cccc", ".............sss"),
        progressions=(
            "0:min | 8:maj | 3:maj | 10:maj",
            "0:min | 0:min | 8:maj | 7:min",
            "0:min7 | 5:min7 | 8:maj7 | 10:maj",
        ),
        held=(0.95, 0.9),
        levels=(0, 2, 0, 0, 0),
    ),
    "HO": Groove(  # house: four on the floor, off-beat hats, organ and piano
        mode="min",
        swing=0.52,
        steady_ms=2,
        kits=(24, 16),
        basses=(38, 33, 39),
        chords=(16, 1, 17),
        pads=(50, 90, 51),
        leads=(53, 81, 54),
        snare=39,
        kicks=("X...X...X...X...", "X...X...X...X.x.", "X...X...X..xX..."),
        snares=("....X.......X...", "....X..x....X...", "....X.......X..x"),
        hats=("..o...o...o...o.", "x.o.x.o.x.o.x.o.", "xxoxxxoxxxoxxxox"),
        percussion=((70, "x.xXx.xXx.xXx.xX"), (64, "...x..x....x..x."), (56, "..x..x....x..x..")),
        bass_lines=("..1...1...1...1.", "..1..1.8..1..5.7", "1..1..1...1..1.."),
        stabs=("..X..X....X..X..", "X..X..X...X.X...", "....X..X....X..X"),
        fills=("............cccc", "........s.s.ssss", "............s.ss"),
        progressions=(
            "0:min7 | 5:min7 | 0:min7 | 5:min7",
            "0:min9 | 3:maj7 | 8:maj7 | 7:min7",
            "0:min7 | 10:maj | 8:maj7 | 10:maj",
        ),
        held=(0.6, 0.4),
        density=0.35,
    ),
    "WA": Groove(  # disco: octave bass, strings, hats opening off the beat
        mode="min",
        swing=0.5,
        steady_ms=5,
        kits=(0, 16),
        basses=(33, 34, 37),
        chords=(27, 1, 28),
        pads=(48, 49, 50),
        leads=(48, 56, 61),
        kicks=("X...X...X...X...", "X...X...X...X...", "X...X...X...X.x."),
        snares=("....X.......X...", "....X.......X.x.", "....X..x....X..."),
        hats=("x.o.x.o.x.o.x.o.", "xxoxxxoxxxoxxxox", "X.o.X.o.X.o.X.oo"),
        percussion=((54, "x.X.x.X.x.X.x.X."), (54, "....X.......X..."), (62, "x..xX..xx..xX..x")),
        bass_lines=("1.8.1.8.1.8.1.8.", "1.8.1.8.5.8.7.8.", "1.881.881.885.88"),
        stabs=("..xX..xX..xX..xX", "x.X.x.X.x.X.x.X.", "X..X..X.X..X..X."),
        fills=("........sssshhml", "............ssss", "....h.h.m.m.l.ll"),
        progressions=(
            "0:min7 | 5:9 | 10:maj7 | 3:maj7",
            "0:min | 8:maj | 10:maj | 7:min",
            "0:min7 | 5:min7 | 10:7 | 3:maj7",
        ),
        held=(0.6, 0.3),
        density=0.4,
        levels=(0, 0, 0, 6, 1),
    ),
    "KR": Groove(  # krump: hard and dark, growling bass, brass and choir
        mode="min",
        swing=0.5,
        steady_ms=3,
        kits=(16, 24),
        basses=(87, 38, 39),
        chords=(62, 61, 63),
        pads=(52, 48),
        leads=(30, 57, 60),
        kicks=("X..X..X...X.....", "X..X......X.X...", "X.XX..X...X..X.."),
        snares=("....X.......X...", "........X.......", "....X.......X.xx"),
        hats=("X...X...X...X...", "X.x.X.x.X.x.X.x.", "................"),
        percussion=((39, "....X.......X..."), (41, "X.......X......."), (49, "X...............")),
        bass_lines=("1..1..1...1.....", "1..1......7.8...", "1.11..8...7..1.."),
        stabs=("X...X.......X...", "X.....X.....X...", "X..X..X........."),
        fills=("........hhmmllll", "............llll", "....l.l.m.m.hhss"),
        progressions=(
            "0:min | 0:min | 1:maj | 0:min",
            "0:min | 8:maj | 1:maj | 0:min",
            "0:min | 0:min | 10:min | 1:maj",
        ),
        held=(0.8, 0.6),
        density=0.3,
        levels=(1, 1, 2, 0, -2),
    ),
    "JS": Groove(  # swing: walking bass, ride cymbal, piano or guitar, horns
        mode="maj",
        swing=0.66,
        steady_ms=9,
        kits=(32, 40),
        basses=(32,),
        chords=(0, 26, 2),
        pads=(11, 48),
        leads=(66, 59, 65, 11),
        kicks=("X...............", "X.......X.......", "x...x...x...x..."),
        snares=("......x.......x.", "..........x...x.", "....x..x....x..."),
        hats=("R...R.R.R...R.R.", "R...R.R.R...R...", "R.x.R.R.R.x.R.R."),
        percussion=((44, "....X.......X..."), (44, "....X.......X..."), (37, "....x.......x...")),
        bass_lines=("w...w...w...w...", "w...w...w...w.w.", "1...w...5...w..."),
        stabs=("......X.......X.", "X.....x.........", "....X.....x.X..."),
        fills=("..........s.s.sm", "........h..m..l.", "............s.sl"),
        progressions=(
            "0:maj9 | 9:min7 | 2:min9 | 7:9",
            "2:min9 | 7:9 | 0:maj9 | 9:7",
            "0:maj7 9:7 | 2:min7 7:9 | 4:min7 9:7 | 2:min7 7:9",
        ),
        held=(0.9, 0.45),
        levels=(-1, 3, 0, -2, 1),
    ),
    "JB": Groove(  # ballet jazz: broken chords, strings, woodwind, hardly a drum
        mode="maj",
        swing=0.5,
        steady_ms=9,
        kits=(48, 40),
        basses=(43, 32),
        chords=(0, 46, 8),
        pads=(48, 42),
        leads=(40, 73, 68, 71),
        snare=40,
        kicks=("x...............", "x.......x.......", "................"),
        snares=("................", "............x...", "................"),
        hats=("........R.......", "R.......R.......", "R...R...R...R..."),
        percussion=((81, "X.......x......."), (81, "....x.......x..."), (54, "........x.......")),
        bass_lines=("1...............", "1.......5.......", "1.....5.8......."),
        stabs=("a.a.a.a.a.a.a.a.", "a.aaa.a.a.aaa.a.", "X.a.a.a.X.a.a.a."),
        fills=("............tttt", "................", "..........t.t.tt"),
        progressions=(
            "0:maj | 7:maj | 9:min7 | 5:maj7",
            "0:maj9 | 5:maj7 | 2:min7 | 7:sus4",
            "0:maj | 4:min | 5:maj | 7:7",
        ),
        held=(0.95, 0.95),
        density=0.35,
        levels=(-2, 1, 4, 1, 1),
    ),
}

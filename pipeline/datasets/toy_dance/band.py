"""The players: what each part of a band makes of a bar's rhythm and chords, as notes with a
player's timing and touch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.datasets.toy_dance.grooves import Groove
from pipeline.datasets.toy_dance.harmony import SCALES, Harmony, into
from pipeline.datasets.toy_dance.loudness import velocity
from pipeline.media.midi import Note

LEVELS = {
    "kick": -34.0,
    "snare": -35.0,
    "hat": -46.0,
    "tom": -36.0,
    "cymbal": -43.0,
    "percussion": -45.0,
    "bass": -38.0,
    "chords": -46.0,
    "pad": -54.0,
    "lead": -42.0,
}
"""dB relative to full scale of one loud note of each part."""
SOFT = -7.0  # dB of a soft note
BASS_FROM, CHORDS_FROM, PAD_FROM, LEAD_FROM = 33, 55, 52, 67  # lowest pitches
HATS = {"X": (42, 0.0), "x": (42, SOFT), "o": (46, 0.0), "r": (42, -3.0), "R": (51, -4.0)}
FILLS = {"s": 38, "h": 48, "m": 45, "l": 41, "c": 39, "t": 47, "r": 42}
KICK, CRASH = 36, 49
DRUM_STEPS = 0.8  # sixteenths for which a drum's note is held


@dataclass(frozen=True)
class Bar:
    """One bar of a song: its number, its place in its section, and the rhythms that it uses."""

    number: int
    first: bool
    """Whether a section begins with it."""
    kick: str
    snare: str
    hat: str
    percussion: tuple[int, str]
    bass: str
    stabs: str
    fill: str


@dataclass(frozen=True)
class Player:
    """Someone who plays one instrument: where in time notes really fall, and how hard they are."""

    program: int
    is_drum: bool
    level_db: float
    """Relative to `LEVELS`."""
    groove: Groove
    step_s: float
    """Seconds of a sixteenth."""
    rng: np.random.Generator

    def note(self, part: str, position: float, steps: float, pitch: int, touch_db: float) -> Note:
        """A note at a place in the song, in sixteenths, that lasts `steps` of them."""
        stray_s = float(np.clip(self.rng.standard_normal(), -2.5, 2.5)) * self.groove.steady_ms
        start_s = max(0.0, self._swung(position) * self.step_s + stray_s / 1000)
        level = LEVELS[part] + self.level_db + touch_db + float(self.rng.normal(0, 0.8))
        hardness = velocity(self.program, self.is_drum, pitch, level)
        end_s = start_s + max(0.03, steps * self.step_s)
        return Note(start_s, end_s, int(pitch), hardness, self.program, self.is_drum)

    def _swung(self, position: float) -> float:
        """A place in sixteenths after the swing, which delays what is off the beat."""
        late = 4 * self.groove.swing - 2
        return position + np.interp(position % 4, (0, 1, 2, 3, 4), (0, late / 2, late, late / 2, 0))


def drums(player: Player, bar: Bar, chorus: bool) -> Iterator[Note]:
    """Kick, snare, hats and what a chorus adds, or a fill in place of the bar's end."""
    filled = len(bar.fill) - len(bar.fill.lstrip("."))  # the sixteenth at which the fill begins

    def hit(part: str, place: float, pitch: int, touch_db: float) -> Note:
        return player.note(part, 16 * bar.number + place, DRUM_STEPS / 2, pitch, touch_db)

    for place in range(16):
        fill = bar.fill[place] if bar.fill else "."
        if bar.kick[place] != ".":
            yield hit("kick", place, KICK, _touch(bar.kick[place]))
        if fill != ".":
            rising_db = -5 + 5 * place / 15
            part = "hat" if fill == "r" else "snare" if fill in "sc" else "tom"
            yield hit(part, place, FILLS[fill], rising_db)
            if fill == "r":
                yield hit(part, place + 0.5, FILLS[fill], rising_db - 3)
        if bar.fill and place >= filled:
            continue
        if bar.snare[place] != ".":
            yield hit("snare", place, player.groove.snare, 1.5 * _touch(bar.snare[place]))
        if bar.hat[place] != ".":
            pitch, touch_db = HATS[bar.hat[place]]
            yield hit("cymbal" if pitch == 51 else "hat", place, pitch, touch_db)
            if bar.hat[place] == "r":
                yield hit("hat", place + 0.5, pitch, touch_db - 2)
        if chorus and bar.percussion[1][place] != ".":
            yield hit("percussion", place, bar.percussion[0], _touch(bar.percussion[1][place]))
    if bar.first and chorus:
        yield player.note("cymbal", 16 * bar.number, 8, CRASH, 0.0)


def bass(player: Player, bar: Bar, harmonies: list[Harmony]) -> Iterator[Note]:
    """The bass line over the bar's chords; a walk goes by chord notes to the next root."""
    walk = [0, 2, 1, -1]
    for place, steps in _events(bar.bass):
        position = 16 * bar.number + place
        chord = _sounding(harmonies, position)
        third, fifth = chord.intervals[1], chord.intervals[2]
        semitones = {"1": 0, "3": third, "5": fifth, "8": 12, "7": -2}
        mark = bar.bass[place]
        if mark == "w":
            beat = place // 4
            following = _sounding(harmonies, position + 4)
            if walk[beat] == -1:  # a semitone below what comes
                pitch = into(following.root, BASS_FROM) - 1
            else:
                pitch = into(chord.root, BASS_FROM) + chord.intervals[walk[beat]]
        else:
            pitch = into(chord.root, BASS_FROM) + semitones[mark]
        touch_db = 0.0 if place % 8 == 0 else -1.5
        yield player.note("bass", position, steps * player.groove.held[0], pitch, touch_db)


def chords(player: Player, bar: Bar, harmonies: list[Harmony], lowest: int) -> Iterator[Note]:
    """Stabs or broken chords in the bar's rhythm."""
    for number, (place, steps) in enumerate(_events(bar.stabs)):
        position = 16 * bar.number + place
        pitches = _sounding(harmonies, position).voicing(lowest)
        mark, length = bar.stabs[place], min(steps, 8) * player.groove.held[1]
        if mark == "a":
            rising = [*pitches, pitches[0] + 12]
            turn = rising + rising[-2:0:-1]
            yield player.note("chords", position, 2 * length, turn[number % len(turn)], 5.0)
            continue
        for pitch in pitches:
            yield player.note("chords", position, length, pitch, _touch(mark))


def pad(player: Player, harmonies: list[Harmony]) -> Iterator[Note]:
    """Every chord held until the next."""
    for chord in harmonies:
        for pitch in chord.voicing(PAD_FROM):
            yield player.note("pad", chord.start, chord.end - chord.start - 0.2, pitch, 0.0)


def lead(
    player: Player,
    motif: list[tuple[int, int, int]],
    first: int,
    key: int,
    harmonies: list[Harmony],
) -> Iterator[Note]:
    """A motif from the sixteenth `first` on; on the beats its notes give way to the chord's."""
    scale = SCALES[player.groove.mode]
    for place, steps, degree in motif:
        octave, step = divmod(degree, len(scale))
        pitch = into(key, LEAD_FROM) + 12 * octave + scale[step]
        if place % 4 == 0:
            chord = _sounding(harmonies, first + place)
            pitch = min(
                (into(chord.root + interval, pitch - 6) for interval in chord.intervals),
                key=lambda other: abs(other - pitch),
            )
        touch_db = 0.0 if place % 8 == 0 else -2.0
        yield player.note("lead", first + place, 0.9 * steps, pitch, touch_db)


def _events(rhythm: str) -> list[tuple[int, int]]:
    """(sixteenth, sixteenths until the next) of a rhythm's notes."""
    places = [place for place, mark in enumerate(rhythm) if mark != "."]
    return [(place, after - place) for place, after in zip(places, (*places[1:], 16))]


def _touch(mark: str) -> float:
    return SOFT if mark == "x" else 0.0


def _sounding(harmonies: list[Harmony], position: float) -> Harmony:
    """The chord at a place of the song; the last one after its end."""
    return next(
        (chord for chord in harmonies if chord.start <= position < chord.end), harmonies[-1]
    )

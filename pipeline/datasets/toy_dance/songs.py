"""Songs for each of AIST++'s ten genres, composed from the genre's groove: a band, a key, chords,
sections and a melody of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.datasets.toy_dance import band
from pipeline.datasets.toy_dance.band import Bar, Player
from pipeline.datasets.toy_dance.grooves import GROOVES, Groove
from pipeline.datasets.toy_dance.harmony import Harmony, melody, progression
from pipeline.media.midi import PITCH_CLASSES, Chord, Note, Score, drum_class
from pipeline.runtime.seeds import numpy_generator

GENRES = tuple(GROOVES)
FORM = (("intro", 2), ("verse", 4), ("chorus", 4), ("verse", 4), ("chorus", 4))
"""The sections of a song and their bars: half a minute at the fastest tempo."""
BARS = sum(bars for _, bars in FORM)
CLIPS_PER_SONG = 2
ACCENTS = {"kick": 1.0, "snare": 1.0, "tom": 0.8, "hat": 0.1, "cymbal": 0.3, "percussion": 0.1}
BASS_ACCENT, CHORD_ACCENT = 0.2, 0.35
TOGETHER_S = 0.04  # notes closer than this are heard as one hit


@dataclass(frozen=True, order=True)
class Title:
    """Which song: number `number` of a genre among those of one split, which no other split has."""

    genre: str
    split: str
    number: int

    @property
    def bpm(self) -> int:
        """Beats per minute by AIST++'s rule: 80, 90, ... 130; house 110, 115, ... 135. Genres begin
        at different ones, so that a few songs have all of them.
        """
        digit = (self.number + GENRES.index(self.genre)) % 6
        return 110 + 5 * digit if self.genre == "HO" else 80 + 10 * digit

    def __str__(self) -> str:
        return f"{self.split}_{self.genre}{self.number:03d}"


@dataclass(frozen=True)
class Song:
    """One piece of music; bar 0 begins at 0 s."""

    title: Title
    score: Score

    @property
    def seconds(self) -> float:
        """How long the piece is."""
        return self.score.duration_s

    @property
    def beat_s(self) -> float:
        """Seconds of a beat."""
        return 60 / self.title.bpm

    @property
    def groove(self) -> Groove:
        """The groove of the song's genre."""
        return GROOVES[self.title.genre]

    def accents(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """(time, strength 0..1) of the hits between two times that a dancer can hear: drums, bass
        and chords, as they are played.
        """
        hits: list[tuple[float, float]] = []
        for note in self.score.notes:
            if start_s <= note.start_s < end_s:
                strength = self._strength(note)
                if hits and note.start_s - hits[-1][0] < TOGETHER_S:
                    hits[-1] = (hits[-1][0], max(strength, hits[-1][1]))
                else:
                    hits.append((note.start_s, strength))
        return hits

    def _strength(self, note: Note) -> float:
        if note.is_drum:
            return ACCENTS[drum_class(note.pitch)] * min(1.0, note.velocity / 80)
        if note.program in self.groove.basses:
            return BASS_ACCENT
        return CHORD_ACCENT if note.program in self.groove.chords else 0.0


def split_songs(counts: dict[str, int]) -> dict[str, tuple[Title, ...]]:
    """The songs of splits with so many clips each, genres in turn: as many of every genre, so that
    each is danced to about `CLIPS_PER_SONG` times.
    """
    songs = {}
    for split, clips in counts.items():
        numbers = range(-(-clips // (CLIPS_PER_SONG * len(GENRES))))
        songs[split] = tuple(Title(genre, split, number) for number in numbers for genre in GENRES)
    return songs


def compose(title: Title, seed: int) -> Song:
    """The song of a title: everything about it is drawn from `seed` and the title."""
    groove = GROOVES[title.genre]
    rng = numpy_generator(seed, "song", title.split, title.genre, title.number)
    step_s = 60 / title.bpm / 4
    key = int(rng.integers(12))
    players = _band(groove, step_s, rng)
    verse, chorus = (str(text) for text in rng.permutation(groove.progressions)[:2])
    texts = {"intro": verse, "verse": verse, "chorus": chorus}
    rhythms = {"verse": _rhythms(groove, rng), "chorus": _rhythms(groove, rng)}
    rhythms["intro"] = _thinned(rhythms["verse"], rng)
    motifs = {
        "verse": melody(rng, 32, 0.6 * groove.density, 4),
        "chorus": melody(rng, 32, groove.density, 6),
    }
    sings = bool(rng.random() < 0.5)  # whether the lead plays in the second verse as well

    notes, harmonies = [], []
    for number, (name, section) in enumerate(_sections(rhythms, groove, rng)):
        chords = progression(texts[name], key, section[0].number, len(section))
        motif = motifs[name] if name == "chorus" or (number == 3 and sings) else None
        notes += _play(players, section, chords, name == "chorus", motif, key)
        harmonies += chords

    beats = np.arange(4 * BARS) * 4 * step_s
    score = Score(
        tuple(sorted(notes)),
        beats,
        beats[::4],
        tuple(
            Chord(chord.start * step_s, chord.end * step_s, chord.root, chord.quality)
            for chord in harmonies
        ),
        f"{PITCH_CLASSES[key]}:{groove.mode}",
        16 * BARS * step_s,
    )
    return Song(title, score)


def _sections(
    rhythms: dict[str, Bar], groove: Groove, rng: np.random.Generator
) -> Iterator[tuple[str, list[Bar]]]:
    """The form's sections by name, bar by bar, each with a fill in its last."""
    first = 0
    for name, bars in FORM:
        section = [
            replace(rhythms[name], number=number, first=number == first)
            for number in range(first, first + bars)
        ]
        section[-1] = replace(section[-1], fill=str(rng.choice(groove.fills)))
        yield name, section
        first += bars


def _band(groove: Groove, step_s: float, rng: np.random.Generator) -> dict[str, Player]:
    """The song's players, no pitched program twice."""
    programs: dict[str, int] = {"drums": int(rng.choice(groove.kits))}
    for part, choice in (
        ("bass", groove.basses),
        ("chords", groove.chords),
        ("pad", groove.pads),
        ("lead", groove.leads),
    ):
        taken = [programs[other] for other in programs if other != "drums"]
        programs[part] = int(rng.choice([program for program in choice if program not in taken]))
    return {
        part: Player(
            program, part == "drums", level_db + float(rng.normal(0, 0.7)), groove, step_s, rng
        )
        for (part, program), level_db in zip(programs.items(), groove.levels, strict=True)
    }


def _rhythms(groove: Groove, rng: np.random.Generator) -> Bar:
    """A section's rhythms, which the song varies a little from its genre's."""
    return Bar(
        number=0,
        first=False,
        kick=_varied(str(rng.choice(groove.kicks)), rng),
        snare=str(rng.choice(groove.snares)),
        hat=_varied(str(rng.choice(groove.hats)), rng),
        percussion=groove.percussion[rng.integers(len(groove.percussion))],
        bass=str(rng.choice(groove.bass_lines)),
        stabs=str(rng.choice(groove.stabs)),
        fill="",
    )


def _thinned(bar: Bar, rng: np.random.Generator) -> Bar:
    """An introduction to the verse: without its snare or without its bass."""
    if rng.random() < 0.5:
        return replace(bar, snare="." * 16)
    return replace(bar, bass="." * 16)


def _varied(rhythm: str, rng: np.random.Generator) -> str:
    """The rhythm with, half of the time, one soft note more or less, off the beat."""
    if rng.random() < 0.5 or set(rhythm) == {"."}:
        return rhythm
    place = int(rng.choice([n for n in range(16) if n % 4]))
    return rhythm[:place] + ("x" if rhythm[place] == "." else ".") + rhythm[place + 1 :]


def _play(
    players: dict[str, Player],
    section: list[Bar],
    harmonies: list[Harmony],
    chorus: bool,
    motif: list[tuple[int, int, int]] | None,
    key: int,
) -> Iterator[Note]:
    """The notes of one section, part by part."""
    lowest = band.CHORDS_FROM + (3 if chorus else 0)
    for bar in section:
        yield from band.drums(players["drums"], bar, chorus)
        yield from band.bass(players["bass"], bar, harmonies)
        yield from band.chords(players["chords"], bar, harmonies, lowest)
    if chorus:
        yield from band.pad(players["pad"], harmonies)
    if motif is not None:
        for first in range(16 * section[0].number, 16 * (section[-1].number + 1), 32):
            yield from band.lead(players["lead"], motif, first, key, harmonies)

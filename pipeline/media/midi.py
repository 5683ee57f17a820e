"""Scores: notes, beats, chords and key of a piece, read from and written to MIDI files.

Notes, tempo, time and key signature are MIDI's own. What it has no event for is kept as text
events, so that any other program still opens the file: `beat` and `downbeat`, a chord in Harte's
notation from where it begins (`C:min7`, `N` for none), and `end` where the piece ends.
"""

import io
import struct
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi
from mido.midifiles.meta import KeySignatureError

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
DRUM_CLASSES = ("kick", "snare", "hat", "tom", "cymbal", "percussion")
_DRUMS = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hat": (42, 44, 46),
    "tom": (41, 43, 45, 47, 48, 50),
    "cymbal": (49, 51, 52, 53, 55, 57, 59),
}
SHORTEST_S = 1e-3  # what sounds no longer is left out of a stretch
_TICKS = 4800  # in a quarter note: a tick is 0.16 ms at 80 beats a minute

_DAMAGE = (OSError, EOFError, ValueError, LookupError, ArithmeticError)
_DAMAGE += (struct.error, KeySignatureError)  # derived from nothing above


@dataclass(frozen=True, order=True)
class Note:
    """One note; of a drum, `pitch` says which (`drum_class`) and `program` the kit."""

    start_s: float
    end_s: float
    pitch: int
    velocity: int
    program: int
    is_drum: bool


@dataclass(frozen=True)
class Chord:
    """A chord that sounds from `start_s` to `end_s`; `quality` is Harte's, such as `min7`."""

    start_s: float
    end_s: float
    root: int
    """Pitch class, 0 for C."""
    quality: str

    @property
    def name(self) -> str:
        """The chord in Harte's notation, such as `C:min7`."""
        return f"{PITCH_CLASSES[self.root]}:{self.quality}"


@dataclass(frozen=True)
class Score:
    """What is played in `duration_s` seconds, and how it is to be counted.

    Notes are in the order of their times. A note that sounds already when a stretch begins starts
    at 0 in its score.
    """

    notes: tuple[Note, ...]
    beats: np.ndarray
    """Seconds of every beat, downbeats among them."""
    downbeats: np.ndarray
    """Seconds of the first beat of every bar."""
    chords: tuple[Chord, ...]
    key: str
    """Such as `A:min` or `Eb:maj`."""
    duration_s: float

    def stretch(self, start_s: float, duration_s: float) -> "Score":
        """The score of a stretch of the piece, its times from the stretch's start."""
        end_s = start_s + duration_s

        def within(times: np.ndarray) -> np.ndarray:
            return times[(times >= start_s) & (times < end_s)] - start_s

        def sounds(item: Note | Chord) -> bool:
            return min(item.end_s, end_s) - max(item.start_s, start_s) > SHORTEST_S

        def span(item: Note | Chord) -> tuple[float, float]:
            return max(item.start_s - start_s, 0.0), min(item.end_s - start_s, duration_s)

        notes = [
            Note(*span(note), note.pitch, note.velocity, note.program, note.is_drum)
            for note in self.notes
            if sounds(note)
        ]
        chords = [
            Chord(*span(chord), chord.root, chord.quality) for chord in self.chords if sounds(chord)
        ]
        beats, downbeats = within(self.beats), within(self.downbeats)
        return Score(tuple(sorted(notes)), beats, downbeats, tuple(chords), self.key, duration_s)


def drum_class(pitch: int) -> str:
    """The class of a General-MIDI drum note, one of `DRUM_CLASSES`."""
    return next((name for name, pitches in _DRUMS.items() if pitch in pitches), "percussion")


def write_score(path: Path, score: Score) -> None:
    """Writes a score as a standard MIDI file, atomically; times hold to a millisecond."""
    content = score_bytes(score)
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(content)


def score_bytes(score: Score) -> bytes:
    """The MIDI file of a score; raises UserError for what MIDI cannot say."""
    check_score(score)
    beat_s = float(np.median(np.diff(score.beats))) if len(score.beats) > 1 else 0.5
    midi = pretty_midi.PrettyMIDI(resolution=_TICKS, initial_tempo=60 / beat_s)
    midi.key_signature_changes = [pretty_midi.KeySignature(_key_number(score.key), 0.0)]
    if len(score.downbeats):
        meter = pretty_midi.TimeSignature(_beats_in_bar(score), 4, float(score.downbeats[0]))
        midi.time_signature_changes = [meter]
    midi.text_events = [pretty_midi.Text(text, time_s) for time_s, text in _texts(score)]
    for (program, is_drum), voices in _voices(score.notes).items():
        for notes in voices:
            instrument = pretty_midi.Instrument(program, is_drum)
            instrument.notes = [
                pretty_midi.Note(note.velocity, note.pitch, note.start_s, note.end_s)
                for note in notes
            ]
            midi.instruments.append(instrument)
    content = io.BytesIO()
    midi.write(content)
    return content.getvalue()


def read_score(path: Path) -> Score:
    """The score in a MIDI file; raises UserError when it is missing or damaged.

    A file without this module's text events gives the beats that its tempo and meter say, no
    chords, and its own end.
    """
    try:
        midi = pretty_midi.PrettyMIDI(str(path))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage `download` again.") from None
    except _DAMAGE:
        raise UserError(
            f"{path} is damaged (not a MIDI file); delete it and make it again."
        ) from None
    notes = [
        Note(note.start, note.end, note.pitch, note.velocity, part.program, part.is_drum)
        for part in midi.instruments
        for note in part.notes
    ]
    texts = [(event.time, event.text) for event in midi.text_events]
    ends = [time_s for time_s, text in texts if text == "end"]
    duration_s = ends[-1] if ends else midi.get_end_time()
    beats = [time_s for time_s, text in texts if text in ("beat", "downbeat")]
    downbeats = [time_s for time_s, text in texts if text == "downbeat"]
    if not ends:
        beats, downbeats = midi.get_beats(), midi.get_downbeats()
    signatures = midi.key_signature_changes
    key = _key_name(signatures[0].key_number if signatures else 0)
    return Score(
        tuple(sorted(notes)),
        np.array(beats, float),
        np.array(downbeats, float),
        tuple(_chords(texts, duration_s)),
        key,
        duration_s,
    )


def check_score(score: Score) -> None:
    """Raises UserError when a note has a program, pitch or velocity that MIDI does not have."""
    for note in score.notes:
        for what, value, least in (
            ("program", note.program, 0),
            ("pitch", note.pitch, 0),
            ("velocity", note.velocity, 1),
        ):
            if not least <= value <= 127:
                raise UserError(f"A note has {what} {value}; MIDI knows {least} to 127.")


def _voices(notes: tuple[Note, ...]) -> dict[tuple[int, bool], list[list[Note]]]:
    """The notes of every program, dealt to tracks in which no pitch begins while it still sounds:
    MIDI could not tell which of the two ends.
    """
    parts: dict[tuple[int, bool], list[list[Note]]] = defaultdict(list)
    until: dict[tuple[int, bool], list[dict[int, float]]] = defaultdict(list)
    for note in sorted(notes):
        part = note.program, note.is_drum
        free = (
            number
            for number, busy in enumerate(until[part])
            if busy.get(note.pitch, -1.0) < note.start_s - 1e-3
        )
        number = next(free, len(until[part]))
        if number == len(until[part]):
            parts[part].append([])
            until[part].append({})
        parts[part][number].append(note)
        until[part][number][note.pitch] = note.end_s
    return parts


def _texts(score: Score) -> list[tuple[float, str]]:
    downbeats = set(score.downbeats.tolist())
    texts = [
        (time_s, "downbeat" if time_s in downbeats else "beat") for time_s in score.beats.tolist()
    ]
    for chord, following in zip(score.chords, (*score.chords[1:], None)):
        texts.append((chord.start_s, chord.name))
        if following is None or following.start_s > chord.end_s + 1e-3:
            texts.append((chord.end_s, "N"))
    return sorted([*texts, (score.duration_s, "end")], key=lambda text: text[0])


def _chords(texts: list[tuple[float, str]], duration_s: float) -> list[Chord]:
    changes = [(time_s, text) for time_s, text in texts if ":" in text or text == "N"]
    chords = []
    for (start_s, text), (end_s, _) in zip(changes, (*changes[1:], (duration_s, ""))):
        root, _, quality = text.partition(":")
        if root in PITCH_CLASSES:
            chords.append(Chord(start_s, end_s, PITCH_CLASSES.index(root), quality))
    return chords


def _beats_in_bar(score: Score) -> int:
    if len(score.downbeats) < 2:
        return 4
    first, second = score.downbeats[:2] - 1e-3
    return int(((score.beats >= first) & (score.beats < second)).sum())


def _key_number(key: str) -> int:
    """pretty_midi's number of a key: 0..11 major, 12..23 minor."""
    root, _, mode = key.partition(":")
    if root not in PITCH_CLASSES or mode not in ("maj", "min"):
        raise UserError(f"{key!r} is no key; write one such as A:min or Eb:maj.")
    return PITCH_CLASSES.index(root) + 12 * (mode == "min")


def _key_name(number: int) -> str:
    return f"{PITCH_CLASSES[number % 12]}:{'min' if number >= 12 else 'maj'}"

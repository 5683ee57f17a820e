"""Scores survive their MIDI files, and what MIDI cannot say is refused in one sentence."""

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.media.midi import (
    DRUM_CLASSES,
    PITCH_CLASSES,
    Chord,
    Note,
    Score,
    drum_class,
    read_score,
    score_bytes,
    write_score,
)
from pipeline.runtime.errors import UserError

WALTZ = Score(
    notes=(
        Note(0.0, 0.7, 60, 80, 0, False),
        Note(0.1, 0.4, 36, 100, 25, True),
        Note(0.3, 0.9, 60, 64, 0, False),  # struck again while it still sounds
        Note(0.9004, 1.2346, 67, 1, 33, False),
    ),
    beats=np.array([0.2, 0.7, 1.2, 1.7, 2.2]),
    downbeats=np.array([0.7, 2.2]),
    chords=(Chord(0.0, 0.7, 9, "min7"), Chord(0.7, 1.5, 1, "maj"), Chord(1.8, 2.2, 7, "9")),
    key="A:min",
    duration_s=2.5,
)


def assert_same(first: Score, second: Score) -> None:
    assert len(first.notes) == len(second.notes)
    for left, right in zip(first.notes, second.notes):
        assert (left.start_s, left.end_s) == pytest.approx((right.start_s, right.end_s), abs=1e-3)
        assert left.__dict__ | {"start_s": 0, "end_s": 0} == right.__dict__ | {
            "start_s": 0,
            "end_s": 0,
        }
    assert first.beats == pytest.approx(second.beats, abs=1e-3)
    assert first.downbeats == pytest.approx(second.downbeats, abs=1e-3)
    assert [chord.name for chord in first.chords] == [chord.name for chord in second.chords]
    for left, right in zip(first.chords, second.chords):
        assert (left.start_s, left.end_s) == pytest.approx((right.start_s, right.end_s), abs=1e-3)
    assert first.key == second.key
    assert first.duration_s == pytest.approx(second.duration_s, abs=1e-3)


def test_a_score_survives_its_file(tmp_path):
    write_score(tmp_path / "waltz.mid", WALTZ)
    assert_same(read_score(tmp_path / "waltz.mid"), WALTZ)
    assert (tmp_path / "waltz.mid").read_bytes() == score_bytes(WALTZ)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_score_survives_its_file(seed, tmp_path_factory):
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.choice(2000, 40, replace=False)) / 1000
    notes = [
        Note(
            float(start),
            float(start + rng.uniform(0.03, 1)),
            int(rng.integers(36, 42)),
            int(rng.integers(1, 128)),
            int(rng.choice([0, 8, 25])),
            bool(rng.random() < 0.5),
        )
        for start in starts
    ]
    beat_s, first = rng.uniform(0.3, 1.0), rng.integers(4)
    beats = rng.uniform(0, beat_s) + beat_s * np.arange(1 + rng.integers(8))
    score = Score(
        tuple(notes),
        beats,
        beats[first::4],
        tuple(Chord(k, k + 1, int(rng.integers(12)), "maj7") for k in range(3)),
        f"{rng.choice(PITCH_CLASSES)}:{rng.choice(['maj', 'min'])}",
        3.5,
    )
    path = tmp_path_factory.mktemp("scores") / "any.mid"
    write_score(path, score)
    assert_same(read_score(path), score)


def test_an_empty_score_survives_its_file(tmp_path):
    empty = Score((), np.zeros(0), np.zeros(0), (), "C:maj", 1.5)
    write_score(tmp_path / "empty.mid", empty)
    assert_same(read_score(tmp_path / "empty.mid"), empty)


def test_a_stretch_counts_from_its_own_start():
    stretch = WALTZ.stretch(0.5, 1.0)
    assert [note.pitch for note in stretch.notes] == [60, 60, 67]
    assert [note.start_s for note in stretch.notes] == pytest.approx([0.0, 0.0, 0.4004])
    assert [note.end_s for note in stretch.notes] == pytest.approx([0.2, 0.4, 0.7346])
    assert stretch.beats == pytest.approx([0.2, 0.7])
    assert stretch.downbeats == pytest.approx([0.2])
    assert [chord.name for chord in stretch.chords] == ["A:min7", "Db:maj"]
    assert stretch.chords[-1].end_s == pytest.approx(1.0)
    assert (stretch.key, stretch.duration_s) == ("A:min", 1.0)


def test_other_programs_read_the_same_tempo_meter_and_key(tmp_path):
    write_score(tmp_path / "waltz.mid", WALTZ)
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "waltz.mid"))
    assert midi.get_tempo_changes()[1] == pytest.approx([120.0], rel=1e-4)
    assert midi.time_signature_changes[-1].numerator == 3
    assert pretty_midi.key_number_to_key_name(midi.key_signature_changes[0].key_number) == "A minor"


def test_a_foreign_file_gives_its_own_beats(tmp_path):
    midi = pretty_midi.PrettyMIDI(initial_tempo=100)
    midi.instruments = [pretty_midi.Instrument(5)]
    midi.instruments[0].notes = [pretty_midi.Note(90, 60, 0.0, 2.9)]
    midi.write(str(tmp_path / "foreign.mid"))
    score = read_score(tmp_path / "foreign.mid")
    assert score.beats == pytest.approx([0, 0.6, 1.2, 1.8, 2.4])
    assert score.downbeats == pytest.approx([0, 2.4])
    assert (score.chords, score.key, score.notes[0].program) == ((), "C:maj", 5)


def test_drums_have_classes():
    named = {36: "kick", 38: "snare", 39: "snare", 42: "hat", 46: "hat", 45: "tom", 51: "cymbal"}
    assert {pitch: drum_class(pitch) for pitch in named} == named
    assert drum_class(54) == "percussion"
    assert {drum_class(pitch) for pitch in range(128)} == set(DRUM_CLASSES)


@pytest.mark.parametrize(
    "content", [b"", b"MThd", b"not a score at all", b"MThd\0\0\0\6\0\1\0", b"MThd\0\0\0\2\0\1"]
)
def test_a_damaged_file_is_one_sentence(tmp_path, content):
    (tmp_path / "bad.mid").write_bytes(content)
    with pytest.raises(UserError, match="bad.mid is damaged"):
        read_score(tmp_path / "bad.mid")


def test_no_damage_escapes_its_sentence(tmp_path):
    """Cut anywhere, or with bytes overwritten, a file is read or refused, never a traceback."""
    whole, rng, refused = score_bytes(WALTZ), np.random.default_rng(0), []
    for number in range(300):
        content = bytearray(whole[: rng.integers(len(whole))] if number % 3 == 0 else whole)
        for place in rng.integers(len(whole), size=number % 3):
            content[place] = rng.integers(256)
        (tmp_path / "cut.mid").write_bytes(content)
        try:
            read_score(tmp_path / "cut.mid")
        except UserError as error:
            refused.append(str(error))
    assert 100 <= len(refused) < 300
    assert all("cut.mid is damaged" in sentence for sentence in refused)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="gone.mid does not exist"):
        read_score(tmp_path / "gone.mid")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"program": 128}, "program 128; MIDI knows 0 to 127"),
        ({"pitch": 140}, "pitch 140"),
        ({"velocity": 0}, "velocity 0; MIDI knows 1 to 127"),
    ],
)
def test_what_midi_cannot_say_is_refused(tmp_path, change, words):
    note = Note(**{**WALTZ.notes[0].__dict__, **change})
    with pytest.raises(UserError, match=words):
        write_score(tmp_path / "x.mid", Score((note,), *list(WALTZ.__dict__.values())[1:]))


def test_an_unknown_key_is_refused(tmp_path):
    with pytest.raises(UserError, match="'H:moll' is no key"):
        write_score(tmp_path / "x.mid", Score(*list(WALTZ.__dict__.values())[:4], "H:moll", 2.5))

"""Agreement with the score: the true music agrees as far as the estimators can hear, and known
damage lowers what it should and nothing else.
"""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.datasets.toy_dance.songs import compose, split_songs
from pipeline.datasets.toy_dance.sound import play
from pipeline.media.midi import Chord, Score, drum_class
from pipeline.metrics.beats import onset_envelope
from pipeline.metrics.midi_truth import agreement, downbeats, key_agreement, onset_f, truth_of
from pipeline.metrics.music import spectra
from pipeline.metrics.timing import track_beats
from pipeline.metrics.transcript import Transcript, transcribe

RATE = 22050
SECONDS = 4.0


@pytest.fixture(scope="module")
def scores():
    """Four seconds of a chorus of twelve songs."""
    titles = split_songs({"test": 40})["test"][:12]
    songs = [compose(title, 0) for title in titles]
    return [song.score.stretch(song.seconds * 10 / 18, SECONDS) for song in songs]


def figures(truths, sounding):
    """The mean figures of the sound of scores against others as truth."""
    found = []
    for truth, score in zip(truths, sounding):
        audio = play(score, 0.0, SECONDS, RATE)
        beats = track_beats(onset_envelope(audio, RATE))[1]
        found.append(agreement(truth_of(truth), transcribe(spectra(audio, RATE), RATE), beats))
    return {name: np.nanmean([one[name] for one in found]) for name in found[0]}


@pytest.fixture(scope="module")
def true(scores):
    return figures(scores, scores)


def changed(score, change):
    """The score with every note replaced by `change` of it, or left out for None."""
    notes = (change(note) for note in score.notes)
    return replace(score, notes=tuple(sorted(note for note in notes if note is not None)))


def transposed(note):
    return note if note.is_drum else replace(note, pitch=note.pitch + 1)


def late(note):
    return replace(note, start_s=note.start_s + 0.11, end_s=note.end_s + 0.11)


def test_the_true_music_agrees_and_another_song_does_not(scores, true):
    other = figures(scores, scores[5:] + scores[:5])
    # beats too: librosa's tracker takes half or double the tempo of many
    gains = {"key_agreement": 25, "chord_agreement": 25, "note_onset_f": 30, "kick_f": 40}
    gains |= {"snare_f": 30, "hat_f": 25, "beat_truth_f": 15}
    assert {name: true[name] - other[name] > gain for name, gain in gains.items()} == dict.fromkeys(
        gains, True
    )
    assert true["note_onset_f"] > 80
    assert true["kick_f"] > 75
    assert true["hat_f"] > 75


def test_a_semitone_loses_key_and_chords_alone(scores, true):
    moved = figures(scores, [changed(score, transposed) for score in scores])
    assert moved["key_agreement"] < true["key_agreement"] - 20
    assert moved["chord_agreement"] < true["chord_agreement"] - 20
    for name in ("note_onset_f", "kick_f", "snare_f", "hat_f"):
        assert moved[name] == pytest.approx(true[name], abs=6)


def test_late_notes_lose_onsets_and_strokes_and_keep_the_key(scores, true):
    moved = figures(scores, [changed(score, late) for score in scores])
    for name in ("note_onset_f", "kick_f", "snare_f", "hat_f"):
        assert moved[name] < true[name] - 25
    assert moved["key_agreement"] == pytest.approx(true["key_agreement"], abs=15)


@pytest.mark.parametrize("drum", ["kick", "snare", "hat"])
def test_a_drum_that_is_gone_is_missed(scores, true, drum):
    def without(note):
        return None if note.is_drum and drum_class(note.pitch) == drum else note

    gone = figures(scores, [changed(score, without) for score in scores])
    losses = {name: true[f"{name}_f"] - gone[f"{name}_f"] for name in ("kick", "snare", "hat")}
    assert max(losses, key=losses.get) == drum
    assert losses[drum] > 20
    assert gone["chord_agreement"] > true["chord_agreement"] - 10


def test_what_the_score_lacks_is_undefined_and_silence_scores_nothing(scores):
    silent = transcribe(spectra(np.zeros(RATE), RATE), RATE)
    found = agreement(truth_of(scores[0]), silent, np.zeros(0))
    assert set(found.values()) == {0.0}
    empty = Score((), np.zeros(0), np.zeros(0), (), "C:maj", 2.0)
    undefined = agreement(truth_of(empty), silent, np.zeros(0))
    assert all(np.isnan(value) for name, value in undefined.items() if name != "key_agreement")
    assert "hat_f" not in agreement(
        truth_of(scores[0]), transcribe(spectra(np.zeros(RATE), 11025), 11025), np.zeros(0)
    )


def test_onset_f_leaves_out_the_edges():
    reference = np.array([0.5, 1.0])
    assert onset_f(reference, np.array([0.01, 0.5, 1.0, 1.99]), 2.0) == 100
    assert onset_f(reference, np.array([0.56, 1.06]), 2.0) == 0
    assert onset_f(reference, np.zeros(0), 2.0) == 0
    assert np.isnan(onset_f(np.zeros(0), reference, 2.0))


def heard_of(chroma, weight_at=()):
    times = np.arange(200) / 100
    weight = np.zeros(200)
    weight[[round(100 * time) for time in weight_at]] = 1.0
    return Transcript(np.zeros(0), {}, chroma, np.arange(chroma.shape[1]) / 10, weight, times)


def triad(*classes):
    chroma = np.zeros((12, 20))
    chroma[list(classes)] = 1.0
    return chroma


def test_keys_by_their_relation():
    scale = np.zeros((12, 20))
    scale[[0, 2, 4, 5, 7, 9, 11]] = np.array([[9], [4], [5], [3], [6], [3], [2]])
    assert key_agreement("C:maj", scale) == 100
    assert key_agreement("F:maj", scale) == 50  # C is its fifth
    assert key_agreement("A:min", scale) == 30
    assert key_agreement("C:min", scale) == 20
    assert key_agreement("Eb:maj", scale) == 0
    assert key_agreement("C:maj", np.zeros((12, 20))) == 0


def test_chords_are_weighed_by_time_and_by_root_and_third():
    chords = (Chord(0.0, 1.0, 0, "maj7"), Chord(1.0, 2.0, 9, "min7"))
    score = Score((), np.zeros(0), np.zeros(0), chords, "C:maj", 2.0)
    both = np.concatenate([triad(0, 4, 7)[:, :10], triad(9, 0, 4)[:, :10]], axis=1)
    chord = {}
    for name, chroma in (("both", both), ("first", triad(0, 4, 7)), ("none", triad(1, 5, 8))):
        chord[name] = agreement(truth_of(score), heard_of(chroma), np.zeros(0))["chord_agreement"]
    assert chord == {"both": 100, "first": 50, "none": 0}
    odd = replace(score, chords=(Chord(0.0, 2.0, 0, "sus4"),))
    assert np.isnan(agreement(truth_of(odd), heard_of(both), np.zeros(0))["chord_agreement"])


def test_downbeats_are_the_heaviest_phase():
    beats = np.arange(0.1, 2.0, 0.25)
    score = Score((), beats, beats[1::3], (), "C:maj", 2.0)
    heard = heard_of(triad(0), weight_at=beats[1::3])
    np.testing.assert_allclose(downbeats(beats, heard, truth_of(score)), beats[1::3])
    assert not len(downbeats(np.zeros(0), heard, truth_of(score)))
    found = agreement(truth_of(score), heard, beats)
    assert (found["beat_truth_f"], found["downbeat_truth_f"]) == (100, 100)

"""Chords by themselves: the key and the triads of plain tones, and how clear noise leaves them."""

import numpy as np
import pytest

from pipeline.metrics.harmony import key_heard, triad_share, triads_heard
from pipeline.metrics.music import CHROMA_HOP, spectra

RATE = 22050
A_MINOR = (220.0, 261.63, 329.63)


def chroma_of(sound):
    chroma = spectra(sound, RATE).chroma
    return chroma, np.arange(chroma.shape[1]) * CHROMA_HOP / RATE


def tones(*pitches_hz, seconds=2.0):
    at = np.arange(int(seconds * RATE)) / RATE
    return 0.2 * sum(np.sin(2 * np.pi * pitch * at) for pitch in pitches_hz).astype(np.float32)


def noise(level=0.2):
    return np.random.default_rng(0).normal(0, level, 2 * RATE).astype(np.float32)


def test_a_triad_is_named_and_holds_most_of_its_power():
    chroma, times = chroma_of(tones(*A_MINOR))
    assert set(triads_heard(chroma, times)) == {"A:min"}
    assert triad_share(chroma, times) > 68
    # three of the seven classes of A minor fit its relative as well
    assert key_heard(chroma) in ("A:min", "C:maj")


def test_noise_has_the_share_of_three_classes_and_drowns_a_chord_by_degrees():
    shares = [
        triad_share(*chroma_of(tones(*A_MINOR) + noise(level))) for level in (0.0, 0.1, 0.3, 1.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert triad_share(*chroma_of(noise())) == pytest.approx(26, abs=1.5)


def test_a_cluster_of_semitones_is_less_of_a_chord_in_any_key():
    semitone = 2 ** (1 / 12)
    cluster = [220.0 * semitone**n for n in range(6)]
    chord = triad_share(*chroma_of(tones(*A_MINOR)))
    assert triad_share(*chroma_of(tones(*cluster))) < chord - 15
    moved = triad_share(*chroma_of(tones(*(pitch * semitone for pitch in A_MINOR))))
    assert moved == pytest.approx(chord, abs=3)


def test_silence_has_no_harmony():
    chroma, times = chroma_of(np.zeros(2 * RATE, dtype=np.float32))
    assert np.isnan(triad_share(chroma, times))
    assert key_heard(chroma) is None
    assert set(triads_heard(chroma, times)) == {"N"}

"""Mel distance, convergence, chroma, flatness, loudness: ideal for the same sound, and each moved
by its own damage.
"""

import librosa
import numpy as np
import pytest

from pipeline.datasets.toy_dance.songs import compose, split_songs
from pipeline.datasets.toy_dance.sound import play
from pipeline.metrics.loudness import k_weighting, loudness_lufs
from pipeline.metrics.music import (
    chroma_similarity,
    flatness_db,
    likeness,
    mel_distance_db,
    spectra,
    spectral_convergence,
)
from pipeline.runtime.errors import UserError

RATE = 22050


@pytest.fixture(scope="module")
def clips():
    """Two seconds of six songs, [6, T]."""
    songs = [compose(title, 0) for title in split_songs({"test": 20})["test"][:6]]
    return [play(song.score, 8.0, 2.0, RATE) for song in songs]


def mean_likeness(references, damaged):
    found = [likeness(spectra(a, RATE), spectra(b, RATE)) for a, b in zip(references, damaged)]
    return {name: np.mean([one[name] for one in found]) for name in found[0]}


def test_the_same_sound_is_ideal_and_a_longer_one_is_cut(clips):
    same = {"mel_distance": 0, "spectral_convergence": 0, "chroma_similarity": pytest.approx(1)}
    for clip in clips:
        assert likeness(spectra(clip, RATE), spectra(clip, RATE)) == same
    first = spectra(clips[0], RATE)
    longer = np.concatenate([first.mel, first.mel], axis=1)
    assert mel_distance_db(first.mel, longer) == 0
    assert mel_distance_db(first.mel, first.mel[:, :40]) > 5


def test_mel_distance_is_the_gain_and_at_most_the_floor():
    reference = np.full((64, 10), 1.0)
    assert mel_distance_db(reference, reference / 10) == pytest.approx(10)
    assert mel_distance_db(reference, np.zeros_like(reference)) == pytest.approx(60)
    assert spectral_convergence(reference, reference * 1.5) == pytest.approx(0.5)
    assert spectral_convergence(reference, np.zeros_like(reference)) == pytest.approx(1)


def test_noise_raises_mel_distance_and_flatness_and_leaves_the_chroma(clips):
    generator = np.random.default_rng(0)
    hiss = [clip + 0.02 * generator.standard_normal(len(clip)) for clip in clips]
    damage = mean_likeness(clips, hiss)
    assert damage["mel_distance"] > 2
    assert damage["chroma_similarity"] > 0.95
    for clip, hissing in zip(clips, hiss):
        flat = flatness_db(spectra(clip, RATE).magnitudes)
        assert flat + 2 < flatness_db(spectra(hissing, RATE).magnitudes) < 0


def test_a_semitone_changes_the_chroma_and_not_the_flatness(clips):
    moved = [librosa.effects.pitch_shift(clip, sr=RATE, n_steps=1) for clip in clips]
    damage = mean_likeness(clips, moved)
    through = [librosa.effects.pitch_shift(clip, sr=RATE, n_steps=0) for clip in clips]
    assert damage["chroma_similarity"] < mean_likeness(clips, through)["chroma_similarity"] - 0.15
    octave = [librosa.effects.pitch_shift(clip, sr=RATE, n_steps=12) for clip in clips]
    assert mean_likeness(clips, octave)["chroma_similarity"] > damage["chroma_similarity"] + 0.1
    flat = [
        np.mean([flatness_db(spectra(clip, RATE).magnitudes) for clip in sound])
        for sound in (clips, moved)
    ]
    assert abs(flat[0] - flat[1]) < 3


def test_another_song_is_further_than_damage(clips):
    other = mean_likeness(clips, clips[1:] + clips[:1])
    low_passed = mean_likeness(
        clips,
        [
            librosa.resample(
                librosa.resample(c, orig_sr=RATE, target_sr=11025), orig_sr=11025, target_sr=RATE
            )[: len(c)]
            for c in clips
        ],
    )
    assert other["mel_distance"] > 7
    assert other["spectral_convergence"] > 1
    assert low_passed["spectral_convergence"] < 0.3
    assert other["chroma_similarity"] < low_passed["chroma_similarity"]
    assert low_passed["mel_distance"] > 1


def test_chroma_counts_where_the_reference_sounds():
    reference = np.zeros((12, 4))
    reference[0, :2] = 1.0
    generated = np.ones((12, 4))
    assert chroma_similarity(reference, generated) == pytest.approx(1 / np.sqrt(12))
    generated[:, 0] = 0
    assert chroma_similarity(reference, generated) == pytest.approx(0.5 / np.sqrt(12))


def test_flatness_of_noise_and_of_a_tone():
    noise = np.random.default_rng(1).standard_normal(RATE)
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert flatness_db(spectra(noise, RATE).magnitudes) == pytest.approx(-2.5, abs=0.1)
    assert flatness_db(spectra(tone, RATE).magnitudes) < -40
    assert flatness_db(spectra(0.01 * noise, RATE).magnitudes) == pytest.approx(-2.5, abs=0.1)


def test_silence_is_undefined_and_nan_is_refused(clips):
    nothing = spectra(np.zeros(RATE), RATE)
    assert all(np.isnan(value) for value in likeness(nothing, spectra(clips[0], RATE)).values())
    against = likeness(spectra(clips[0], RATE), nothing)
    assert against["spectral_convergence"] == pytest.approx(1)
    assert against["chroma_similarity"] == 0
    assert np.isnan(flatness_db(nothing.magnitudes))
    assert np.isnan(loudness_lufs(np.zeros(RATE), RATE))
    assert np.isnan(loudness_lufs(np.zeros(0), RATE))
    for measure in (spectra, loudness_lufs):
        with pytest.raises(UserError, match="NaN"):
            measure(np.array([0.0, np.nan]), RATE)


@pytest.mark.parametrize("rate", [11025, 22050, 48000])
def test_loudness_is_the_standards(rate):
    """BS.1770-4: a full-scale sine of 997 Hz in one channel has -3.01 LUFS; a gain adds its dB."""
    sine = np.sin(2 * np.pi * 997 * np.arange(3 * rate) / rate)
    assert loudness_lufs(sine, rate) == pytest.approx(-3.01, abs=0.06)
    assert loudness_lufs(0.1 * sine, rate) == pytest.approx(loudness_lufs(sine, rate) - 20)
    half_silent = np.concatenate([sine, np.zeros(3 * rate)])
    assert loudness_lufs(half_silent, rate) == pytest.approx(loudness_lufs(sine, rate), abs=0.4)


def test_k_weighting_at_48_khz_is_the_standards_table():
    (head_b, head_a), (low_b, low_a) = k_weighting(48000)
    standard = [1.53512485958697, -2.69169618940638, 1.19839281085285]
    np.testing.assert_allclose(head_b, standard, atol=1e-7)
    np.testing.assert_allclose(head_a, [1, -1.69065929318241, 0.73248077421585], atol=1e-7)
    np.testing.assert_allclose(low_b, [1, -2, 1])
    np.testing.assert_allclose(low_a, [1, -1.99004745483398, 0.99007225036621], atol=1e-7)

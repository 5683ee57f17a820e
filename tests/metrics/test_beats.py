"""Beat scores: hand-worked examples of every protocol, golden values, and the cases the published
code leaves open.
"""

import librosa
import numpy as np
import pytest

from pipeline.metrics.beats import (
    beat_scores,
    bin_counts,
    clip_scores,
    onset_envelope,
    onset_times,
    scores_from_counts,
)
from pipeline.metrics.controls import metronome, noise, silence
from pipeline.runtime.errors import UserError

RATE = 22050
PROTOCOLS = ("d2m", "loris", "5hz")


@pytest.fixture(scope="module")
def songs():
    """Click tracks at different tempi under a chord: references with onsets in every second."""
    chord = sum(np.sin(2 * np.pi * f * np.arange(2 * RATE) / RATE) for f in (220, 277, 330)) * 0.02
    return [metronome(2.0, RATE, bpm) + chord for bpm in (90, 97, 120, 133)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_identical_clips_score_100(songs, protocol):
    scores = beat_scores(songs, songs, RATE, protocol)
    assert (scores.coverage, scores.hit, scores.f1) == (100, 100, 100)
    assert (
        scores.coverage_std,
        scores.hit_std,
        scores.f1_std,
        scores.n_clips,
        scores.n_undefined,
    ) == (0, 0, 0, 4, 0)


def test_a_metronome_saturates_one_second_bins_but_not_5hz(songs):
    clicks = [metronome(2.0, RATE, 120)] * len(songs)
    d2m = beat_scores(songs, clicks, RATE, "d2m")
    assert (d2m.coverage, d2m.hit) == (100, 100)
    assert beat_scores(songs, clicks, RATE, "5hz").f1 < 90


def test_hand_worked_d2m():
    # References on in bins {0, 1}, {1}, {}; generated on in {0}, {0, 1}, {0}. The third has no
    # score.
    pairs = [([0.1, 1.5], [0.2]), ([1.0], [0.3, 1.9]), ([], [0.5])]
    counts = [
        bin_counts(np.array(reference), np.array(generated), 2.0, "d2m")
        for reference, generated in pairs
    ]
    assert counts == [(1, 2, 1), (1, 1, 2), (0, 0, 1)]
    scores = scores_from_counts(np.array(counts), "d2m")
    assert scores.coverage == pytest.approx(
        100 * (1 / 2 + 2 / 1) / 2
    )  # ratios of counts, above 1 kept
    assert scores.hit == pytest.approx(100 * (1 / 2 + 1) / 2)
    precision, recall = (1 + 1 / 2) / 2, 0.75
    assert scores.f1 == pytest.approx(100 * 2 * precision * recall / (precision + recall))
    assert scores.coverage_std == pytest.approx(100 * np.std([0.5, 2.0], ddof=1))
    assert (scores.n_clips, scores.n_undefined) == (2, 1)


def test_hand_worked_loris():
    # Precision 1/1, 1/2, 0/1; recall 1/2, 1/1, 0 (empty reference): F1 from the means, CSD and HSD
    # with ddof = 1.
    scores = scores_from_counts(np.array([(1, 2, 1), (1, 1, 2), (0, 0, 1)]), "loris")
    precision, recall = [1, 0.5, 0], [0.5, 1, 0]
    assert scores.coverage == pytest.approx(50)
    assert scores.hit == pytest.approx(50)
    assert scores.coverage_std == pytest.approx(100 * np.std(precision, ddof=1))
    assert scores.hit_std == pytest.approx(100 * np.std(recall, ddof=1))
    assert scores.f1 == pytest.approx(50)
    assert np.mean(clip_scores([(1, 2, 1), (1, 1, 2), (0, 0, 1)], "loris")["f1"]) == pytest.approx(
        400 / 9
    )  # not this
    assert (scores.n_clips, scores.n_undefined) == (3, 0)


def test_hand_worked_5hz():
    # 0.2 s bins of 1 s: reference on in 0, 2, 4; generated on in 0, 1, 4; two of them meet.
    counts = bin_counts(np.array([0.05, 0.41, 0.81]), np.array([0.19, 0.21, 0.99]), 1.0, "5hz")
    assert counts == (2, 3, 3)
    scores = scores_from_counts(np.array([counts]), "5hz")
    assert (scores.coverage, scores.hit, scores.f1) == pytest.approx((200 / 3,) * 3)
    assert np.isnan(scores.coverage_std)


def test_bin_edges_belong_to_the_later_bin():
    assert bin_counts(np.array([0.6]), np.array([0.6]), 1.0, "5hz") == (1, 1, 1)
    assert bin_counts(np.array([0.6]), np.array([0.59999]), 1.0, "5hz") == (0, 1, 1)
    assert bin_counts(np.array([0.5]), np.array([2.4]), 2.0, "d2m") == (
        0,
        1,
        0,
    )  # beyond the end: left out


@pytest.mark.parametrize("seed", range(3))
def test_d2m_onsets_follow_the_equivalent_rule(seed):
    """An onset is a rise of at least 0.4 of the envelope's range from the frame before, two frames
    after the last one.
    """
    generator = np.random.default_rng(seed)
    audio = metronome(3.0, RATE, 100) + 0.02 * generator.standard_normal(3 * RATE).astype(
        np.float32
    )
    envelope = onset_envelope(audio, RATE)
    scaled = (envelope - envelope.min()) / (envelope.max() - envelope.min())
    expected, last = [], -9
    for frame in range(1, len(scaled)):
        if (
            scaled[frame] >= scaled[frame - 1]
            and scaled[frame] - scaled[frame - 1] >= 0.4
            and frame - last > 1
        ):
            expected.append(frame)
            last = frame
    np.testing.assert_allclose(
        onset_times(envelope, "d2m"), librosa.frames_to_time(expected, sr=RATE, hop_length=512)
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_silence_scores_zero_and_a_silent_reference_is_defined(songs, protocol):
    quiet = [silence(2.0, RATE)] * len(songs)
    scores = beat_scores(songs, quiet, RATE, protocol)
    assert (scores.coverage, scores.hit, scores.f1) == (0, 0, 0)
    reversed_scores = beat_scores(quiet, songs, RATE, protocol)
    if protocol == "d2m":
        assert np.isnan(reversed_scores.hit)
        assert (reversed_scores.n_clips, reversed_scores.n_undefined) == (0, 4)
    else:
        assert (reversed_scores.hit, reversed_scores.f1, reversed_scores.n_clips) == (0, 0, 4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_clips_of_other_lengths_are_cut_or_count_as_off(songs, protocol):
    longer = [np.concatenate([song, noise(1.0, RATE, np.random.default_rng(0))]) for song in songs]
    assert beat_scores(songs, longer, RATE, protocol) == beat_scores(songs, songs, RATE, protocol)
    half = beat_scores(songs, [song[:RATE] for song in songs], RATE, protocol)
    assert 0 < half.hit <= 70
    assert beat_scores(songs, [song[:0] for song in songs], RATE, protocol).hit == 0


def test_another_sample_rate_gives_the_same_onsets(songs):
    slower = [
        librosa.resample(song.astype(np.float32), orig_sr=RATE, target_sr=11025) for song in songs
    ]
    assert beat_scores(slower, slower, 11025, "5hz").f1 == 100


@pytest.mark.parametrize(
    ("references", "generated"),
    [([], []), ([np.zeros(9)], []), ([np.zeros(9)], [np.full(9, np.nan)])],
)
def test_unusable_input_is_refused(references, generated):
    with pytest.raises(UserError):
        beat_scores(references, generated, RATE)

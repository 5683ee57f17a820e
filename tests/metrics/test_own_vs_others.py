"""Own against others: paired by clip, nothing gained by density, a metronome or a constant lag; an
interval that covers.
"""

import numpy as np
import pytest

from pipeline.metrics import controls
from pipeline.metrics.alignment import alignment
from pipeline.metrics.own_vs_others import (
    Dances,
    best_lag,
    own_against_others,
    own_and_others,
    shifted,
)
from pipeline.runtime.errors import UserError

RATE, FPS, SECONDS = 22050, 30, 4.0


@pytest.fixture
def generator():
    return np.random.default_rng(3)


def random_times(generator, n=20, seconds=SECONDS):
    return [np.sort(generator.uniform(0, seconds, generator.integers(4, 9))) for _ in range(n)]


def brute(dances, onsets):
    own, others = [], []
    for i, accents in enumerate(dances.accents):
        own.append(alignment(accents, onsets[i]))
        fits = []
        for j in dances.others(i):
            until = min(dances.seconds[i], dances.seconds[j])
            fits.append(alignment(accents[accents <= until], onsets[j][onsets[j] <= until]))
        others.append(np.nanmean(fits) if np.isfinite(fits).any() else np.nan)
    return np.array(own), np.array(others)


def test_it_is_the_fit_of_every_pair_cut_to_the_shorter(generator):
    accents, onsets = random_times(generator), random_times(generator)
    onsets[3] = np.zeros(0)
    accents[5] = np.zeros(0)
    seconds = [SECONDS] * 10 + [2.5] * 10
    accents = [times[times <= until] for times, until in zip(accents, seconds)]
    onsets = [times[times <= until] for times, until in zip(onsets, seconds)]
    dances = Dances(accents, seconds, [str(i // 2) for i in range(20)])
    assert all(other // 2 != 4 for other in dances.others(8))
    found = own_and_others(dances, onsets)
    expected = brute(dances, onsets)
    assert np.isnan(found[0][5])
    assert np.isnan(found[1][5])
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, expected)


def test_what_follows_gains_and_what_does_not_gains_nothing(generator):
    accents = random_times(generator, 60)
    dances = Dances(accents, [SECONDS] * 60, [str(i) for i in range(60)])
    own, others = own_and_others(dances, [times + 0.01 for times in accents])
    assert np.mean(own - others) > 30
    blind, around = own_and_others(dances, random_times(generator, 60))
    error = np.std(blind - around) / np.sqrt(60)
    assert abs(np.mean(blind - around)) < 3 * error
    same = [np.arange(0.25, SECONDS, 0.5)] * 60
    assert np.ptp(np.subtract(*own_and_others(dances, same))) == pytest.approx(0, abs=1e-9)


def test_gains_fall_with_a_shift_and_the_best_lag_brings_them_back(generator):
    accents = random_times(generator, 40)
    dances = Dances(accents, [SECONDS] * 40, [str(i) for i in range(40)])
    gains = []
    for shift in (0.0, 0.06, 0.12, 0.3):
        moved = [shifted(times, shift, SECONDS) for times in accents]
        gains.append(np.mean(np.subtract(*own_and_others(dances, moved))))
    assert gains[0] > gains[1] + 5 > gains[2] + 10
    assert abs(gains[3]) < 8
    assert best_lag(dances, [moved]) == pytest.approx(-0.3)
    assert best_lag(dances, [[np.zeros(0)] * 40]) == 0


def dancing(beats):
    """Keypoints [T, 17, 3] that come to rest at `beats`."""
    times = np.arange(int(SECONDS * FPS)) / FPS
    position = np.interp(times, beats, np.arange(len(beats)))
    step = position - np.floor(position)
    eased = np.floor(position) + (1 - np.cos(np.pi * step)) / 2
    motion = np.ones((len(times), 17, 3))
    motion[..., 0] = eased[:, None]
    return motion


def clicking(beats):
    clicks = np.zeros(int(SECONDS * RATE), dtype=np.float32)
    burst = controls.metronome(0.5, RATE, 120)[int(0.25 * RATE) :][:2000]
    for beat in beats:
        start = int(beat * RATE)
        if 0 <= start < len(clicks) - len(burst):
            clicks[start : start + len(burst)] += burst
    return clicks


def test_the_table_of_a_folder(generator):
    """Motion and sound in, rows and paired intervals out; late music is brought back by its lag."""
    beats = [np.cumsum(generator.uniform(0.25, 0.6, 20)) - 0.2 for _ in range(10)]
    motions = [dancing(times) for times in beats]
    late = [clicking(times + 0.2) for times in beats]
    true = [clicking(times) for times in beats]
    found = own_against_others(motions, late, FPS, RATE, generator, true_waveforms=true)
    assert found.remarks["best_lag_s"] == pytest.approx(-0.2, abs=0.03)
    table = {(line.row, line.metric): line for line in found.results}
    each = [c.value for c in found.clips if (c.row, c.metric) == ("ground_truth", "fit_gain")]
    assert len(each) == 10
    assert np.mean(each) == pytest.approx(table["ground_truth", "fit_gain"].mean)
    assert {row for row, _ in table} == {"model", "model_best_lag", "ground_truth", "metronome"}
    truth, model = table["ground_truth", "fit_gain"], table["model", "fit_gain"]
    assert truth.low > 20
    assert model.mean < 12
    assert table["model_best_lag", "fit_gain"].low > 15
    assert table["metronome", "fit_gain"].mean == pytest.approx(0, abs=1e-9)
    assert truth.mean == pytest.approx(
        table["ground_truth", "fit_own"].mean - table["ground_truth", "fit_others"].mean
    )
    assert (truth.n_clips, truth.n_songs) == (10, 10)


def test_the_interval_covers_the_true_gain(generator):
    """Of simulated studies of blind music, about 95 in 100 intervals hold 0 (paired by clip)."""
    from pipeline.metrics.bootstrap import draw_weights, interval, weighted_mean

    held = 0
    for _ in range(60):
        dances = Dances(random_times(generator, 30), [SECONDS] * 30, [str(i) for i in range(30)])
        gain = np.subtract(*own_and_others(dances, random_times(generator, 30)))
        low, high = interval(weighted_mean(gain, draw_weights(dances.groups, 400, generator)))
        held += low <= 0 <= high
    assert 50 <= held <= 60


def test_one_clip_or_lists_that_differ_are_refused(generator):
    motion, sound = dancing(np.arange(0, 5, 0.5)), clicking([1.0])
    with pytest.raises(UserError, match="at least two clips"):
        own_against_others([motion], [sound], FPS, RATE, generator)
    with pytest.raises(UserError, match="2 / 1"):
        own_against_others([motion] * 2, [sound], FPS, RATE, generator)

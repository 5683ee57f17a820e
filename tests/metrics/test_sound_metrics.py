"""Timing, alignment, distances, copying, bootstrap and controls against libraries, brute force and
known answers.
"""

import mir_eval
import numpy as np
import pytest
import torch
from torchmetrics.image.fid import _compute_fid

from pipeline.datasets.toy_dance.dancer import Noise, dance
from pipeline.datasets.toy_dance.songs import compose, split_songs
from pipeline.datasets.toy_dance.sound import play
from pipeline.metrics import controls, timing
from pipeline.metrics.alignment import alignment, dance_accents, kinematic_accents, visibility
from pipeline.metrics.beats import onset_envelope, onset_times
from pipeline.metrics.bootstrap import draw_weights, interval, weighted_mean
from pipeline.metrics.copying import nearest_training_item
from pipeline.metrics.distances import frechet_audio_distance, kernel_audio_distance
from pipeline.runtime.errors import UserError

RATE = 22050


@pytest.fixture
def generator():
    return np.random.default_rng(7)


def test_f_measures_are_mir_evals_at_70_ms():
    reference, generated = np.array([0.5, 1.0, 1.5]), np.array([0.55, 1.08, 1.5])
    assert timing.onset_f_measure(reference, generated) == pytest.approx(
        100 * mir_eval.onset.f_measure(reference, generated, window=0.07)[0]
    )
    assert timing.onset_f_measure(reference, generated) == pytest.approx(
        200 / 3
    )  # 80 ms is too late
    assert timing.beat_f_measure(reference, generated) == pytest.approx(200 / 3)
    assert timing.beat_f_measure(reference, reference) == 100  # `evaluate` would trim all of it
    assert mir_eval.beat.evaluate(reference, reference)["F-measure"] == 0


def test_f_measures_of_nothing_are_zero():
    empty, some = np.zeros(0), np.array([0.5])
    for measure in (timing.onset_f_measure, timing.beat_f_measure):
        assert measure(empty, some) == measure(some, empty) == measure(empty, empty) == 0


def test_tempo_of_a_metronome_and_of_silence():
    tempo, beats = timing.track_beats(onset_envelope(controls.metronome(6.0, RATE, 100), RATE))
    assert tempo == pytest.approx(100, abs=5)
    assert np.median(np.diff(beats)) == pytest.approx(0.6, abs=0.03)
    nothing, none = timing.track_beats(onset_envelope(controls.silence(2.0, RATE), RATE))
    assert np.isnan(nothing)
    assert not len(none)
    assert np.isnan(timing.tempo_difference(tempo, nothing))


def stop_and_go(beats, fps=30, seconds=4.0):
    """A dancer [T, 17, 2] who moves between poses and comes to rest at each of `beats`."""
    times = np.arange(int(seconds * fps)) / fps
    position = np.interp(times, beats, np.arange(len(beats)))
    step = position - np.floor(position)
    eased = np.floor(position) + (1 - np.cos(np.pi * step)) / 2
    return eased[:, None, None] * np.ones((1, 17, 2))


def test_accents_are_where_the_dancer_rests():
    beats = np.arange(0, 4.1, 0.5)
    accents = kinematic_accents(stop_and_go(beats), 30)
    inner = beats[1:-1]
    assert np.abs(accents[:, None] - inner[None]).min(axis=0).max() < 0.05
    assert len(accents) == len(inner)
    assert not len(kinematic_accents(np.ones((40, 17, 2)), 30))


def tracked(beats, seconds=6.0, fps=30):
    """The stop-and-go dancer as keypoints [T, 17, 3] with full scores."""
    positions = stop_and_go(beats, fps, seconds)
    return np.concatenate([positions, np.ones((*positions.shape[:2], 1))], axis=2)


@pytest.mark.parametrize(("frames", "joints"), [(1, 1), (1, 17), (2, 1), (60, 1)])
def test_a_jump_of_joints_hides_no_accent(frames, joints):
    """One frame or for good, one joint or all: the accents are those of the undisturbed dancer."""
    beats = np.arange(0, 6.1, 0.5)
    motion = tracked(beats)
    expected = dance_accents(motion, 30)
    assert len(expected) == 11
    jumped = motion.copy()
    jumped[81 : 81 + frames, :joints, :2] += 40.0
    accents = dance_accents(jumped, 30)
    missed = np.abs(accents[:, None] - expected[None]).min(axis=0) > 0.07
    assert missed.sum() <= (joints == 17)  # the moment of the jump itself may be lost
    assert len(accents) <= len(expected) + 2


def test_joints_that_are_not_seen_do_not_count(generator):
    beats = np.arange(0, 6.1, 0.5)
    motion = tracked(beats)
    expected = dance_accents(motion, 30)
    wild = motion.copy()
    wild[:, 5:9, :2] = generator.uniform(0, 3, (len(motion), 4, 2))
    assert len(dance_accents(wild, 30)) > len(expected) + 5
    wild[:, 5:9, 2] = 0.0
    np.testing.assert_allclose(dance_accents(wild, 30), expected, atol=1e-6)
    gap = motion.copy()
    gap[40:44, :, 2] = 0.0
    assert len(dance_accents(gap, 30)) == pytest.approx(len(expected), abs=1)
    gap[..., 2] = 0.0
    assert not len(dance_accents(gap, 30))
    smpl = generator.normal(size=(90, 219))
    assert visibility(smpl) is None
    assert np.isfinite(dance_accents(smpl, 30)).all()


def test_alignment_falls_with_a_shift():
    beats = np.arange(0.5, 6, 0.5)
    accents = dance_accents(tracked(np.arange(0, 6.1, 0.5)), 30)
    fits = [alignment(accents, beats + shift) for shift in (0.0, 0.05, 0.1, 0.2)]
    assert fits[0] > 90
    assert all(a > b + 5 for a, b in zip(fits, fits[1:]))


def test_alignment_tells_the_own_music_from_another(generator):
    own, shuffled = [], []
    for _ in range(20):
        beats = np.cumsum(generator.uniform(0.35, 0.75, 16))
        other = np.cumsum(generator.uniform(0.35, 0.75, 16))
        accents = kinematic_accents(stop_and_go(beats, 60, 6.0), 60)
        own.append(
            alignment(accents, beats[(beats > accents[0] - 0.1) & (beats < accents[-1] + 0.1)])
        )
        shuffled.append(alignment(accents, other[other < 6]))
    assert np.mean(own) > 90
    assert np.mean(own) > np.mean(shuffled) + 30


def test_alignment_cannot_be_bought_with_density():
    accents = np.arange(0.5, 4, 0.5)
    assert alignment(accents, accents) == pytest.approx(100)
    assert alignment(accents, np.arange(0, 4, 0.02)) < 60  # an onset everywhere
    assert alignment(accents, accents[:1]) < 30  # a single lucky one
    assert alignment(accents, np.zeros(0)) == 0
    assert np.isnan(alignment(np.zeros(0), accents))
    one_off = np.exp(-(0.05**2) / (2 * 0.05**2))
    assert alignment(np.array([1.0]), np.array([1.05])) == pytest.approx(100 * one_off)


def test_fad_agrees_with_torchmetrics(generator):
    a, b = generator.normal(size=(200, 6)), generator.normal(0.4, 1.3, size=(150, 6))
    mean, covariance = zip(
        *[(torch.tensor(x.mean(0)), torch.tensor(np.cov(x, rowvar=False))) for x in (a, b)]
    )
    expected = float(_compute_fid(mean[0], covariance[0], mean[1], covariance[1]))
    assert frechet_audio_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_audio_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_kad_agrees_with_the_double_sum(generator):
    a, b = generator.normal(size=(12, 3)), generator.normal(0.5, 1, size=(9, 3))

    def k(x, y):
        return np.exp(-np.sum((x - y) ** 2) / (2 * 1.5**2))

    within_a = np.mean([k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    within_b = np.mean([k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
    across = np.mean([k(x, y) for x in a for y in b])
    assert kernel_audio_distance(a, b, bandwidth=1.5) == pytest.approx(
        100 * (within_a + within_b - 2 * across)
    )


def test_kad_is_unbiased_where_fad_is_not(generator):
    pairs = [generator.normal(size=(2, 20, 8)) for _ in range(60)]
    kad = [kernel_audio_distance(*pair) for pair in pairs]
    assert abs(np.mean(kad)) < 3 * np.std(kad) / np.sqrt(len(kad))
    assert np.mean([frechet_audio_distance(*pair) for pair in pairs]) > 1


def test_distances_of_too_few_are_undefined():
    one, many = np.zeros((1, 3)), np.eye(3)
    assert np.isnan(kernel_audio_distance(many, one))
    assert np.isnan(frechet_audio_distance(one, many))
    assert np.isnan(kernel_audio_distance(np.zeros((4, 3)), many))


@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_nearest_training_item_against_brute_force(generator, chunk):
    training, samples = generator.integers(0, 3, (40, 12)), generator.integers(0, 3, (9, 12))
    samples[0] = training[23]
    nearest = nearest_training_item(samples, training, chunk)
    distances = (samples[:, None] != training[None]).mean(axis=2) * 100
    np.testing.assert_allclose(nearest.distance, distances.min(axis=1))
    np.testing.assert_array_equal(nearest.row, distances.argmin(axis=1))
    assert nearest.distance[0] == 0


def test_the_nearest_of_many_is_found_tile_by_tile_and_of_equals_the_first(generator, monkeypatch):
    monkeypatch.setattr("pipeline.metrics.copying._TRAINING_BYTES", 400)
    monkeypatch.setattr("pipeline.metrics.copying._SAMPLES", 7)
    training = generator.integers(0, 2**16, (300, 20)).astype(np.uint16)
    training[200:] = training[:100]
    samples = training[[250, 3, 299]].repeat(6, axis=0)
    assert (
        nearest_training_item(samples, training, 64).row.tolist() == [50] * 6 + [3] * 6 + [99] * 6
    )


def test_bootstrap_draws_songs_not_clips(generator):
    songs = ["a", "a", "a", "b", "c"]
    weights = draw_weights(songs, 4000, generator)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, [0, 3, 4]].sum(axis=1) == 3).all()
    values = np.array([1.0, 1.0, 1.0, 5.0, np.nan])
    means = weighted_mean(values, weights)
    assert np.isnan(means[(weights[:, 0] == 0) & (weights[:, 3] == 0)]).all()
    assert interval(means) == (1.0, 5.0)
    assert np.isnan(interval(np.full(3, np.nan))).all()


def test_bootstrap_of_singletons_covers_like_the_normal_interval(generator):
    values = generator.normal(size=400)
    means = weighted_mean(values, draw_weights([str(i) for i in range(400)], 3000, generator))
    error = values.std() / np.sqrt(400)
    assert interval(means) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error
    )


def test_partners_are_of_other_songs(generator):
    songs = ["a"] * 5 + ["b", "c"]
    partners = controls.partners(songs, generator)
    assert all(songs[i] != songs[j] for i, j in enumerate(partners))
    with pytest.raises(UserError, match="two songs"):
        controls.partners(["a", "a"], generator)


def test_nearest_condition_is_scale_free():
    training = np.array([[0.0, 0.0], [1.0, 1000.0], [2.0, 0.0]])
    assert controls.nearest_condition(np.array([[1.9, 40.0], [1.0, 900.0]]), training).tolist() == [
        2,
        1,
    ]


def test_alignment_tells_the_toy_dancers_own_song_from_another():
    """At the toy's frame rate and noise, the truth stands above other songs by several standard
    errors.
    """
    songs = [compose(title, seed=0) for title in split_songs({"test": 20})["test"]]
    generator = np.random.default_rng(0)
    accents, onsets = [], []
    for number in range(40):
        song = songs[number % len(songs)]
        start = generator.uniform(0, song.seconds - 2)
        accents.append(
            kinematic_accents(
                dance(song, start, 2.0, 20, Noise.of_level(1.0), generator)[..., :2], 20
            )
        )
        sound = play(song.score, start, 2.0, RATE)
        onsets.append(onset_times(onset_envelope(sound, RATE), "loris"))
    own = np.array([alignment(*pair) for pair in zip(accents, onsets)])
    other = np.mean(
        [[alignment(accents[i], onsets[(i + k) % 40]) for i in range(40)] for k in (1, 3, 4, 7)]
    )
    assert np.nanmean(own) > other + 3 * np.nanstd(own) / np.sqrt(40)

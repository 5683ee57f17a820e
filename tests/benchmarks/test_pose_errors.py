"""The measures of a reader's errors give back the errors that were put in."""

import numpy as np
import pytest

from benchmarks.pose_errors import tables, truth_of
from benchmarks.pose_measures import JOINTS, correlation, measured, runs, shared, torso
from pipeline.runtime.errors import UserError

T = 4000


@pytest.fixture
def truth():
    """A body [T, 17, 2] that sways; its torso is 0.2 long."""
    places = np.zeros((17, 2))
    for name, y, half in [
        ("shoulders", 0.4, 0.1),
        ("elbows", 0.5, 0.15),
        ("wrists", 0.6, 0.15),
        ("hips", 0.6, 0.08),
        ("knees", 0.75, 0.1),
        ("ankles", 0.9, 0.1),
    ]:
        places[list(JOINTS[name])] = [[0.5 + half, y], [0.5 - half, y]]
    places[:5] = [[0.5, 0.3], [0.51, 0.29], [0.49, 0.29], [0.52, 0.3], [0.48, 0.3]]
    sway = 0.05 * np.sin(np.arange(T) / 20)
    return places + np.stack([sway, 0 * sway], axis=1)[:, None]


def seen(places):
    return np.concatenate([places, np.full((*places.shape[:2], 1), 0.9)], axis=2)


def test_noise_and_bias_come_back_in_torsos(truth):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, truth.shape)
    found = measured(seen(truth + noise + [0.004, 0.003]), truth, 60)
    assert torso(truth) == pytest.approx(0.2)
    assert found.bias["all"] == pytest.approx(0.025, rel=0.05)
    assert found.distance["all"][0] == pytest.approx(0.0637, rel=0.05)  # Rice, 0.05 about 0.025
    assert found.jitter["knees"][0] == pytest.approx(0.05 * np.sqrt(2) * 1.1774, rel=0.05)
    assert np.abs(found.lags).max() < 0.05
    assert (found.shared, found.astray, found.unseen) == (pytest.approx(0, abs=0.01), 0, 0)
    assert found.pck == 1


def test_exchanged_limbs_stretches_and_gaps_are_counted(truth):
    joints = seen(truth)
    joints[100:104, [9, 10]] = joints[100:104, [10, 9]]
    joints[200, 16, 0] += 0.3
    joints[300:307, 7, 2] = 0.1
    joints[400:410] = np.nan
    found = measured(joints, truth, 60)
    assert found.swaps["wrists"] == pytest.approx(4 / (T - 10))
    assert found.swaps["ankles"] == 0
    assert found.runs == {
        "swap": [4],
        "astray": [4, 4, 1],
        "faint": [7],
        "no dancer": [10],
    }
    assert found.unseen == 10 / T
    assert found.astray == pytest.approx(9 / (17 * (T - 10)))


def test_correlation_in_time_and_among_joints():
    rng = np.random.default_rng(0)
    errors, fresh = np.zeros((20000, 3, 2)), rng.normal(size=(20000, 3, 2))
    for number in range(1, len(errors)):
        errors[number] = 0.8 * errors[number - 1] + 0.6 * fresh[number]
    assert correlation(errors, 1) == pytest.approx(0.8, abs=0.02)
    assert correlation(errors, 3) == pytest.approx(0.8**3, abs=0.03)
    assert shared(errors) == pytest.approx(0, abs=0.03)
    common = rng.normal(size=(20000, 1, 2))
    assert shared(fresh + common) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("flags", "lengths"), [([], []), ([0, 0], []), ([1, 1, 0, 1], [2, 1]), ([0, 1, 1, 1], [3])]
)
def test_runs(flags, lengths):
    assert runs(np.array(flags, bool)) == lengths


def test_the_tables_have_a_title_and_even_rows(truth):
    found = {"A": measured(seen(truth), truth + 0.01, 60)}
    lines = "\n".join(tables(found, found, "a clip", 60, 20)).split("### ")[1:]
    assert [each.partition(":")[0].split(" at")[0] for each in lines] == [
        "Distances",
        "Jitter",
        "Jitter",
        "In time",
    ]
    for section in lines:
        assert len({row.count("|") for row in section.splitlines() if row.startswith("|")}) == 1


def test_what_is_no_keypoints_file_is_refused(tmp_path):
    with pytest.raises(UserError):
        truth_of(tmp_path / "absent.pkl", 0)

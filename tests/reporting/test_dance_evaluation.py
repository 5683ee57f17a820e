"""The evaluation of a finished dance data set with a perfect model: every row where it must be,
counts, spreads, files.
"""

import csv
import json
import math

import pytest

from pipeline.metrics.dance_rows import describe_clips, evaluate_dance
from pipeline.metrics.results import read_results
from pipeline.reporting.examples import spread
from pipeline.runtime.errors import UserError
from tests.reporting.conftest import SETTINGS

ROWS = {
    "ground_truth",
    "reconstruction",
    "model",
    "model_shuffled",
    "shuffled_pairs",
    "nearest_neighbour",
}
ROWS |= {"metronome", "silence", "noise"}


@pytest.fixture(scope="module")
def table(evaluated):
    return {(r.row, r.metric, r.protocol): r for r in evaluated[0].results}


def test_every_row_and_protocol_is_there(table):
    assert {row for row, _, _ in table} == ROWS | {"model_best_lag"}
    for protocol in ("d2m", "loris", "5hz"):
        assert all((row, "beats_f1", protocol) in table for row in ROWS)


@pytest.mark.parametrize(
    ("metric", "protocol"),
    [("beats_f1", "5hz"), ("alignment", "motion"), ("genre_accuracy", "mfcc"), ("onset_f", "70ms")],
)
def test_the_perfect_model_equals_the_truth_and_beats_its_shuffled_self(table, metric, protocol):
    truth, model, shuffled = (
        table[row, metric, protocol] for row in ("ground_truth", "model", "model_shuffled")
    )
    assert model.mean == pytest.approx(truth.mean, abs=5)
    assert model.mean > shuffled.mean + 15
    assert model.low <= model.mean <= model.high
    assert (model.n_clips, model.n_songs, model.n_seeds) == (6, 3, 2)
    assert model.std == 0  # the two seeds hold the same tokens
    assert math.isnan(truth.std)  # one run has no spread


def test_own_against_others_is_paired_and_a_metronome_gains_nothing(table):
    gain = table["model", "fit_gain", "own_vs_others"]
    assert gain.mean == pytest.approx(
        table["model", "fit_own", "own_vs_others"].mean
        - table["model", "fit_others", "own_vs_others"].mean
    )
    assert table["model", "fit_own", "own_vs_others"].mean == pytest.approx(
        table["model", "alignment", "motion"].mean
    )
    assert 10 < gain.low <= gain.mean
    assert table["metronome", "fit_gain", "own_vs_others"].mean == pytest.approx(0, abs=1e-9)
    assert {m for row, m, _ in table if row == "model_best_lag"} == {
        "fit_own",
        "fit_others",
        "fit_gain",
    }
    lagged = table["model_best_lag", "fit_own", "own_vs_others"].mean
    assert lagged >= table["model", "fit_own", "own_vs_others"].mean


def test_the_sound_is_measured_as_music(table):
    truth, model, other = (
        {name: table[row, name, "music"].mean for name in ("mel_distance", "chroma_similarity")}
        for row in ("ground_truth", "model", "shuffled_pairs")
    )
    assert truth == {"mel_distance": 0, "chroma_similarity": pytest.approx(1)}
    assert model["mel_distance"] < 1 < other["mel_distance"] - 2
    assert model["chroma_similarity"] > other["chroma_similarity"] + 0.1
    assert table["silence", "spectral_convergence", "music"].mean == pytest.approx(1)
    assert table["noise", "flatness", "music"].mean == pytest.approx(-2.5, abs=0.2)
    assert math.isnan(table["silence", "loudness", "music"].mean)


def test_figures_that_need_a_score_are_left_out_without_one(table):
    assert not [key for key in table if key[2] == "midi"]


def test_controls_know_nothing(table):
    for row in ("silence", "noise", "metronome", "shuffled_pairs"):
        assert table[row, "beats_f1", "5hz"].mean < table["model", "beats_f1", "5hz"].mean - 15
    assert table["silence", "beats_f1", "5hz"].mean == 0
    assert ("silence", "tempo_difference", "bpm") not in table or table[
        "silence", "tempo_difference", "bpm"
    ].n_clips == 0
    assert table["metronome", "beats_hit", "d2m"].mean > 95


def test_copies_and_distances(table):
    assert table["model", "copy_distance", "tokens"].mean == 100
    assert table["model", "copied", "tokens"].mean == 0
    assert abs(table["ground_truth", "kad", "mfcc"].mean) < abs(table["noise", "kad", "mfcc"].mean)
    assert math.isnan(table["model", "kad", "mfcc"].low)


def test_the_files_hold_the_same_figures(evaluated, table):
    _, reports = evaluated
    folder = reports / "metrics" / "toy"
    for result in read_results(folder / "table.csv"):
        kept = table[result.row, result.metric, result.protocol]
        assert result.mean == pytest.approx(kept.mean, rel=1e-5, nan_ok=True)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["beats_f1_5hz"] == pytest.approx(
        table["model", "beats_f1", "5hz"].mean, abs=1e-5
    )
    assert metrics["metronome/beats_hit_d2m"] == pytest.approx(
        table["metronome", "beats_hit", "d2m"].mean, abs=1e-5
    )
    with open(folder / "clips.csv", newline="") as handle:
        lines = [
            line
            for line in csv.DictReader(handle)
            if (line["row"], line["metric"]) == ("model", "genre_accuracy")
        ]
    assert len(lines) == 6


def test_an_evaluation_repeats_exactly(dance_data, evaluated):
    again = evaluate_dance(dance_data, describe_clips(dance_data), SETTINGS)
    assert [str(r) for r in again.results] == [str(r) for r in evaluated[0].results]


def test_a_damaged_table_is_refused(tmp_path):
    (tmp_path / "table.csv").write_text("row,metric\nmodel,f1\n")
    with pytest.raises(UserError, match="damaged"):
        read_results(tmp_path / "table.csv")
    with pytest.raises(UserError, match="evaluate"):
        read_results(tmp_path / "none.csv")


def test_examples_spread_over_songs():
    assert spread(["a", "a", "a", "b", "b", "c"], 4) == [0, 3, 5, 1]

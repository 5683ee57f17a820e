"""Figures that few items cannot carry are withheld, with a reason and without warnings."""

import math
import warnings

import numpy as np
import pytest

from pipeline.metrics.bootstrap import draw_weights
from pipeline.metrics.dance import Clips
from pipeline.metrics.dance_summary import summarise
from pipeline.metrics.few import withhold
from pipeline.metrics.results import Evaluation, Result
from pipeline.reporting.facts import facts
from pipeline.reporting.tables import blocks, markdown
from pipeline.storage.manifest import Clip, Manifest, thin_test

KEY = ("beats_f1", "loris")


def line(metric, n_clips, n_songs):
    return Result("model", metric, "loris", 50.0, 1.0, 40.0, 60.0, n_clips, n_songs, 3)


@pytest.mark.parametrize(
    ("metric", "clips", "songs", "mean", "interval"),
    [
        ("beats_f1", 1, 1, True, False),
        ("beats_f1", 100, 4, True, False),
        ("beats_f1", 5, 5, True, True),
        ("fad", 9, 9, False, False),
        ("kad", 2, 1, False, False),
        ("fid", 10, 10, True, True),
    ],
)
def test_only_what_the_items_carry_is_kept(metric, clips, songs, mean, interval):
    found = withhold(Evaluation([line(metric, clips, songs)], [], {"n_clips": clips}))
    (result,) = found.results
    assert math.isfinite(result.mean) == mean
    assert math.isfinite(result.low) == math.isfinite(result.high) == interval
    assert ("withheld" in found.remarks) == (not (mean and interval))
    assert ("shows" in found.remarks) == ("withheld" in found.remarks)
    assert found.remarks["n_clips"] == clips


def test_what_few_items_can_and_cannot_show_is_said():
    shows = withhold(Evaluation([line("fad", 6, 4)], [], {})).remarks["shows"]
    assert shows.startswith("The test split has 6 items of 4 songs, and a report rests on 10 of 5")
    assert "do not show" in shows


def test_a_report_of_one_clip_says_so():
    found = withhold(Evaluation([line("beats_f1", 1, 1), line("fad", 1, 1)], [], {}))
    table = markdown(blocks(found.results)[0])
    assert "50.0 ± 1.0 |" in table.replace("**", "")
    assert "[" not in table
    (told,) = [value for words, value in facts(found.remarks) if "too small" in words]
    assert "FAD (of fewer than 10 items)" in told
    assert "intervals (over fewer than 5 songs or pictures)" in told


def test_one_clip_is_summed_up_without_a_warning():
    clips = Clips(["a"], ["song"], None, 2.0, [np.zeros(0)], None)
    figures = {
        (f"beats_{name}", "loris"): np.array([[100.0]]) for name in ("coverage", "hit", "precision")
    } | {("tempo_difference", "bpm"): np.array([[np.nan]])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = summarise(
            "model", figures, clips, draw_weights(["song"], 20, np.random.default_rng(0))
        )
        withhold(Evaluation(results, [], {}))
    assert {result.mean for result in results if result.metric == "beats_f1"} == {100.0}


def test_a_thin_test_split_is_told_when_it_is_made(tmp_path):
    def manifest(n_clips, n_songs):
        clips = [
            Clip(str(number), "a.mp4", "test", song=str(number % n_songs))
            for number in range(n_clips)
        ]
        return Manifest(tuple(clips), tmp_path)

    assert "1 clips of 1 songs" in thin_test(manifest(1, 1))
    assert thin_test(manifest(50, 2))
    assert thin_test(manifest(10, 5)) is None

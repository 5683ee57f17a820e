"""`cdcd watch` shows the curves of a finished training and of one that goes on."""

import pytest
from typer.testing import CliRunner

from pipeline.reporting.terminal import EMPTY, plot
from pipeline.runtime.errors import UserError
from pipeline.training.following import announce
from stages.__main__ import app
from stages.watch import read

CURVE = "step,main,validation\n10,3.5,\n20,2.5,2.75\n30,1.5,\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["watch", *words], catch_exceptions=False).output


def test_a_finished_training_is_shown_once(place):
    with pytest.raises(UserError, match="history.csv does not exist; run `cdcd train digits`"):
        run("digits")
    (place / "data/digits/model").mkdir(parents=True)
    (place / "data/digits/model/history.csv").write_text(CURVE)
    told = run("digits")
    assert "digits: finished" in told
    assert "3.5" in told  # the top of the plot
    assert any(ord(letter) > EMPTY for letter in told)
    with pytest.raises(UserError, match="no column 'loss'; it has step, main, validation"):
        run("digits", "--show", "loss")


def test_a_training_that_goes_on_is_shown_with_its_pace(place):
    (place / "work").mkdir()
    announce(place / "work", "digits", 90)
    assert "no rows yet" in run("digits", "--once")
    (place / "work/history.csv").write_text(CURVE + "40,1.")  # a line that is being written
    (place / "work/pace.csv").write_text("step,tokens_per_s,memory_mb,left_s\n30,1234,567,119\n")
    told = run("digits", "--once")
    assert "step 30 of 90, 1234 tokens/s, 567 MB, 2 min left" in " ".join(told.split())
    assert [row["step"] for row in read(place / "work/history.csv")] == [10, 20, 30]


def test_a_plot_puts_greater_values_higher():
    lines = plot({"falling": [(0, 4.0), (1, 2.0)], "nan": [(0, float("nan"))]}, 24, 4).plain
    first, *_, last = lines.splitlines()[:4]
    assert first.startswith("4 ")
    assert last.startswith("2 ")
    assert [ord(letter) > EMPTY for letter in first].index(True) < 4
    assert ord(last[-1]) > EMPTY
    assert plot({}, 24, 4).plain == "no rows yet"

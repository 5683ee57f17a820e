"""The listening test: blinded, the same each time, usable in a browser; and the way of its answers
into the tables.
"""

import json
import math
import re
import shutil

import pytest
from scipy.stats import sem
from scipy.stats import t as student

from pipeline.reporting.listening import gather, write_listening_test
from pipeline.reporting.listening_results import (
    opinion_scores,
    read_answers,
    read_key,
    read_mos,
    write_mos,
)
from pipeline.reporting.report import read_section
from pipeline.runtime.errors import UserError
from tests.reporting.test_report import CHROMIUM, chromium

SYSTEMS = ("ground_truth", "model", "model_shuffled")


@pytest.fixture(scope="module")
def study(evaluated, tmp_path_factory):
    """The folder of a listening test over the toy examples."""
    trials = gather({"model": evaluated[1] / "examples" / "toy"}, SYSTEMS, 2)
    page = write_listening_test(tmp_path_factory.mktemp("study") / "test", trials, 2, seed=5)
    return page.parent


def content(folder):
    text = (folder / "index.html").read_text()
    return json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.S)[1])


def answers(folder, listener, rate):
    """A listener's file; `rate` says what the trial of the key gets."""
    key = read_key(folder / "key.json")
    ratings = {code: rate(trial) for code, trial in key["trials"].items()}
    path = folder.parent / f"{listener}.json"
    path.write_text(
        json.dumps(
            {
                "format": key["format"],
                "study": key["study"],
                "listener": listener,
                "ratings": ratings,
            }
        )
    )
    return path


def honest(offset):
    scores = {"ground_truth": 5, "model": 3, "model_shuffled": 1}
    return lambda trial: trial["expected"] or min(5, max(1, scores[trial["system"]] + offset))


def test_every_item_meets_every_system_in_both_tests(study):
    trials = read_key(study / "key.json")["trials"].values()
    rated = [(t["test"], t["item"], t["system"]) for t in trials if t["system"] != "attention"]
    assert len(rated) == len(set(rated)) == 2 * 2 * len(SYSTEMS)
    assert sum(t["system"] == "attention" for t in trials) == 2


def test_the_page_is_blind(study):
    text = (study / "index.html").read_text()
    stripped = re.sub(
        r"<style>.*?</style>|data:[a-z]+/[a-z0-9]+;base64,[A-Za-z0-9+/=]+", "", text, flags=re.S
    )
    for word in (*SYSTEMS, "attention", "expected", "break_", "shuffled_"):
        assert word not in stripped
    assert {path.name for path in study.iterdir()} == {"index.html", "key.json"}
    codes = [trial["code"] for trial in content(study)["trials"]]
    assert codes != sorted(
        codes, key=lambda code: list(read_key(study / "key.json")["trials"]).index(code)
    )


def test_the_same_seed_gives_the_same_page(study, evaluated, tmp_path):
    trials = gather({"model": evaluated[1] / "examples" / "toy"}, SYSTEMS, 2)
    again = write_listening_test(tmp_path / "again", trials, 2, seed=5)
    other = write_listening_test(tmp_path / "other", trials, 2, seed=6)
    assert again.read_bytes() == (study / "index.html").read_bytes()
    assert content(other.parent)["study"] != content(study)["study"]


def test_several_runs_are_rated_under_their_labels(evaluated):
    folder = evaluated[1] / "examples" / "toy"
    names = {trial.system for trial in gather({"model": folder, "vanilla": folder}, SYSTEMS, 1)}
    assert names == {*SYSTEMS, "vanilla"}
    with pytest.raises(UserError, match="no sound of 'echo'"):
        gather({"model": folder}, ("echo",), 1)
    with pytest.raises(UserError, match="cdcd evaluate"):
        gather({"model": folder / "nothing"}, SYSTEMS, 1)


def test_round_trip_from_answers_to_the_tables(study, evaluated, tmp_path):
    key = read_key(study / "key.json")
    files = [answers(study, f"listener{k}", honest(offset)) for k, offset in enumerate((-1, 0, 0))]
    results, failed = opinion_scores([read_answers(path, key) for path in files])
    table = {(r.metric, r.row): r for r in results}
    assert not failed
    assert len(table) == 2 * len(SYSTEMS)
    truth = table["mos_coherence", "ground_truth"]
    means = [4, 5, 5]
    half = student.ppf(0.975, 2) * sem(means)
    assert (truth.mean, truth.low, truth.high) == pytest.approx(
        (14 / 3, 14 / 3 - half, 14 / 3 + half)
    )
    assert (truth.n_clips, truth.n_songs, truth.n_seeds) == (6, 2, 3)
    write_mos(tmp_path / "toy.csv", results)
    assert [r.mean for r in read_mos(tmp_path / "toy.csv")] == pytest.approx(
        [r.mean for r in results], rel=1e-5
    )
    section = read_section("toy", evaluated[1] / "metrics", evaluated[1] / "examples", tmp_path)
    paper_table = next(block for block in section.blocks if block.name == "beats_d2m")
    assert ("mos_coherence", "listeners") in paper_table.columns
    assert dict(paper_table.rows)["model"]["mos_quality", "listeners"].n_seeds == 3


def test_who_does_not_listen_is_left_out(study):
    key = read_key(study / "key.json")
    careless = answers(study, "careless", lambda trial: (trial["expected"] or 2) % 5 + 1)
    careful = answers(study, "careful", honest(0))
    results, failed = opinion_scores([read_answers(path, key) for path in (careless, careful)])
    assert failed == ["careless"]
    assert all(r.n_seeds == 1 and math.isnan(r.low) for r in results)
    with pytest.raises(UserError, match="passed"):
        opinion_scores([read_answers(careless, key)])
    with pytest.raises(UserError, match="more than one file"):
        opinion_scores([read_answers(careful, key)] * 2)


RATED_NINE = '{"format": "cdcd-listening-1", "study": "x", "listener": "a", "ratings": {"q": 9}}'


@pytest.mark.parametrize("text", ["", "[]", "{}", RATED_NINE])
def test_what_is_no_answer_is_refused(study, tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="a.json"):
        read_answers(tmp_path / "a.json", read_key(study / "key.json"))


def test_answers_of_another_test_are_refused(study, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(
        '{"format": "cdcd-listening-1", "study": "another", "listener": "a", "ratings": {}}'
    )
    with pytest.raises(UserError, match="another listening test"):
        read_answers(path, read_key(study / "key.json"))


@pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (apt-get install chromium)"
)
def test_a_listener_can_finish_stop_and_go_on(study, tmp_path):
    """A script plays the listener: rates half, comes back to the same page, rates the rest; the
    answers are then read.
    """
    robot = """<script>addEventListener("load", () => {
      const rateOne = () => {
        $("audio").dispatchEvent(new Event("ended"));
        document.querySelector("input[value='4']").checked = true;
        $("form").dispatchEvent(new Event("change")); $("form").requestSubmit(); };
      localStorage.clear();
      $("listener").value = "robot 1"; $("start").click();
      const first = current.code, before = $("scale").disabled && $("next").disabled;
      for (let k = 0; k < 7; k++) rateOne();
      const kept = Object.keys(ratings).length;
      ratings = {}; order = []; current = null; $("start").click();
      const resumed = Object.keys(ratings).length;
      const sameOrder = order[0].code === first, parts = order.map(t => t.test).join(" ");
      while (current) rateOne();
      const ended = !$("end").hidden, file = answers();
      const seen = { before, kept, resumed, sameOrder, ended, parts, file };
      document.body.dataset.end = JSON.stringify(seen);
    });</script>"""
    copy = tmp_path / "page.html"
    copy.write_text((study / "index.html").read_text().replace("</body>", robot + "</body>"))
    shown = chromium(copy.as_uri(), "--dump-dom", profile=tmp_path / "profile")
    found = re.search(r'data-end="(.*?)"', shown)
    assert found, "the listener's script did not finish"
    seen = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    assert (seen["before"], seen["kept"], seen["resumed"], seen["sameOrder"], seen["ended"]) == (
        True,
        7,
        7,
        True,
        True,
    )
    assert seen["parts"] == " ".join(["coherence"] * 6 + ["quality"] * 8)
    (tmp_path / "robot.json").write_text(seen["file"])
    answered = read_answers(tmp_path / "robot.json", read_key(study / "key.json"))
    assert len(answered["answers"]) == 14
    assert {answer["rating"] for answer in answered["answers"]} == {4}


def test_the_test_needs_music(tmp_path):
    (tmp_path / "examples.json").write_text('{"task": "image", "items": []}')
    with pytest.raises(UserError, match="no dance examples"):
        gather({"model": tmp_path}, SYSTEMS, 1)
    shutil.rmtree(tmp_path)

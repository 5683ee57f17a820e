"""What a study's rows say: differences that are there are found, those of luck are not, and the
page is rebuilt from the rows alone.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.metrics.results import Result
from pipeline.reporting.luck import called, headlines
from pipeline.reporting.study import verdicts, write_study
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.study.cost import seconds_left
from pipeline.study.differences import (
    at_equal,
    difference,
    over_seeds,
    settings_of,
    settle,
    verdict,
    with_shared_seeds,
)
from pipeline.study.grid import Claim, Grid, plan, read_grid
from pipeline.study.luck import Luck, luck_for, luck_of
from pipeline.study.rows import Row, of_one_world, read_row, read_rows, write_row
from tests.helpers.house import ROOT
from tests.helpers.study_grid import MEASURED

ITEMS = 200
FIXED = (1.0, math.nan, math.nan, ITEMS, ITEMS, 3)


def row(run, seed, top1, fid=20.0, sampling="g1", world="w", luck=0.0):
    """A row whose accuracy is `top1` percent of 200 pictures, plus the luck of its training."""
    generator = np.random.default_rng([len(run), seed])
    hits = generator.permutation(np.arange(ITEMS) < round(ITEMS * (top1 + luck) / 100)) * 100.0
    figures = {("top1_accuracy", "judge"): hits.mean(), ("fid", "judge, train"): fid + luck}
    results = [
        Result("model", *name, float(mean), 1.0, math.nan, math.nan, ITEMS, ITEMS, 3)
        for name, mean in figures.items()
    ]
    return Row(
        dataset="digits",
        run=run,
        seed=seed,
        sampling=sampling,
        split="val",
        contrast="vanilla",
        difference={"train.seed": seed},
        settings="s",
        world=world,
        commit="abc",
        machine="two cores",
        seconds={"train": 90.0, "sample": 30.0, "evaluate": 10.0},
        parameters=10,
        sampling_seeds=[0, 1, 2],
        results=results,
        ids="same",
        songs=[],
        items={"top1_accuracy/judge": [float(hit) for hit in hits]},
    )


def rows_of(run, top1, lucks=(-1.0, 0.0, 1.0), **more):
    return [row(run, seed, top1, luck=luck, **more) for seed, luck in enumerate(lucks)]


GRID = validate(
    Grid,
    {
        "seeds": [0, 1, 2],
        **MEASURED,
        "runs": {
            "vanilla": {"contrast": "vanilla", "samplings": ["g1", "g2"]},
            "inter": {"contrast": "sample_inter", "samplings": ["g1"]},
        },
        "sweeps": [
            {"title": "Table 6", "along": "contrast", "lines": {"": ["vanilla/g1", "inter/g1"]}}
        ],
        "claims": [
            {
                "says": "helps",
                "better": "inter/g1",
                "than": "vanilla/g1",
                "metric": "top1_accuracy/judge",
                "matters": 2.0,
            }
        ],
    },
    "",
    "grid.yaml",
)


def test_a_row_comes_back_from_its_file_as_it_was(tmp_path):
    one = row("vanilla", 0, 90.0)
    assert write_row(tmp_path, one).name == "vanilla__g1__s0.json"
    back = read_row(tmp_path / "vanilla__g1__s0.json")
    assert str(back) == str(one)  # NaN is not equal to itself
    (tmp_path / "broken__g1__s0.json").write_text('{"dataset": "digits"}')
    with pytest.raises(UserError, match="broken__g1__s0"):
        read_rows(tmp_path)


def test_a_difference_far_beyond_both_lucks_is_found_and_pairing_takes_the_seed_out():
    better, plain = rows_of("inter", 96.0), rows_of("vanilla", 80.0)
    found = difference(better, plain, "top1_accuracy/judge")
    assert found.mean == pytest.approx(16.0, abs=0.6)
    assert 8 < found.low < found.mean < found.high < 24
    assert over_seeds(plain, "top1_accuracy/judge").deviation == pytest.approx(1.0, abs=0.1)
    same_luck = difference(rows_of("a", 0, fid=22.0), rows_of("b", 0, fid=20.0), "fid/judge, train")
    assert (same_luck.low, same_luck.high) == pytest.approx((2.0, 2.0))


def test_one_training_or_opposite_lucks_conclude_nothing():
    plain = rows_of("vanilla", 80.0)
    assert math.isnan(difference(rows_of("inter", 90.0)[:1], plain, "fid/judge, train").low)
    lucky = rows_of("inter", 80.0, lucks=(5.0, -4.0, 1.0))
    found = difference(lucky, plain, "fid/judge, train")
    assert found.low < 0 < found.high
    assert difference(lucky, [], "fid/judge, train").n_seeds == 0


def test_an_interval_covers_a_difference_of_nothing_as_often_as_it_says():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(400):
        lucks = generator.normal(0, 2, (2, 3))
        a, b = (
            [row_of_luck("r", seed, luck) for seed, luck in enumerate(three)] for three in lucks
        )
        found = difference(a, b, "fid/judge, train")
        covered += found.low <= 0 <= found.high
    assert 0.92 < covered / 400 < 0.98


def row_of_luck(run, seed, luck):
    """A row with a distance alone, which is quick to make."""
    one = Result("model", "fid", "judge, train", 20 + luck, 1.0, math.nan, math.nan, 2, 2, 3)
    made = row(run, seed, 50.0)
    return Row(**{**vars(made), "results": [one], "items": {}})


@pytest.mark.parametrize(
    ("top1", "says"),
    [(96.0, "confirmed"), (80.0, "not confirmed"), (70.0, "not confirmed")],
)
def test_verdicts_follow_their_rule(top1, says):
    claim = GRID.claims[0].model_copy(update={"matters": 8.0})
    settings = {
        "vanilla/g1": rows_of("vanilla", 80.0),
        "inter/g1": rows_of("inter", top1),
    }
    assert settle(claim, settings, ("g1",), up_is_better=True)[1] == says
    assert settle(claim, {}, ("g1",), up_is_better=True)[1] == "could not be told"
    small = claim.model_copy(update={"matters": 0.01})
    if top1 == 80.0:  # an interval that holds zero and the difference that counts
        assert settle(small, settings, ("g1",), up_is_better=True)[1] == "could not be told"


def test_less_is_better_for_distances():
    claim = Claim(says="", better="a", than="b", metric="fid/judge, train", matters=1.0)
    found = difference(rows_of("a", 80, fid=15.0), rows_of("b", 80, fid=20.0), "fid/judge, train")
    assert verdict(claim, found, up_is_better=False) == "confirmed"
    assert verdict(claim, found, up_is_better=True) == "not confirmed"


def test_at_equal_adherence_a_curve_is_read_between_its_points():
    curve = rows_of("vanilla", 80.0, fid=20.0) + rows_of("vanilla", 90.0, fid=30.0, sampling="g2")
    points = rows_of("inter", 85.0, fid=21.0)
    found = at_equal(points, curve, "fid/judge, train", "top1_accuracy/judge")
    assert found.mean == pytest.approx(-4.0, abs=0.3)
    assert found.n_seeds == 3
    outside = at_equal(rows_of("inter", 99.0), curve, "fid/judge, train", "top1_accuracy/judge")
    assert outside.n_seeds == 0
    assert math.isnan(outside.mean)


def test_the_luck_of_training_is_pooled_and_limits_differences():
    rows = rows_of("vanilla", 80.0) + rows_of("inter", 90.0, lucks=(-3.0, 0.0, 3.0))
    luck = luck_of(rows)["fid/judge, train"]
    assert luck.deviation == pytest.approx(math.sqrt((1 + 9) / 2))
    assert luck.n_trainings == 6
    assert luck.of_difference(1, 1) == pytest.approx(1.96 * luck.deviation * 2**0.5)
    assert luck_of(rows[:1]) == {}
    # another sampling of the same trainings counts none anew, one without its condition or of
    # another length not at all
    rows += rows_of("vanilla", 85.0, lucks=(-2.0, 0.0, 2.0), sampling="g2")
    for name, key in (("blind", {"sample.without": "motion"}), ("short", {"train.steps": 300})):
        other = rows_of(name, 20.0, lucks=(-9.0, 0.0, 9.0))
        rows += [replace(one, difference=key) for one in other]
    again = luck_of(rows)["fid/judge, train"]
    assert again.deviation == pytest.approx(math.sqrt(((1 + 4) / 2 + 9) / 2))
    assert again.n_trainings == 6
    rows += rows_of("apart", 50.0, lucks=(-30.0, 0.0, 30.0))
    assert luck_of(rows)["fid/judge, train"].deviation == pytest.approx(3.0)
    validation = {"fid/judge, val": luck}
    assert luck_for("fid", "judge, test", validation) is luck
    assert luck_for("kad", "mfcc", validation) is None


def test_the_page_is_rebuilt_from_rows_and_tells_other_worlds_apart(tmp_path):
    rows = [*rows_of("vanilla", 80.0), *rows_of("inter", 96.0, fid=25.0)]
    for one in [*rows, row("vanilla", 2, 90.0, fid=33.0, sampling="g2", world="other")]:
        write_row(tmp_path / "digits", one)
    write_study(tmp_path, {"digits": GRID, "toy_dance": GRID})
    text = (tmp_path / "README.md").read_text()
    assert "| vanilla/g1 | 80.0 ± 1.0 | 20.00 ± 1.00 | 3 |" in text
    assert "**confirmed**" in text
    assert "vanilla__g2__s2" in text.split("left out")[1]
    assert "Table 6" in text
    assert "toy_dance" not in text
    assert "| inter/g1 − vanilla | **+16.0 [" in text
    assert (tmp_path / "figures" / "digits_val_plane_0.png").stat().st_size > 2000
    assert [len(part) for part in of_one_world(read_rows(tmp_path / "digits"))] == [6, 1]


def test_a_run_is_compared_with_the_run_that_it_names(tmp_path):
    short = {"short": {"contrast": "vanilla", "samplings": ["g1"]}}
    named = {"inter": GRID.runs["inter"].model_copy(update={"against": "short"}).model_dump()}
    content = GRID.model_dump()
    content["runs"] |= short | named
    grid = validate(Grid, content, "", "grid.yaml")
    for one in rows_of("vanilla", 80.0) + rows_of("short", 60.0) + rows_of("inter", 64.0):
        write_row(tmp_path / "digits", one)
    write_study(tmp_path, {"digits": grid})
    text = (tmp_path / "README.md").read_text()
    assert "| inter/g1 − short | **+4.0 [" in text
    assert "| short/g1 − vanilla | **-20.0 [" in text
    assert "| helps | not run | – | inter/g1 − vanilla/g1 | 0 |" not in text
    content["runs"]["inter"]["against"] = "none"
    with pytest.raises(UserError, match=r"runs\.inter\.against names 'none', which is no run"):
        validate(Grid, content, "", "grid.yaml")


def test_a_run_goes_on_from_what_the_run_sets_that_it_is_compared_with():
    content = GRID.model_dump()
    content["shared"] = {"train.batch_size": 8}
    content["runs"] |= {
        "short": {"contrast": "vanilla", "set": {"train.steps": 5}, "samplings": ["g1"]},
        "coarse": {
            "contrast": "vanilla",
            "against": "short",
            "set": {"train.diffusion_steps": 4},
            "samplings": ["g1"],
        },
        "both": {
            "contrast": "step_intra",
            "against": "coarse",
            "set": {"train.steps": 6},
            "samplings": ["g1"],
        },
    }
    grid = validate(Grid, content, "", "grid.yaml")
    shared = {"train.batch_size": 8}
    assert grid.difference("coarse") == shared | {"train.steps": 5, "train.diffusion_steps": 4}
    assert grid.difference("both") == shared | {"train.steps": 6, "train.diffusion_steps": 4}
    planned = plan("digits", grid, only="both")[0]
    assert planned.difference["train.diffusion_steps"] == 4
    content["runs"]["short"]["against"] = "both"
    with pytest.raises(UserError, match=r"runs\.short\.against leads back to 'short'"):
        validate(Grid, content, "", "grid.yaml")


def test_a_sweep_is_over_the_trainings_that_all_its_settings_have(tmp_path):
    for one in rows_of("vanilla", 80.0, lucks=(-1.0, 0.0, 1.0, 9.0)) + rows_of("inter", 90.0):
        write_row(tmp_path / "digits", one)
    write_study(tmp_path, {"digits": GRID})
    table = (tmp_path / "README.md").read_text().split("#### Table 6")[1]
    assert "| vanilla/g1 | 80.0 ± 1.0 | 20.00 ± 1.00 | 3 |" in table
    apart = {"a/g1": rows_of("vanilla", 80.0), "b/g1": [row("inter", 7, 90.0)]}
    assert with_shared_seeds(apart) == apart


def test_a_claim_on_a_figure_without_a_better_side_says_which_it_means():
    rows = [*rows_of("vanilla", 80.0), *rows_of("inter", 90.0)]
    told = [
        replace(one, results=[Result("model", "adherence", "validation", value, *FIXED)])
        for one, value in zip(rows, (0.2, 0.21, 0.22, -0.1, -0.08, -0.09))
    ]
    asked = {"says": "tells more", "better": "inter/g1", "than": "vanilla/g1", "matters": 0.01}
    content = GRID.model_dump() | {"claims": [asked | {"metric": "adherence/validation"}]}
    grid = validate(Grid, content, "", "grid.yaml")
    with pytest.raises(UserError, match="'tells more' needs `more: true` or `more: false`"):
        verdicts(grid, settings_of(told), "val")
    for more, said in ((True, "**not confirmed**"), (False, "**confirmed**")):
        content["claims"][0]["more"] = more
        grid = validate(Grid, content, "", "grid.yaml")
        assert f"| tells more | {said} |" in verdicts(grid, settings_of(told), "val")


def test_claims_without_rows_are_not_run_and_the_test_split_leaves_them_out(tmp_path):
    for split in ("val", "test"):
        for one in rows_of("vanilla", 80.0):
            write_row(tmp_path / "digits", replace(one, split=split))
    write_study(tmp_path, {"digits": GRID})
    chosen, confirmed = (tmp_path / "README.md").read_text().split("### digits, test")
    assert "| helps | not run | – | inter/g1 − vanilla/g1 | 0 |" in chosen
    assert "| helps |" not in confirmed
    assert "Table 6" not in chosen  # one setting alone compares nothing


def test_patterns_and_seeds_choose_rows_and_the_rest_is_costed():
    rows = plan("digits", GRID, only="inter,vanilla__g2__s0")
    assert [one.name for one in rows] == ["vanilla__g2__s0"] + [
        f"inter__g1__s{n}" for n in range(3)
    ]
    assert {one.seed for one in plan("digits", GRID, seeds=(1,))} == {1}
    with pytest.raises(UserError, match="vanilla, inter"):
        plan("digits", GRID, only="nothing")
    assert seconds_left(rows, GRID, []) == 4 * 60 + 4 * 60
    assert seconds_left(rows, GRID, rows_of("inter", 90.0)) == 4 * 90 + 60 + 3 * 40


@pytest.mark.parametrize("name", ["digits", "toy_dance", "toy_shapes"])
def test_the_shipped_grids_are_sound(name):
    grid = read_grid(ROOT / "params" / "study" / f"{name}.yaml")
    rows = plan(name, grid)
    assert len({one.name for one in rows}) == len(rows)
    made = {f"{one.run}/{one.sampling}" for one in rows}
    claimed = {claim.better for claim in grid.claims} | {
        name for sweep in grid.sweeps for line in sweep.lines.values() for name in line
    }
    assert claimed <= made
    for claim in grid.claims:
        assert len([one for one in rows if f"{one.run}/{one.sampling}" == claim.better]) >= 3


def accuracy(row, mean):
    return Result(row, "top1_accuracy", "judge", mean, 1.0, 88.0, 92.0, ITEMS, ITEMS, 3)


def test_headlines_carry_both_spreads_or_say_that_one_is_unknown():
    known = {"top1_accuracy/judge": Luck(2.5, 12)}
    (told,) = headlines([accuracy("model", 90.0)], known)
    assert told == (
        "Top-1 accuracy (judge trained here)",
        "90.0 ± 1.0 over sampling seeds, ± 2.5 over training seeds (12 trainings of the study)",
    )
    assert "over training seeds unknown" in headlines([accuracy("model", 90.0)], {})[0][1]


def test_a_comparison_calls_no_difference_below_the_luck_of_training():
    results = [accuracy("vanilla", 90.0), accuracy("near", 93.0), accuracy("far", 99.0)]
    trainings, known = dict.fromkeys(("near", "vanilla", "far"), 1), {}
    assert "no difference between trainings is called one" in called(results, trainings, {}, "x")
    known["top1_accuracy/judge"] = Luck(2.0, 12)  # two trainings: 1.96 x 2 x sqrt 2 = 5.5
    text = called(results, trainings, known, "x")
    assert "| near − vanilla | Top-1 accuracy (judge trained here) | +3.0 | 5.5 | **no diff" in text
    assert "| far − vanilla | Top-1 accuracy (judge trained here) | +9.0 | 5.5 | **a diff" in text
    trainings = {"near": 5, "vanilla": 5}
    assert "**a difference**" in called(results, trainings, known, "x")

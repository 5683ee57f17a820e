"""The report's table of what guidance buys and costs rests on the baseline's rows alone."""

from dataclasses import replace

from pipeline.reporting.guidance import guidance_table
from pipeline.study.rows import write_row
from tests.reporting.test_study import row


def written(folder, run, seed, top1, weight, tail=""):
    made = row(run, seed, top1, sampling=f"g{weight:g}{tail}")
    key = {"train.seed": seed, "sample.sampling.guidance": weight}
    write_row(folder, replace(made, difference=key))


def test_guidance_is_a_line_a_weight_with_the_spread_over_trainings(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    assert guidance_table(tmp_path, "digits") is None
    for seed, top1 in enumerate((90.0, 94.0)):
        written(folder, "vanilla", seed, top1, 1.0)
        written(folder, "vanilla", seed, top1 + 4, 2.0)
        written(folder, "inter_0.1", seed, 50.0, 2.0)
        written(folder, "vanilla", seed, 10.0, 3.0, tail="_rising")
    titles, lines = guidance_table(tmp_path, "digits")
    assert titles[0] == ""
    assert titles[1].startswith("Top-1 accuracy")
    assert [line[0] for line in lines] == ["guidance 1", "guidance 2"]
    assert [line[1] for line in lines] == ["92.0 ± 2.8", "96.0 ± 2.8"]
    assert [line[-1] for line in lines] == ["2", "2"]

"""Experiments side by side, on a real DVC project in miniature."""

from pathlib import Path

import pytest
from dvc.repo import Repo
from git import Repo as Git

from pipeline.metrics.results import Evaluation, Result, read_results, write_evaluation
from pipeline.reporting.comparison import write_comparison
from pipeline.reporting.experiments import Run, collect, comparable, label, merge
from pipeline.runtime.errors import UserError

OWN = "contrast: sample_intra\ntrain: {{seed: 0, diffusion_steps: {}}}\n"
LOCK = """
stages:
  train@toy:
    params:
      params.yaml: {{contrast: {}}}
      params/toy.yaml: {{contrast: sample_intra, train: {{seed: 0, diffusion_steps: {}}}}}
"""


def write_settings(root, contrast, steps):
    (root / "params").mkdir(exist_ok=True)
    (root / "params.yaml").write_text(f"contrast: {contrast}\n")
    (root / "params" / "toy.yaml").write_text(OWN.format(steps))


def result(row, mean, metric="beats_f1", protocol="5hz"):
    return Result(row, metric, protocol, mean, 0.5, mean - 1, mean + 1, 8, 4, 3)


def run(name, values, mean, others="same", metronome=40.0):
    return Run(
        name,
        values,
        others,
        [result("model", mean), result("model_shuffled", 20.0), result("metronome", metronome)],
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A DVC project with three finished experiments: two contrasts, and one that differs in T as
    well.
    """
    root = tmp_path_factory.mktemp("project")
    repository = Git.init(root)
    with repository.config_writer() as config:
        config.set_value("user", "name", "test").set_value("user", "email", "test@example.org")
    project = Repo.init(str(root))
    write_settings(root, "vanilla", 40)
    repository.git.add(all=True)
    repository.index.commit("start")
    experiments = [
        ("other", "vanilla", 20, 52.0),
        ("plain", "vanilla", 40, 54.0),
        ("new", "step_intra", 40, 59.0),
        ("own", "preset", 40, 57.0),
    ]
    for name, contrast, steps, mean in experiments:
        write_settings(root, contrast, steps)
        (root / "dvc.lock").write_text(LOCK.format(contrast, steps))
        results = run(name, (), mean).results
        write_evaluation(Evaluation(results, [], {}), root / "reports" / "metrics" / "toy")
        repository.git.add(all=True)
        project.experiments.save(name=name)
    write_settings(root, "sample_inter", 40)  # as in a queued run: not yet what was measured
    repository.git.add(all=True)
    project.experiments.save(name="queued")
    project.close()
    return root


def test_experiments_of_a_project_become_a_table(project, monkeypatch):
    monkeypatch.chdir(project)
    runs = collect("toy", ["contrast"])
    assert {run.values for run in runs} == {("vanilla",), ("step_intra",), ("sample_intra",)}
    left_out = write_comparison(
        Path("reports/compare/toy"), "Table 6", "toy", ["contrast"], runs, "Table 6"
    )
    assert [run.name for run in left_out] == ["other"]
    text = Path("reports/compare/toy.md").read_text()
    assert text.index("| vanilla | 54.0 ± 0.5 [53.0, 55.0]") < text.index(
        "| step_intra | 59.0 ± 0.5 [58.0, 60.0]"
    )
    assert text.index("| vanilla, shuffled conditions | 20.0") < text.index("| Metronome | 40.0")
    assert text.count("| Metronome ") == 1
    assert Path("reports/compare/toy.png").stat().st_size > 1000
    assert len(read_results(Path("reports/compare/toy.csv"))) == 7


def test_a_numeric_setting_is_drawn_as_a_curve(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    runs = collect("toy", ["train.diffusion_steps", "contrast"])
    assert {run.values for run in runs} == {(20, "vanilla")} | {
        (40, kind) for kind in ("vanilla", "step_intra", "sample_intra")
    }
    assert not write_comparison(
        tmp_path / "t", "Figure 4", "toy", ["train.diffusion_steps", "contrast"], runs, "Figure 4"
    )
    assert (tmp_path / "t.png").stat().st_size > 2000


def test_the_published_rows_of_other_data_stand_apart(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    runs = collect("toy", ["contrast"])
    for title, told in (("Table 6", True), ("Table 66", False)):
        write_comparison(tmp_path / "t", title, "toy", ["contrast"], runs, title)
        text = (tmp_path / "t.md").read_text()
        assert ("[published.md](../tables/published.md)" in text) is told
        assert "CDCD step_intra" not in text


def test_what_cannot_be_compared_is_one_sentence(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match="no key 'train.depth'"):
        collect("toy", ["train.depth"])
    with pytest.raises(UserError, match="No experiment has evaluated shapes"):
        collect("shapes", ["contrast"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="DVC project"):
        collect("toy", ["contrast"])


def test_repetitions_are_averaged_with_the_deviation_over_trainings():
    results, labels = merge(
        [run("a", ("vanilla",), 50.0), run("b", ("vanilla",), 54.0)], ["contrast"]
    )
    assert labels == {("vanilla",): "vanilla (2 trainings)"}
    model = next(r for r in results if r.row == "vanilla (2 trainings)")
    assert (model.mean, model.std) == pytest.approx((52.0, 8**0.5))
    assert model.low != model.low


def test_controls_that_differ_are_shown_for_each_run():
    results, _ = merge(
        [run("a", (2,), 50.0), run("b", (4,), 60.0, metronome=30.0)], ["clip_seconds"]
    )
    assert [r.row for r in results] == [
        "clip_seconds 2",
        "clip_seconds 4",
        "clip_seconds 2, shuffled conditions",
        "clip_seconds 4, shuffled conditions",
        "Metronome, clip_seconds 2",
        "Metronome, clip_seconds 4",
    ]


def test_only_what_differs_in_nothing_else_is_compared():
    runs = [run("old", ("vanilla",), 50.0, others="small"), run("new", ("vanilla",), 60.0)]
    assert [[r.name for r in part] for part in comparable(runs)] == [["new"], ["old"]]
    runs.insert(0, run("older", ("step_intra",), 50.0, others="small"))
    assert [[r.name for r in part] for part in comparable(runs)] == [["older", "old"], ["new"]]


@pytest.mark.parametrize(
    ("keys", "values", "words"),
    [
        (["contrast"], ("step_intra",), "step_intra"),
        (["train.contrast.intra_weight"], (5e-05,), "intra_weight 5e-05"),
        (
            ["train.diffusion_steps", "sample.sampling.steps", "contrast"],
            (40, 40, "vanilla"),
            "diffusion_steps 40, vanilla",
        ),
    ],
)
def test_labels(keys, values, words):
    assert label(keys, values) == words

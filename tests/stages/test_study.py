"""A study of one training, end to end at the smallest size: rows appear, are skipped, resume, and
touch nothing of the data set.
"""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import read_manifest
from pipeline.storage.store import Store, write_store
from pipeline.study.grid import plan, read_grid
from pipeline.study.rows import read_row, read_rows
from stages.study_marks import marks_of, world_of
from tests.helpers.house import OFTEN, STAGES, digest, run, small_params, write_params
from tests.helpers.run_file import write_run
from tests.helpers.study_grid import MEASURED

GRID = {
    "seeds": [0, 1],
    **MEASURED,
    "runs": {
        "vanilla": {"contrast": "vanilla", "samplings": ["g1", "g2"]},
        "inter": {
            "contrast": "sample_inter",
            "set": {"train.contrast.inter_weight": 0.1},
            "samplings": ["g1"],
        },
        "further": {"contrast": "vanilla", "start": "vanilla", "samplings": ["g1"]},
    },
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder in which all that a study of digits reads was built."""
    folder = tmp_path_factory.mktemp("studied")
    write_params(folder, small_params(datasets=["digits"]))
    write_run(folder / "home", **OFTEN)
    (folder / "params" / "study").mkdir()
    YAML().dump(GRID, folder / "params" / "study" / "digits.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CDCD_HOME", str(folder / "home"))
        for stage in STAGES[: STAGES.index("train")]:
            run(stage, "digits")
    return folder


@pytest.fixture
def studied(built, monkeypatch):
    monkeypatch.chdir(built)
    monkeypatch.setenv("CDCD_HOME", str(built / "home"))
    return built


def files_below(folder):
    return {file: digest(file) for file in sorted(folder.rglob("*")) if file.is_file()}


def test_rows_appear_are_skipped_and_leave_the_data_set_alone(studied):
    before = files_below(studied / "data" / "digits")
    said = run("study", "digits", "--only", "vanilla", "--seeds", "0")
    assert "2 to do (1 trainings), about" in said
    rows = read_rows(studied / "reports" / "study" / "digits")
    assert [row.name for row in rows] == ["vanilla__g1__s0", "vanilla__g2__s0"]
    assert files_below(studied / "data" / "digits") == before
    plain, guided = rows
    assert plain.sampling_seeds == [0, 1]
    assert plain.ids == guided.ids
    assert plain.items["top1_accuracy/judge"] != []
    assert len(plain.items["top1_accuracy/judge"]) == 20
    assert plain.songs == []  # pictures are of none
    assert plain.difference == {"train.seed": 0, "sample.sampling.guidance": 1.0}
    assert plain.result("fid/judge, val") is not None
    assert plain.value("adherence/validation") == guided.value("adherence/validation")  # of a model

    assert plain.result("fid/judge, test") is None
    again = run("study", "digits", "--only", "vanilla", "--seeds", "0")
    assert "2 are there, 0 to do" in again
    assert not list((studied / "home" / "study" / "digits").glob("*/g1-val"))


def test_validation_never_sees_a_test_item(studied, monkeypatch):
    seen = {}

    def look(dataset):
        seen["manifest"] = read_manifest(Path("data", dataset, "raw", "manifest.csv")).clips
        raise UserError("stopped")

    monkeypatch.setattr("stages.studying.sample", look)
    with pytest.raises(UserError, match="stopped"):
        run("study", "digits", "--only", "vanilla__g1__s1")
    all_clips = read_manifest(studied / "data" / "digits" / "raw" / "manifest.csv").clips
    test = {clip.id for clip in all_clips if clip.split == "test"}
    val = {clip.id for clip in all_clips if clip.split == "val"}
    assert len(val) == len(test) == 20
    assert {clip.id for clip in seen["manifest"] if clip.split == "test"} == val
    assert not {clip.id for clip in seen["manifest"]} & test


def stopped(dataset):
    raise UserError("stopped")


def test_a_run_starts_from_another_ones_model_and_a_failed_row_goes_on(studied, monkeypatch):
    study = studied / "home" / "study" / "digits"
    with monkeypatch.context() as patch:
        patch.setattr("stages.studying.evaluate", stopped)
        with pytest.raises(UserError, match="stopped"):
            run("study", "digits", "--only", "further", "--seeds", "0")
    (house,) = study.glob("further-s0-*")
    (start,) = study.glob("vanilla-s0-*")
    written = (house / "params" / "digits.yaml").read_text()
    assert str(start / "data" / "digits" / "model" / "model.safetensors") in " ".join(
        written.split()
    )
    trained = digest(house / "data" / "digits" / "seconds.json")
    run("study", "digits", "--only", "further", "--seeds", "0")
    assert digest(house / "data" / "digits" / "seconds.json") == trained
    row = read_row(studied / "reports" / "study" / "digits" / "further__g1__s0.json")
    assert row.contrast == "vanilla"
    assert "further/g1" in (studied / "reports" / "study" / "README.md").read_text()


def test_a_change_of_what_decides_a_row_makes_it_again_and_other_changes_do_not(studied):
    file = studied / "params" / "digits.yaml"
    kept = file.read_text()
    grid = read_grid(studied / "params" / "study" / "digits.yaml")
    rows = plan("digits", grid, only="vanilla,inter", seeds=(0,))
    before = marks_of(rows, "digits"), world_of("digits", grid.shared)
    settings = YAML(typ="safe", pure=True).load(kept)
    settings["train"]["contrast"]["inter_weight"] = 0.3  # the run has its own, vanilla none
    settings["train"]["loss"]["t_sampling"] = "importance"  # the default, written out
    settings["sample"]["sampling"]["guidance"] = 3.0  # every sampling has its own
    try:
        YAML().dump(settings, file)
        assert (marks_of(rows, "digits"), world_of("digits", grid.shared)) == before
        settings["train"]["steps"] = 4
        YAML().dump(settings, file)
        marks, world = marks_of(rows, "digits"), world_of("digits", grid.shared)
        assert world != before[1]
        assert all(marks[name].row != before[0][name].row for name in marks)
        assert world_of("digits", {"train.steps": 2}) != world
    finally:
        file.write_text(kept)


def test_other_conditions_under_the_same_settings_are_another_world(studied):
    before, file = world_of("digits", {}), studied / "data" / "digits" / "conditions.h5"
    kept, store = file.read_bytes(), Store(file, "conditions")
    fields, ids = {name: store[name][:] for name in store.fields}, list(store.ids)
    try:
        for change in (0, 1):
            with write_store(file, "conditions", ids, {"written": "anew"}) as writer:
                for name, values in fields.items():
                    writer.table(name, (values + change).astype(values.dtype))
            assert (world_of("digits", {}) == before) is (change == 0)
    finally:
        file.write_bytes(kept)


def test_settings_that_are_none_are_told_by_their_run(studied):
    grid = read_grid(studied / "params" / "study" / "digits.yaml")
    wrong = grid.runs["inter"].model_copy(update={"set": {"train.contrast.form": "infonse"}})
    rows = plan("digits", grid.model_copy(update={"runs": {"inter": wrong}}))
    with pytest.raises(UserError, match=r"params/study/digits.yaml, inter: train.contrast.form"):
        marks_of(rows, "digits")

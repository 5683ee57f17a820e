"""dvc.yaml tells the truth: every stage depends on the code it imports and on the settings it
reads.
"""

import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.config import MODULES, SETTINGS

ROOT = Path(__file__).resolve().parents[1]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
NEVER_A_RESULT = {
    ROOT / "stages" / "config.py",
    ROOT / "stages" / "media_settings.py",
    ROOT / "pipeline" / "__init__.py",
    ROOT / "stages" / "__init__.py",
}


def module_file(name):
    path = ROOT.joinpath(*name.split("."))
    return next(
        (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None
    )


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] in ("pipeline", "stages")
        ):
            yield from filter(
                None,
                [
                    module_file(node.module),
                    *(module_file(f"{node.module}.{a.name}") for a in node.names),
                ],
            )
        elif isinstance(node, ast.Import):
            yield from filter(
                None,
                [
                    module_file(a.name)
                    for a in node.names
                    if a.name.startswith(("pipeline.", "stages."))
                ],
            )


def closure(start):
    seen, waiting = set(), [start]
    while waiting:
        file = waiting.pop()
        if file not in seen | NEVER_A_RESULT:
            seen.add(file)
            waiting.extend(imported(file))
    return seen


def deps(stage):
    return [ROOT / dep for dep in STAGES[stage]["deps"] if "${" not in dep]


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_deps_cover_every_import(stage):
    listed = deps(stage)
    uncovered = {
        str(file.relative_to(ROOT))
        for file in closure(ROOT / "stages" / f"{stage}.py")
        if not any(file == dep or dep in file.parents for dep in listed)
    }
    assert not uncovered


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_dep_of_code_is_imported(stage):
    """A change of code that a stage does not use must not run it again."""
    files = closure(ROOT / "stages" / f"{stage}.py")
    code = [dep for dep in deps(stage) if ROOT / "reports" not in dep.parents]
    idle = {
        str(dep.relative_to(ROOT))
        for dep in code
        if not any(file == dep or dep in file.parents for file in files)
    }
    # `download` calls the module of its data set, which reads media, by its name
    assert idle == ({"pipeline/media"} if stage == "download" else set())


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_deps_exist_and_commands_name_their_stage(stage):
    assert all(
        dep.exists()
        for dep in deps(stage)
        if dep.parts[-2:] not in (("reports", "examples"), ("reports", "metrics"))
    )
    assert STAGES[stage]["cmd"].startswith(f"python -m stages {stage}")
    assert STAGES[stage]["desc"]


def own_keys(entry):
    return entry["params/${item.dataset}.yaml"] if isinstance(entry, dict) else []


@pytest.mark.parametrize("dataset", MODULES)
def test_every_file_has_every_key_that_dvc_tracks(dataset):
    """DVC refuses a key that is missing."""
    tracked = {
        key for stage in STAGES.values() for entry in stage["params"] for key in own_keys(entry)
    }
    content = YAML(typ="safe", pure=True).load(ROOT / "params" / f"{dataset}.yaml")
    assert tracked == set(content) - {"task"}


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"report"}))
def test_params_cover_every_setting_the_stage_reads(stage):
    source = (ROOT / "stages" / f"{stage}.py").read_text()
    listed = {key for entry in STAGES[stage]["params"] for key in own_keys(entry)}
    decided_by_download = {
        "media_root",
        "clip_seconds",
    }  # a change of these changes raw/manifest.csv
    read = set(re.findall(r"settings\.(\w+)", source)) - decided_by_download
    if "open_content" in source:
        read |= {"codec", "media"}
    if "read_contrast" in source:
        read.add("contrast")
    assert read <= listed


def test_every_data_set_has_a_section_and_no_stage_persists():
    assert set(MODULES) == {file.stem for file in (ROOT / "params").glob("*.yaml")} == set(SETTINGS)
    assert "persist" not in (ROOT / "dvc.yaml").read_text()


def test_the_stage_sample_cannot_see_content():
    """No true token, negative or judge is among its inputs, and its code opens none of them."""
    assert not [
        dep for dep in STAGES["sample"]["deps"] if re.search(r"tokens|negatives\.h5|judge", dep)
    ]
    source = (ROOT / "stages" / "sample.py").read_text() + (
        ROOT / "stages" / "media.py"
    ).read_text()
    names = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert not names & {"tokens", "negatives", "judge"}
    assert "known=" not in source
    assert "read_audio" not in source


def test_metrics_and_plots_are_of_whatever_data_sets_are_listed():
    """`dvc metrics show` and `dvc plots show` once knew three sets by name."""
    text = (ROOT / "dvc.yaml").read_text()
    assert not [name for name in MODULES if re.search(rf"/{name}(/|\b)", text)]
    shown = [*STAGES["evaluate"]["metrics"], *STAGES["train"]["plots"]]
    assert len(shown) == 2
    assert all("${item.dataset}" in path for entry in shown for path in entry)

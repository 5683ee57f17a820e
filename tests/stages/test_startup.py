"""Starting a command is quick because it imports only what that command uses; the list of commands
imports none of them.
"""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stages.__main__ import STAGES, TOOLS, app, description, load

ROOT = Path(__file__).resolve().parents[2]
WHERE_USED = {
    *("clip", "dvc", "matplotlib", "mir_eval", "noisereduce", "scipy", "sklearn"),
    *("torch._dynamo", "torchmetrics", "torchvision"),
    "librosa.core",  # `import librosa` alone costs nothing: it fetches its parts when they are used
}


def loaded_by(code):
    """The modules that are there after running the code in a fresh interpreter."""
    program = f"import sys\n{code}\nprint('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


def test_a_stage_loads_no_library_before_it_is_used():
    """All at once but `evaluate` and `report`, which draw figures: what none of them loads, none of
    them alone loads.
    """
    loaded = loaded_by(
        f"import stages.config, {', '.join(f'stages.{stage}' for stage in STAGES[:-2])}"
    )
    assert "torch" in loaded
    assert not loaded & WHERE_USED


def test_the_list_of_commands_imports_none_of_them():
    loaded = loaded_by(
        "import stages.__main__ as line, contextlib\n"
        "with contextlib.suppress(SystemExit): line.app(['--help'])"
    )
    assert "typer" in loaded
    light = {"pipeline.runtime", "pipeline.runtime.threads"}
    heavy = ("torch", "numpy", "stages.config")
    assert not [name for name in loaded - light if name.startswith(("pipeline.", *heavy))]


def test_every_file_with_a_command_is_listed():
    functions = {
        file.stem
        for file in (ROOT / "stages").glob("*.py")
        if f"\ndef {file.stem}(" in file.read_text()
    }
    assert set(STAGES) | set(TOOLS) == functions | {"weights"}


@pytest.mark.parametrize("name", [*STAGES, *TOOLS])
def test_the_list_shows_what_the_command_says_of_itself(name):
    assert inspect.cleandoc(load(name).help) == description(name)
    shown = next(
        line
        for line in CliRunner().invoke(app, ["--help"]).output.splitlines()
        if line.split()[:1] == [name]
    )
    beginning = shown.split(maxsplit=1)[1].removesuffix("...")
    assert " ".join(description(name).split()).startswith(beginning)


def test_a_command_unknown_is_refused_with_the_nearest_one():
    done = CliRunner().invoke(app, ["trian", "toy_dance"])
    assert done.exit_code == 2
    assert "Did you mean 'train'?" in done.output

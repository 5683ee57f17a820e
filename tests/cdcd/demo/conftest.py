"""Small models of all tasks, and a workshop for them, in a folder of their own."""

import pytest

from pipeline.generation import dances
from pipeline.generation.opening import open_model
from tests.helpers.small_models import dance_files, moving, picture_files

pytest.importorskip("gradio", reason="the demo needs `pip install 'cdcd[demo]'`")

from cdcd.demo import dance, edit
from cdcd.demo.bounds import Bounds
from cdcd.demo.making import Workshop
from tests.helpers.small_models import write_dance


@pytest.fixture(scope="package", autouse=True)
def films(tmp_path_factory):
    """Two dances to try, in place of the drawn ones; dancers are read from brightness."""
    folder = tmp_path_factory.mktemp("films")
    made = {
        "one": write_dance(folder / "one.mp4", 1.2),
        "another": write_dance(folder / "another.mp4", 1.5, seed=2),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dances, "read_markers", moving)
        patch.setattr(dance, "dances", lambda _folder: made)
        patch.setattr(edit, "dances", lambda _folder: made)
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        yield made


@pytest.fixture(scope="package")
def models(tmp_path_factory):
    opened = {}
    for task in ("dance", "caption", "class"):
        folder = tmp_path_factory.mktemp(task)
        opened[task] = open_model(
            dance_files(folder) if task == "dance" else picture_files(folder, task)
        )
    return opened


@pytest.fixture(scope="package")
def shop(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    return Workshop(made, made / "examples", Bounds(megabytes=1, seconds=3.0))

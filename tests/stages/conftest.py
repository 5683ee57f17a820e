"""A house in which every stage has run once, shared by all tests of stages."""

import pytest

from tests.helpers.house import OFTEN, SMALL, STAGES, run, small_params, write_params
from tests.helpers.run_file import write_run


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """A folder in which every stage of the three embedded data sets has run once."""
    folder = tmp_path_factory.mktemp("house")
    write_params(folder, small_params(contrast="step_intra"))
    write_run(folder / "home", **OFTEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CDCD_HOME", str(folder / "home"))
        for dataset in SMALL:
            for stage in STAGES:
                run(stage, dataset)
        run("report")
    return folder


@pytest.fixture
def inside(house, monkeypatch):
    monkeypatch.chdir(house)
    monkeypatch.setenv("CDCD_HOME", str(house / "home"))
    yield house
    write_params(house, small_params(contrast="step_intra"))

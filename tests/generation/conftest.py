"""Small models, opened once for all tests of the package."""

import pytest

from pipeline.generation import dances
from pipeline.generation.dances import PoseSource
from pipeline.generation.opening import open_model
from tests.helpers.small_models import dance_files, moving, picture_files

MARKERS = PoseSource("markers")


@pytest.fixture(scope="package", autouse=True)
def dancers_are_read_from_brightness():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dances, "read_markers", moving)
        yield


@pytest.fixture(scope="package")
def music_files(tmp_path_factory):
    return dance_files(tmp_path_factory.mktemp("dance"))


@pytest.fixture(scope="package")
def music(music_files):
    return open_model(music_files)


@pytest.fixture(scope="package")
def of_captions(tmp_path_factory):
    return open_model(picture_files(tmp_path_factory.mktemp("caption"), "caption"))


@pytest.fixture(scope="package")
def of_classes(tmp_path_factory):
    return open_model(picture_files(tmp_path_factory.mktemp("class"), "class"))

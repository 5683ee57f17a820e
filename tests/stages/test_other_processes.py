"""What stages give to other processes can be sent to them, and comes back as the same bytes."""

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.metrics.genre import load_gallery
from pipeline.storage.store import Store, write_store
from stages.config import read_dataset
from stages.content import open_content
from stages.negatives import reorderer
from stages.paths import Paths
from stages.sample import drawer
from stages.tokenize import encoder, write_tokens
from tests.helpers.full_disk import digests
from tests.helpers.house import OFTEN, SMALL, run
from tests.helpers.run_file import write_run

STAGES = ("extract", "tokenize", "negatives", "sample", "evaluate")


@pytest.mark.parametrize("dataset", SMALL)
def test_work_opens_from_what_was_pickled(inside, dataset):
    settings, paths = read_dataset(dataset), Paths(dataset)
    assert pickle.loads(pickle.dumps(settings)) == settings
    for opener in (partial(encoder, settings, paths), partial(reorderer, settings, paths)):
        again = pickle.loads(pickle.dumps(opener))
        for name, value in opener()([0, 1]).items():
            assert again()([0, 1])[name].tobytes() == value.tobytes()
    ids = [clip.id for clip in paths.manifest(None).clips][-2:]
    opener = partial(drawer, settings, paths, {"tokens": ids})
    work = pickle.loads(pickle.dumps(opener))()
    assert work([("tokens", 0, 0), ("tokens", 0, 1)])["tokens"].shape[0] == 2
    if dataset == "toy_dance":
        music = open_content(settings, paths.manifest(None))
        assert pickle.dumps((music, load_gallery(paths.judge).embed))


def test_rows_set_aside_have_no_tokens(tmp_path):
    parts = [
        {"set_aside": np.array([0, 1])},
        {"tokens": np.array([[1, 2], [3, 4]]), "set_aside": np.array([1])},
        {"tokens": np.array([[5, 6]])},
    ]
    with write_store(tmp_path / "t.h5", "tokens", ["c", "e", "f"], {}) as store:
        assert write_tokens(store, parts) == 2
    assert Store(tmp_path / "t.h5", "tokens")["tokens"][:].tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.soak
@pytest.mark.parametrize("dataset", SMALL)
def test_every_stage_by_two_processes_gives_the_same_bytes(inside, dataset):
    def products():
        return digests(Path("data", dataset)) | digests(Path("reports", "metrics", dataset))

    before = products()
    write_run(inside / "home", **OFTEN, processes=2)
    try:
        for stage in STAGES:
            run(stage, dataset)
        assert products() == before
    finally:
        write_run(inside / "home", **OFTEN)

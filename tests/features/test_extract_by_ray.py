"""A Ray cluster of two nodes, one of them killed at work, extracts what this process extracts."""

import threading
import time
from functools import partial

import numpy as np
import pytest

from pipeline.features.extract import extract_dance
from pipeline.runtime.files import sha256_file
from tests.features.test_extract import films, markers, settings  # noqa: F401 (films: fixture)
from tests.helpers.run_file import write_run

STORE = 80 * 2**20


def slow_markers(folder, frames: np.ndarray) -> np.ndarray:
    """The markers, after a while, and a note of the node that reads them."""
    import ray

    (folder / ray.get_runtime_context().get_node_id()).touch()
    time.sleep(2)
    return markers(frames)


@pytest.mark.soak
def test_a_node_killed_during_extraction_changes_no_byte(
    films,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    import ray

    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    config, notes = settings(), tmp_path / "notes"
    notes.mkdir()

    def run(name, read):
        (tmp_path / name / "scratch").mkdir(parents=True)
        where = [tmp_path / name / part for part in ("conditions.h5", "extractor", "scratch")]
        return extract_dance(config, films, 2.0, *where, read)

    write_run(tmp_path / "home", extract_batch=1)
    skipped = run("local", markers)
    write_run(tmp_path / "home", extract_batch=1, engine="ray")
    size = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=size)
    other = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    killed = []

    def kill_the_other():
        while not (notes / other.node_id).exists():
            time.sleep(0.05)
        cluster.remove_node(other, allow_graceful=False)
        killed.append(len(list((tmp_path / "ray" / "scratch").glob("*.npz"))))

    threading.Thread(target=kill_the_other, daemon=True).start()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    try:
        assert run("ray", partial(slow_markers, notes)) == skipped
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed
    assert killed[0] < len(films.clips)
    assert len(list(notes.iterdir())) == 2
    for file in ("conditions.h5", "extractor/skipped.csv"):
        assert sha256_file(tmp_path / "ray" / file) == sha256_file(tmp_path / "local" / file)

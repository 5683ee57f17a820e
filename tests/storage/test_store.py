import os
import pickle
import signal
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.storage.store import Store, write_store


def make(path, ids=("a", "b", "c"), kind="tokens"):
    with write_store(path, kind, list(ids), {"codec": "abc"}) as store:
        store.field("tokens", (4,), "uint16")
        store.write("tokens", slice(0, len(ids)), np.arange(4 * len(ids)).reshape(-1, 4))
    return path


def test_rows_come_back_in_any_order_and_from_another_process(tmp_path):
    store = Store(make(tmp_path / "t.h5"), "tokens")
    assert store["tokens"][[2, 0, 2]].tolist() == [[8, 9, 10, 11], [0, 1, 2, 3], [8, 9, 10, 11]]
    assert pickle.loads(pickle.dumps(store))["tokens"][1].tolist() == [4, 5, 6, 7]
    assert store.rows_of(["c", "a"]).tolist() == [2, 0]
    assert store.provenance == {"codec": "abc"}


def test_same_content_gives_the_same_bytes(tmp_path):
    assert sha256_file(make(tmp_path / "1.h5")) == sha256_file(make(tmp_path / "2.h5"))


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), write_store(tmp_path / "t.h5", "tokens", ["a"], {}):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_nothing_under_the_final_name(tmp_path):
    code = f"""
        import os, signal, numpy as np
        from pipeline.storage.store import write_store
        with write_store({str(tmp_path / "t.h5")!r}, "tokens", ["a"], {{}}) as store:
            store.field("tokens", (1000,), "uint16")
            store.write("tokens", 0, np.zeros(1000))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": "."},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "t.h5").exists()


def test_numbers_that_are_not_numbers_are_refused(tmp_path):
    with (
        pytest.raises(UserError, match="NaN"),
        write_store(tmp_path / "t.h5", "conditions", ["a"], {}) as store,
    ):
        store.field("motion", (2,), "float32")
        store.write("motion", 0, [1.0, np.nan])


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "incomplete", "kind", "ids"])
def test_what_cannot_be_trusted_is_refused_in_a_sentence(tmp_path, damage):
    path = make(tmp_path / "t.h5", kind="negatives" if damage == "kind" else "tokens")
    match damage:
        case "missing":
            path.unlink()
        case "truncated":
            path.write_bytes(path.read_bytes()[:1500])
        case "text":
            path.write_text("<html>")
        case "incomplete" | "ids":
            with h5py.File(path, "r+") as file:
                if damage == "ids":
                    file["ids"][0] = "z"
                else:
                    del file.attrs["complete"]
    with pytest.raises(UserError, match="t.h5"):
        Store(path, "tokens")


def test_a_foreign_provenance_or_an_unknown_row_or_field_is_refused(tmp_path):
    store = Store(make(tmp_path / "t.h5"), "tokens")
    assert store.expect(codec="abc") is store
    for wrong in (
        lambda: store.expect(codec="xyz"),
        lambda: store.rows_of(["q"]),
        lambda: store["audio"],
    ):
        with pytest.raises(UserError):
            wrong()

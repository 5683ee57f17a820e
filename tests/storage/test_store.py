import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import timeit
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import sha256_file
from pipeline.storage.seal import LENGTH, verify_seal
from pipeline.storage.store import Store, rows_checksum, write_store


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


def flipped(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_one_flipped_bit_anywhere_is_refused(tmp_path):
    whole = make(tmp_path / "whole.h5").read_bytes()
    for place in range(0, 8 * len(whole), 997):
        path = tmp_path / "t.h5"
        path.write_bytes(whole)
        flipped(path, place)
        with pytest.raises(DamagedFile, match="dvc checkout --force"):
            Store(path, "tokens")


def test_in_a_large_store_a_flipped_bit_is_found_where_it_is_read(tmp_path, monkeypatch):
    ids = [f"clip {number}" for number in range(4000)]
    path = tmp_path / "t.h5"
    with write_store(path, "tokens", ids, {}) as store:
        store.field("tokens", (40,), "uint16")
        store.write("tokens", slice(None), np.full((4000, 40), 7))
    monkeypatch.setattr("pipeline.storage.store.VERIFIED_BYTES", 0)
    place = path.read_bytes().rindex(np.full(40, 7, "uint16").tobytes())
    flipped(path, 8 * place)
    store = Store(path, "tokens")
    assert store["tokens"][0].tolist() == [7] * 40
    with pytest.raises(DamagedFile, match="tokens"):
        store["tokens"][:]
    with pytest.raises(DamagedFile, match="seal"):
        verify_seal(path)


@pytest.fixture(params=["small", "large"])
def both_sizes(request, tmp_path, monkeypatch):
    """A store whose rows do not fill its chunks evenly, and its fields as arrays."""
    if request.param == "large":
        monkeypatch.setattr("pipeline.storage.store.VERIFIED_BYTES", 0)
    rng = np.random.default_rng(0)
    values = {
        "tokens": rng.integers(0, 2**16, (1003, 77)).astype(np.uint16),
        "motion": rng.normal(size=(1003, 30, 9)).astype(np.float32),
        "genre": rng.integers(-1, 9, 1003).astype(np.int32),
    }
    path = tmp_path / "t.h5"
    with write_store(path, "tokens", [f"clip {n}" for n in range(1003)], {}) as store:
        for name, array in values.items():
            store.field(name, array.shape[1:], array.dtype.name)
        for first in range(0, 1003, 100):
            for name, array in values.items():
                part = array[first : first + 100]
                store.write(name, slice(first, first + len(part)), part)
        store.table("codewords", np.ones((5, 2), np.float32))
    return path, values


@pytest.mark.parametrize("rows", [[7, 1002, 7, 0], 5, -1, slice(3, 900, 7), slice(None), []])
def test_mapped_rows_are_those_that_hdf5_reads(both_sizes, rows):
    path, values = both_sizes
    store = Store(path, "tokens")
    assert store.fields == ["codewords", "genre", "motion", "tokens"]
    for name, array in values.items():
        assert store.mapped(name) is not None
        found = store[name][rows]
        assert found.dtype == array.dtype
        expected = array[np.asarray(rows, int)] if isinstance(rows, list) else array[rows]
        np.testing.assert_array_equal(found, expected)
    assert store.mapped("codewords") is None
    assert store["codewords"][:].shape == (5, 2)
    assert pickle.loads(pickle.dumps(store))["tokens"][9].tolist() == values["tokens"][9].tolist()
    with pytest.raises(IndexError):
        store["tokens"][1003]


def test_rows_are_found_and_read_at_the_speed_of_memory(both_sizes, monkeypatch):
    path, _ = both_sizes
    store, rows = Store(path, "tokens"), np.random.default_rng(1).integers(0, 1003, 240)
    store["tokens"][rows]
    numbers = store._row_numbers
    store.rows_of(["clip 5"])
    assert store._row_numbers is numbers
    with h5py.File(path) as file:
        unique = np.unique(rows)
        slow = min(timeit.repeat(lambda: file["tokens"][unique], number=1, repeat=5))
    assert min(timeit.repeat(lambda: store["tokens"][rows], number=1, repeat=5)) < slow / 4


def test_a_flipped_bit_in_a_large_store_with_checksums_is_found_in_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.storage.store.VERIFIED_BYTES", 0)
    ids = [f"clip {number}" for number in range(4000)]
    path = tmp_path / "t.h5"
    with write_store(path, "tokens", ids, {}) as store:
        store.field("tokens", (40,), "uint16")
        store.write("tokens", slice(None), np.full((4000, 40), 7))
    place = path.read_bytes().rindex(np.full(40, 7, "uint16").tobytes())
    flipped(path, 8 * place)
    store = Store(path, "tokens")
    assert store["tokens"][:3999].tolist() == [[7] * 40] * 3999
    with pytest.raises(DamagedFile, match="row 3999 of field 'tokens'"):
        store["tokens"][[3999]]


def test_the_description_of_a_large_store_is_held_to_its_digest(tmp_path, monkeypatch):
    path = make(tmp_path / "t.h5")
    monkeypatch.setattr("pipeline.storage.store.VERIFIED_BYTES", 0)
    place = path.read_bytes().index(b'{"codec": "abc"}') + len('{"codec": "')
    flipped(path, 8 * place)
    with pytest.raises(DamagedFile):
        Store(path, "tokens")


def test_what_was_written_before_there_were_seals_is_still_read(tmp_path):
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(schema=1, kind="tokens", provenance="{}", complete=True)
        file.attrs["rows"] = rows_checksum(["a"])
        file.create_dataset("ids", data=np.array(["a"], dtype=object), dtype=h5py.string_dtype())
        file.create_dataset("tokens", data=np.ones((1, 4), "uint16"))
    assert Store(path, "tokens")["tokens"][0].tolist() == [1] * 4


def test_a_store_that_lost_its_seal_is_refused(tmp_path):
    path = make(tmp_path / "t.h5")
    path.write_bytes(path.read_bytes()[:-LENGTH])
    with pytest.raises(DamagedFile, match="seal is missing"):
        Store(path, "tokens")


def test_every_reader_of_stores_and_tensors_goes_through_the_guard():
    """Nothing but `pipeline/storage` opens HDF5 or safetensors, so no reader can miss a digest."""
    root = Path(__file__).resolve().parents[2]
    for file in [*(root / "pipeline").rglob("*.py"), *(root / "stages").rglob("*.py")]:
        if file.parent.name != "storage":
            assert not re.search(r"h5py\.File|safe_open|load_file\(", file.read_text()), file

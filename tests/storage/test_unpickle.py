"""Pickles of arrays load, by numpy 1 and 2; nothing else in a pickle is ever called."""

import os
import pickle
import subprocess

import numpy as np
import pytest

from pipeline.runtime.errors import UserError
from pipeline.storage.unpickle import load_pickle

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)
CONTENT = {"a": ARRAY, "b": [1, "two", None, (3.0, {4})], "c": np.float64(5), "d": b"six"}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_arrays_load(tmp_path, protocol, core):
    data = pickle.dumps(CONTENT, protocol)
    if core == b"numpy.core":
        short, long = b"numpy.core.multiarray", b"numpy._core.multiarray"
        data = data.replace(bytes([len(long)]) + long, bytes([len(short)]) + short).replace(
            b"c" + long, b"c" + short
        )
        if (
            protocol >= 4
        ):  # the length of the frame is no longer true; pickle reads on without frames
            data = pickle.dumps(CONTENT, 3).replace(b"c" + long, b"c" + short)
    (tmp_path / "a.pkl").write_bytes(data)
    got = load_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(got["a"], CONTENT["a"])
    assert {name: got[name] for name in "bcd"} == {name: CONTENT[name] for name in "bcd"}


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (subprocess.call, (["touch", "{}"],)),
        (eval, ("open({!r}, 'w')",)),
        (getattr, ("text", "upper")),
        (np.load, ("{}",)),
        (np.fromfile, ("{}",)),
    ],
)
def test_nothing_is_called(tmp_path, protocol, function, arguments):
    trace = tmp_path / "trace"
    filled = [item.format(str(trace)) if isinstance(item, str) else item for item in arguments]
    filled = [
        [part.format(trace) for part in item] if isinstance(item, list) else item for item in filled
    ]
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"x": Runs(function, *filled)}, protocol))
    with pytest.raises(UserError, match="bad.pkl is refused"):
        load_pickle(tmp_path / "bad.pkl")
    assert not trace.exists()


def test_damaged_files_are_named(tmp_path):
    data = pickle.dumps(CONTENT)
    for name, content in (
        ("half.pkl", data[: len(data) // 2]),
        ("page.pkl", b"<html>"),
        ("empty.pkl", b""),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            load_pickle(tmp_path / name)
    with pytest.raises(UserError, match=r"absent.pkl does not exist"):
        load_pickle(tmp_path / "absent.pkl")

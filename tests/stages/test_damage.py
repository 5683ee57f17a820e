"""One flipped bit in what a stage reads ends it with a sentence that names the file; what was made
before stays as it is.
"""

import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.metrics.judges import DESCRIPTION, WEIGHTS
from pipeline.runtime.errors import UserError
from stages.__main__ import app
from tests.helpers.full_disk import digests


def flip(content):
    changed = bytearray(content)
    place = int(np.random.default_rng(len(content)).integers(len(content) // 2, len(content)))
    changed[place] ^= 1
    return bytes(changed)


READ = [  # what reads it, the file, and what happens to it
    ("tokenize", "codec/codec.safetensors", flip),
    ("negatives", "tokens.h5", flip),
    ("train", "negatives.h5", flip),
    ("train", "conditions.h5", flip),
    ("sample", "model/model.safetensors", flip),
    ("sample", "conditions.h5", flip),
    ("sample", "codec/codec.safetensors", flip),
    ("evaluate", "samples/samples.h5", flip),
    ("evaluate", "tokens.h5", flip),
    ("evaluate", f"judge/{WEIGHTS}", flip),
    ("evaluate", f"judge/{DESCRIPTION}", lambda content: content[: len(content) // 2]),
    ("evaluate", "model/about.json", lambda content: content[:-9]),
    ("evaluate", "model/history.csv", lambda content: b"step,loss\n1,0.5\n2"),
    ("evaluate", "model/history.csv", lambda content: b"loss\n0.5\n"),
    ("evaluate", "model/history.csv", lambda content: b""),
    ("evaluate", "model/history.csv", lambda content: b"\x00\xff\x00"),
    ("evaluate", "codec/history.csv", lambda content: b"step,loss\n1,cat\n"),
]


@pytest.mark.parametrize(("stage", "name", "harm"), READ)
def test_a_damaged_file_is_named_and_nothing_is_made_of_it(inside, stage, name, harm):
    path = inside / "data" / "digits" / name
    kept = path.read_bytes()
    before = digests(inside / "data") | digests(inside / "reports")
    try:
        path.write_bytes(harm(kept))
        with pytest.raises(UserError, match=path.name) as told:
            CliRunner().invoke(app, [stage, "digits"], catch_exceptions=False)
        assert "\n" not in str(told.value)
    finally:
        path.write_bytes(kept)
        shutil.rmtree(inside / "home" / "scratch", ignore_errors=True)  # what it could go on with
    assert digests(inside / "data") | digests(inside / "reports") == before

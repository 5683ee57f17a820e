"""Settings, manifest, seeds, atomic files and scratch folders."""

import os
import platform
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, read_json, write_json
from pipeline.runtime.params import Section, read_yaml, validate
from pipeline.runtime.progress import progress
from pipeline.runtime.scratch import fingerprint, home, scratch
from pipeline.runtime.seeds import numpy_generator, torch_generator
from pipeline.runtime.shards import shards
from pipeline.storage.manifest import Clip, read_manifest, write_manifest


class Codec(Section):
    rate: float
    width: int


def test_numbers_follow_yaml_1_2(tmp_path):
    (tmp_path / "params.yaml").write_text("codec: {rate: 5e-5, width: 3}\n")
    codec = validate(Codec, read_yaml(tmp_path / "params.yaml")["codec"], "codec")
    assert (codec.rate, codec.width) == (5e-5, 3)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"rate": 1.0}, "toy.codec.width is missing"),
        ({"rate": 1.0, "width": 2, "widht": 2}, "toy.codec.widht is not a known key"),
        ({"rate": "fast", "width": 2}, "toy.codec.rate is 'fast'"),
    ],
)
def test_wrong_settings_name_the_key(content, complaint):
    with pytest.raises(UserError, match=complaint):
        validate(Codec, content, "toy.codec")


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n"])
def test_malformed_settings_are_one_sentence(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match="params.yaml"):
        read_yaml(tmp_path / "params.yaml")


def test_the_manifest_survives_a_round_trip(tmp_path):
    clips = [
        Clip("a", "a.mp4", "train", 0.5, 2.0, "song1", "BR"),
        Clip("b", "b.mp4", "test", 0.0, 2.0, "song2", "PO"),
    ]
    write_manifest(tmp_path / "manifest.csv", clips)
    manifest = read_manifest(tmp_path / "manifest.csv")
    assert manifest.clips == tuple(clips)
    assert manifest.of("test") == [1]
    assert "caption_file" not in (tmp_path / "manifest.csv").read_text()


@pytest.mark.parametrize(
    ("clips", "complaint"),
    [
        ([], "no usable clip"),
        ([Clip("a", "a", "train"), Clip("a", "b", "test")], "'a' stands 2 times"),
        ([Clip("a", "a", "training")], "'training'"),
        ([Clip("a", "a", "train", song="x"), Clip("b", "b", "val", song="x")], "'x' is in train"),
    ],
)
def test_a_manifest_that_would_mislead_is_refused(tmp_path, clips, complaint):
    with pytest.raises(UserError, match=complaint):
        write_manifest(tmp_path / "manifest.csv", clips)
    assert not (tmp_path / "manifest.csv").exists()


def test_seeds_depend_on_seed_and_step_alone():
    assert numpy_generator(1, 2).integers(1 << 30) == numpy_generator(1, 2).integers(1 << 30)
    assert torch_generator(1, 2).initial_seed() != torch_generator(1, 3).initial_seed()
    assert torch_generator(1, 2).initial_seed() != torch_generator(12).initial_seed()


def test_a_failed_write_keeps_what_was_there(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(RuntimeError), atomic(tmp_path / "x.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(tmp_path / "x.json") == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_fingerprints_see_settings_files_and_folders(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("1")
    before = fingerprint(Codec(rate=1, width=2), tmp_path / "code", "x")
    assert before == fingerprint(Codec(rate=1, width=2), tmp_path / "code", "x")
    (tmp_path / "code" / "a.py").write_text("2")
    assert before != fingerprint(Codec(rate=1, width=2), tmp_path / "code", "x")


def test_scratch_survives_a_kill_and_goes_when_the_work_is_done(tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    code = """
        import os, signal
        from pipeline.runtime.scratch import scratch
        with scratch("mark") as folder:
            (folder / "shard").write_text("done")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": "."},
        check=False,
    )
    with scratch("mark") as folder:
        assert (folder / "shard").read_text() == "done"
    assert list((home() / "scratch").iterdir()) == []


def test_shards_of_another_batch_are_made_again(tmp_path):
    made = []

    def make(rows):
        made.append(rows)
        return {"rows": np.array(rows)}

    def whole(size):
        work = [list(range(start, min(start + size, 6))) for start in range(0, 6, size)]
        return np.concatenate(
            [part["rows"] for part in shards(tmp_path, work, lambda: make, "test")]
        )

    assert whole(2).tolist() == whole(3).tolist() == whole(2).tolist() == list(range(6))
    assert made == [[0, 1], [2, 3], [4, 5], [0, 1, 2], [3, 4, 5]]


def test_progress_passes_everything_through():
    assert list(progress(range(25), "counting")) == list(range(25))
    assert np.sum(list(progress(iter([1, 2]), "unknown length"))) == 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keep_memory() sets glibc alone")
def test_memory_that_was_freed_is_kept_only_when_asked():
    program = """
import re, sys
from pathlib import Path
import torch
from pipeline.runtime.memory import keep_memory
def resident():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\\s+(\\d+)", status)[1]) * 1024
if sys.argv[1] == "keep": keep_memory()
before = resident()
large = torch.ones(400_000_000 // 4)
assert resident() - before > 3.9e8
del large
print(resident() - before)
"""
    left = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", program, how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("keep", "give back")
    }
    assert left["keep"] > 3.9e8
    assert left["give back"] < 1e8

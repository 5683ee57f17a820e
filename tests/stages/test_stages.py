"""Every stage of every task, end to end, at the smallest sizes; what a user's mistakes look like;
killed stages.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.media.video import mux_sound
from pipeline.runtime.errors import UserError
from stages.__main__ import app
from tests.helpers.full_disk import OUTPUTS, can_mount, run_full
from tests.helpers.house import ROOT, SMALL, STAGES, cli, digest, run, small_params, write_params


@pytest.mark.parametrize("dataset", list(SMALL))
def test_every_task_ends_in_tables_and_a_page(house, dataset):
    table = (house / "reports" / "metrics" / dataset / "table.csv").read_text()
    for row in ("ground_truth", "reconstruction", "model", "model_shuffled"):
        assert f"\n{row}," in table
    with h5py.File(house / "data" / dataset / "samples" / "samples.h5") as samples:
        assert samples["tokens"].shape[1] == 2
        assert (samples["tokens"][:, 0] != samples["tokens"][:, 1]).any()
    assert dataset in (house / "reports" / "README.md").read_text()
    assert len((house / "reports" / "index.html").read_text()) > 10_000
    assert list((house / "data" / dataset / "samples" / "media").iterdir())


def test_replacing_all_true_music_changes_no_sampled_byte(inside):
    """The stage sample sees conditions and model alone: with noise for all sound and no tokens it
    draws the same.
    """
    root = inside / "data" / "toy_dance"
    samples, hidden = (
        root / "samples" / "samples.h5",
        [root / "tokens.h5", *(root / "raw" / "media").glob("*.mp4")],
    )
    before, kept = digest(samples), {file: file.read_bytes() for file in hidden}
    noise = np.random.default_rng(0).normal(0, 0.2, 22050).astype(np.float32)
    try:
        for file in hidden[1:]:
            mux_sound(file, file.with_suffix(".noise"), noise, 11025)
            file.with_suffix(".noise").replace(file)
        assert hidden[1].read_bytes() != kept[hidden[1]]
        hidden[0].unlink()
        samples.unlink()
        run("sample", "toy_dance")
        assert digest(samples) == before
    finally:
        for file, content in kept.items():
            file.write_bytes(content)


def test_another_contrast_gives_another_model_from_the_same_inputs(inside):
    model = inside / "data" / "digits" / "model" / "model.safetensors"
    first = digest(model)
    run("train", "digits")
    assert digest(model) == first
    write_params(inside, small_params(contrast="sample_inter"))
    run("train", "digits")
    assert digest(model) != first


@pytest.mark.parametrize("stage", ["extract", "tokenize", "train", "sample"])
def test_a_killed_stage_goes_on_to_the_same_bytes(inside, stage):
    outputs = {
        "extract": "conditions.h5",
        "tokenize": "tokens.h5",
        "train": "model/model.safetensors",
    }
    output = inside / "data" / "toy_dance" / outputs.get(stage, "samples/samples.h5")
    run(stage, "toy_dance")
    before = digest(output)
    output.unlink()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "stages", stage, "toy_dance"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    scratch, deadline = inside / "home" / "scratch", time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if any(file.suffix in (".npz", ".safetensors", ".npy") for file in scratch.rglob("*")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(stage, "toy_dance")
    assert digest(output) == before
    assert not [file for file in scratch.rglob("*") if file.is_file()]


def test_mistakes_end_with_one_sentence_and_no_traceback(inside):
    result = cli("tokenize", "toy_dnace")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("Error: 'toy_dnace' is not a data set")
    assert cli("tokenise", "toy_dance").returncode == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"contrast": "step_outer"}, "step_outer"),
        ({"datasets": ["toy_dnace"]}, "toy_dnace"),
        ({"contarst": "vanilla"}, "contarst is not a known key"),
    ],
)
def test_wrong_settings_are_found_before_any_stage_works(inside, change, sentence):
    write_params(inside, small_params(**change))
    with pytest.raises(UserError, match=sentence):
        CliRunner().invoke(app, ["download", "digits"], catch_exceptions=False)


@pytest.mark.parametrize("name", ["conditions.h5", "tokens.h5", "negatives.h5", "raw/manifest.csv"])
def test_damaged_inputs_are_named(inside, name):
    path = inside / "data" / "digits" / name
    kept = path.read_bytes()
    try:
        path.write_bytes(b"\x00\xff" + np.random.default_rng(0).bytes(100))
        with pytest.raises(UserError, match=path.name):
            CliRunner().invoke(app, ["train", "digits"], catch_exceptions=False)
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize(
    "command", [*STAGES, "report", "generate", "compare", "listen", "mos", "preset", "weights"]
)
def test_help_teaches(command):
    text = run(command, "--help")
    assert len(text.splitlines()) > 8


def test_music_for_a_clip_of_ones_own(inside, tmp_path):
    """A whole clip of another length, without its sound track mattering: overlapping windows that
    continue one another.
    """
    clip = next((inside / "data" / "toy_dance" / "raw" / "media").glob("test_*.mp4"))
    run("generate", str(clip), "--pose", "markers", "--out", str(tmp_path / "made"))
    assert (tmp_path / "made" / f"{clip.stem}.wav").stat().st_size > 20_000
    assert (tmp_path / "made" / f"{clip.stem}.mp4").exists()


FULL = [  # stage, data set, what is full, bytes that are left
    ("codec", "toy_dance", "scratch", 0),
    ("train", "digits", "scratch", 300_000),
    ("train", "digits", "data", 40_000),
    ("judge", "digits", "scratch", 40_000),
    ("extract", "toy_dance", "scratch", 40_000),
]


def check_full_disk(house, place, room, stage, dataset):
    shutil.rmtree(house / "home" / "scratch", ignore_errors=True)
    found = run_full(house, place, room, stage, dataset)
    assert found["code"] == 1, found
    assert found["said"].startswith("Error: No space left on the disk while writing"), found
    assert not found["traceback"]
    assert not found["changed"]
    assert not found["litter"]


@pytest.mark.skipif(not can_mount(), reason="this machine lets nobody mount a file system")
@pytest.mark.parametrize(("stage", "dataset", "place", "room"), FULL)
def test_a_full_disk_ends_a_stage_with_one_sentence(inside, stage, dataset, place, room):
    check_full_disk(inside, place, room, stage, dataset)


@pytest.mark.soak
@pytest.mark.skipif(not can_mount(), reason="this machine lets nobody mount a file system")
@pytest.mark.parametrize("dataset", ["toy_dance", "digits"])
@pytest.mark.parametrize("stage", OUTPUTS)
def test_no_stage_minds_a_full_disk(inside, stage, dataset):
    check_full_disk(inside, "data", 0, stage, dataset)

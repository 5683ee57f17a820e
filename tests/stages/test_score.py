"""`score`: true music gets the ground-truth row of the evaluation and metronomes its metronome row,
exactly; every bad input is one sentence, and the other files are done.
"""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cdcd import scoring
from pipeline.features.pose_reader import PoseConfig, PoseReader
from pipeline.media.audio import write_wav
from pipeline.metrics import controls
from pipeline.runtime.errors import UserError
from stages.config import DanceToMusic, read_dataset
from stages.content import open_content
from stages.paths import Paths
from tests.helpers.house import run
from tests.helpers.small_models import moving, write_dance


def rows(table, row):
    """The lines of a row, by what they measure."""
    with open(table, newline="") as handle:
        lines = [line for line in csv.DictReader(handle) if line.pop("row") == row]
    return {(line.pop("metric"), line.pop("protocol")): line for line in lines}


def write_float(path, waveform, rate):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, rate, subtype="FLOAT")


def dance_settings():
    settings = read_dataset("toy_dance")
    assert isinstance(settings, DanceToMusic)
    return settings


@pytest.fixture
def true(inside):
    """(ids, waveforms [n, T], rate) of the true test music as an evaluation reads it."""
    settings = dance_settings()
    content = open_content(settings, Paths("toy_dance").manifest(None))
    numbers = content.manifest.of("test")
    ids = [content.manifest.clips[number].id for number in numbers]
    return ids, content.read(numbers).numpy(), content.sample_rate


def test_true_music_and_metronomes_get_the_rows_of_the_evaluation(inside, true, tmp_path):
    ids, waveforms, rate = true
    bpm = dance_settings().evaluate.metronome_bpm
    click = controls.metronome(waveforms.shape[1] / rate, rate, bpm)
    for name, waveform in zip(ids, waveforms):
        write_float(tmp_path / "recordings" / f"{name}.wav", waveform, rate)
        write_float(tmp_path / "clicks" / f"{name}.wav", click, rate)
    folders = [tmp_path / "recordings", "--against", tmp_path / "clicks"]
    run("score", *map(str, [*folders, "--data", "toy_dance", "--out", tmp_path / "out"]))
    evaluated, scored = Paths("toy_dance").metrics / "table.csv", tmp_path / "out" / "table.csv"
    for row, folder in (("ground_truth", "recordings"), ("metronome", "clicks")):
        expected = rows(evaluated, row)
        assert len(expected) > 20
        assert rows(scored, folder) == expected
        assert rows(scored, row) == expected
    for row in ("silence", "nearest_neighbour"):
        assert rows(scored, row) == rows(evaluated, row)
    assert rows(scored, "noise")
    assert "recordings" in (tmp_path / "out" / "README.md").read_text()
    assert "recordings" in (tmp_path / "out" / "index.html").read_text()


def test_the_data_sets_own_files_at_the_level_of_the_true_music(inside, true, tmp_path):
    media = Paths("toy_dance").raw / "media"
    for name in true[0]:
        (tmp_path / "films").mkdir(exist_ok=True)
        shutil.copy(media / f"{name}.mp4", tmp_path / "films")
    words = [tmp_path / "films", "--data", "toy_dance", "--level", "--out", tmp_path / "out"]
    run("score", *map(str, words))
    expected = rows(Paths("toy_dance").metrics / "table.csv", "ground_truth")
    assert rows(tmp_path / "out" / "table.csv", "films") == expected


def test_real_pictures_get_the_ground_truth_row(inside, tmp_path):
    manifest = Paths("toy_shapes").manifest(None)
    for number in manifest.of("test"):
        clip = manifest.clips[number]
        (tmp_path / "real").mkdir(exist_ok=True)
        shutil.copy(manifest.file(clip), tmp_path / "real" / f"{clip.id}.png")
    (tmp_path / "real" / "strange.png").write_bytes(b"no picture")
    words = ["score", str(tmp_path / "real"), "--data", "toy_shapes", "--out", str(tmp_path / "o")]
    with pytest.raises(UserError, match="could not be used"):
        run(*words)
    expected = rows(Paths("toy_shapes").metrics / "table.csv", "ground_truth")
    found = rows(tmp_path / "o" / "table.csv", "real")
    assert expected
    assert {key: found[key] for key in expected if key[0] != "fid"} == {
        key: line for key, line in expected.items() if key[0] != "fid"
    }
    assert rows(tmp_path / "o" / "table.csv", "mean_image") == {
        key: line
        for key, line in rows(Paths("toy_shapes").metrics / "table.csv", "mean_image").items()
    }


@pytest.fixture
def songs(tmp_path):
    """A folder of twelve short clips of music, all different."""
    for number in range(12):
        sound = 0.2 * np.random.default_rng(number).standard_normal(22050).astype(np.float32)
        sound *= np.sin(np.linspace(0, 30 + 3 * number, 22050)) > 0.5
        write_float(tmp_path / "true" / f"clip{number:02}.wav", sound, 22050)
    return tmp_path / "true"


def test_bad_files_are_told_and_the_others_measured(songs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    theirs = shutil.copytree(songs, tmp_path / "theirs")
    files = sorted(theirs.iterdir())
    files[0].write_text("no sound")
    write_float(files[1], np.zeros(22050, np.float32), 22050)
    write_float(files[2], np.full(44100, 0.1, np.float32), 44100)
    write_wav(files[3], np.full(44100, 0.1, np.float32), 22050)
    write_wav(files[4], np.full(8000, 0.1, np.float32), 22050)
    files[5].rename(theirs / "other.wav")
    with pytest.raises(UserError, match="could not be used"):
        run("score", "theirs", "--references", "true", "--against", "true")
    notes = (tmp_path / "scores" / "README.md").read_text()
    for said in (
        "clip00.wav cannot be decoded",
        "1 files are silent, and measured so (clip01)",
        "1 files are resampled from 44100 to 22050 Hz (clip02)",
        "longer and cut (clip03)",
        "shorter and padded with silence (clip04)",
        "1 files match no id (other); expected names such as clip00, clip01",
    ):
        assert said in notes
    for row in ("theirs", "true", "ground_truth", "metronome"):
        found = rows(tmp_path / "scores" / "table.csv", row)
        assert found["beats_f1", "5hz"]["n_clips"] == "10"
        assert ("alignment", "motion") not in found  # no dances were given
    same = rows(tmp_path / "scores" / "table.csv", "true")
    assert same == rows(tmp_path / "scores" / "table.csv", "ground_truth")


def test_several_outputs_of_each_and_few_items(songs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        for seed in (0, 1):
            (tmp_path / "made").mkdir(exist_ok=True)
            source = songs / f"clip{number + seed:02}.wav"
            shutil.copy(source, tmp_path / "made" / f"clip{number:02}_seed{seed}.wav")
    run("score", "made", "--references", "true")
    found = rows(tmp_path / "scores" / "table.csv", "made")
    assert found["beats_f1", "5hz"]["n_seeds"] == "2"
    assert found["beats_f1", "5hz"]["low"] == ""  # four songs carry no interval
    assert found["kad", "mfcc"]["mean"] == ""
    assert "Withheld" in (tmp_path / "scores" / "README.md").read_text()


def test_dances_alone_and_one_without_a_dancer(songs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        (tmp_path / "dances").mkdir(exist_ok=True)
        write_dance(tmp_path / "dances" / f"clip{number:02}.mp4", 1.0, seed=number % 5)
    (tmp_path / "dances" / "clip03.mp4").write_text("no film")
    config = {"kind": "coco17", "source": "markers", "fps": 30.0, "weights": None}
    config = PoseConfig.model_validate({**config, "file_fps": None, "least_seen": 0.0})
    monkeypatch.setattr(scoring, "pose_reader", lambda *_: PoseReader(config, moving))
    with pytest.raises(UserError, match="could not be used"):
        run("score", "true", "--dances", "dances")
    table = tmp_path / "scores" / "table.csv"
    found = rows(table, "true")
    assert found["alignment", "motion"]["n_clips"] == "11"
    assert float(found["fit_own", "own_vs_others"]["mean"]) > 0
    assert ("beats_f1", "5hz") not in found  # there is no true music
    assert not rows(table, "ground_truth")
    assert float(rows(table, "metronome")["fit_gain", "own_vs_others"]["mean"]) == pytest.approx(0)
    assert rows(table, "true, best lag")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "--references", "true"], "is no folder"),
        (["empty", "--references", "true"], "holds nothing to score"),
        (["strange", "--references", "true"], "no name matches .a.; expected names such as clip00"),
        (["true"], "give --references"),
        (["true", "--references", "true", "--out", "true"], "holds clip00.wav, which is no part"),
        (["true", "--references", "true", "--out", "true/clip00.wav"], "is a file"),
        (["true", "--references", "strange"], "no name matches"),
        (["true", "--references", "true", "--songs", "nowhere.csv"], "columns id and song"),
        (["broken", "--references", "true"], "none of its files can be read"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(songs, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    write_float(Path("strange/a.wav"), np.full(22050, 0.1, np.float32), 22050)
    Path("broken").mkdir()
    Path("broken/clip00.wav").write_text("no sound")
    with pytest.raises(UserError, match=said):
        run("score", *words)
    assert not Path("scores").exists()

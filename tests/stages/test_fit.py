"""The tool `fit` on small clips with a reader of dancers that knows their motion."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.media.audio import write_wav
from pipeline.media.video import write_video
from pipeline.runtime.errors import UserError
from stages import fit
from tests.metrics.test_own_vs_others import FPS, RATE, SECONDS, clicking, dancing


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Four clips under silence, their own music as wav beside, read by a reader that knows."""
    generator = np.random.default_rng(5)
    motions = {}
    frames = np.full((int(SECONDS * FPS), 32, 32, 3), 90, dtype=np.uint8)
    (tmp_path / "true").mkdir()
    for number in range(4):
        beats = np.cumsum(generator.uniform(0.25, 0.6, 20)) - 0.2
        name = f"clip{number}"
        motions[name] = dancing(beats)
        write_video(tmp_path / f"{name}.mp4", frames, FPS, 0.01 * clicking([1.0]), RATE)
        write_wav(tmp_path / f"{name}.wav", clicking(beats), RATE)
        write_wav(tmp_path / "true" / f"{name}.wav", clicking(beats + 0.2), RATE)

    def read(manifest, clip, seconds):
        return SimpleNamespace(motion=lambda: motions[clip.id])

    monkeypatch.setattr(fit, "pose_reader", lambda *_: SimpleNamespace(read=read))
    return tmp_path


def test_the_tables_of_a_folder(clips, capsys):
    fit.fit(clips, clips / "out", clips / "true", "movenet", None, 200, 0)
    with open(clips / "out" / "table.csv", newline="") as handle:
        table = {(row["row"], row["metric"]): row for row in csv.DictReader(handle)}
    assert float(table["model", "fit_gain"]["mean"]) > 25  # the wav beside, not the sound track
    assert float(table["ground_truth", "fit_gain"]["mean"]) < 15
    assert float(table["metronome", "fit_gain"]["mean"]) == pytest.approx(0, abs=1e-6)
    with open(clips / "out" / "clips.csv", newline="") as handle:
        assert {row["clip"] for row in csv.DictReader(handle)} == {f"clip{n}" for n in range(4)}
    assert "The true sound" in capsys.readouterr().out


def test_bad_folders_are_one_sentence(clips, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="at least two videos"):
        fit.fit(tmp_path / "empty", clips / "out", None, "movenet", None, 200, 0)
    (clips / "true" / "clip2.wav").unlink()
    with pytest.raises(UserError, match="no true sound of clip2"):
        fit.fit(clips, clips / "out", clips / "true", "movenet", None, 200, 0)
    with pytest.raises(UserError, match="weights get|not a file|does not exist"):
        fit.PoseReader(
            fit.PoseConfig(
                kind="coco17",
                source="movenet",
                fps=30,
                weights="/none.tflite",
                file_fps=None,
                least_seen=0,
            )
        )

"""Conditions of whole data sets: every usable clip has them, the others are listed, a killed run
ends with the same bytes.
"""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.features import extract as extract_module
from pipeline.features.extract import ExtractDance, extract_dance
from pipeline.features.i3d import I3D
from pipeline.features.i3d_source import VisualReader, read_squares
from pipeline.media.video import write_video
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.runtime.params import validate
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import Store
from tests.helpers.run_file import write_run

TRAINING = {"steps": 2, "batch_size": 2, "frames": 16, "learning_rate": 1e-3, "seed": 0}
VISUAL = {
    "weights": "random",
    "flow": None,
    "raft": None,
    "fps": 10.0,
    "size": 32,
    "width": 1 / 32,
    "window": 16,
    "training": TRAINING,
}
POSE = {
    "kind": "coco17",
    "source": "markers",
    "fps": 10.0,
    "weights": None,
    "file_fps": None,
    "least_seen": 0.5,
}


@pytest.fixture(autouse=True)
def two_clips_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    write_run(tmp_path / "home", extract_batch=2)


def settings(pose: dict | None = None, **visual) -> ExtractDance:
    return validate(
        ExtractDance,
        {"pose": POSE | (pose or {}), "visual": VISUAL | visual},
        "extract",
    )


def markers(frames: np.ndarray) -> np.ndarray:
    """Seventeen joints around the brightest place, unseen in dark pictures."""
    points = np.zeros((len(frames), 17, 3), np.float32)
    points[..., :2] = np.arange(17)[:, None] + frames.mean((1, 2, 3))[:, None, None]
    points[..., 2] = (frames.mean((1, 2, 3)) > 20)[:, None]
    return points


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Manifest:
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    clips = []
    for number in range(6):
        frames = rng.integers(40, 255, (25, 40, 48 + 8 * (number % 2), 3), dtype=np.uint8)
        write_video(folder / f"{number}.mp4", frames // (20 if number == 3 else 1), 10)
        split = "train" if number < 4 else "test"
        clips.append(
            Clip(f"clip{number}", f"{number}.mp4", split, 0.3, 2.0, genre="AB"[number % 2])
        )
    (folder / "4.mp4").write_bytes((folder / "4.mp4").read_bytes()[:500])
    return Manifest(tuple(clips), folder)


def run(films, folder, config=None, **changes):
    folder.mkdir(exist_ok=True)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    config = config or settings(**changes)
    return extract_dance(
        config, films, 2.0, folder / "conditions.h5", folder / "extractor", scratch, markers
    )


@pytest.mark.parametrize("weights", ["random", "train"])
def test_usable_clips_have_conditions_and_the_others_reasons(films, tmp_path, weights):
    skipped = dict(run(films, tmp_path, weights=weights))
    assert set(skipped) == {"clip3", "clip4"}
    assert "no visible dancer" in skipped["clip3"]
    assert "4.mp4 cannot be decoded" in skipped["clip4"]
    with open(tmp_path / "extractor" / "skipped.csv") as handle:
        assert list(csv.reader(handle))[1:] == [list(item) for item in skipped.items()]
    store = Store(tmp_path / "conditions.h5", "conditions")
    assert store.ids == ["clip0", "clip1", "clip2", "clip5"]
    assert store["motion"].shape == (4, 20, 51)
    assert store["visual"].shape[2] == 32
    assert store["genre"][:].tolist() == [0, 1, 0, 1]
    assert store.provenance["extractor"] == f"i3d {weights}"
    assert store.provenance["weights"] == sha256_file(
        tmp_path / "extractor" / "i3d_rgb.safetensors"
    )
    assert (tmp_path / "extractor" / "history.csv").exists() == (weights == "train")
    network = I3D.load(tmp_path / "extractor" / "i3d_rgb.safetensors")
    reader = VisualReader(settings().visual, network)
    frames = read_squares(settings().visual, films.root / "5.mp4", 0.3, 2.0)
    np.testing.assert_allclose(
        store["visual"][3], reader.features(frames[None])[0], rtol=1e-4, atol=1e-6
    )


def test_a_killed_run_ends_with_the_same_bytes(films, tmp_path, monkeypatch):
    run(films, tmp_path / "whole", weights="train")
    original, calls = extract_module.extract_clips, []

    def killed(readers, manifest, clips):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(clips)
        return original(readers, manifest, clips)

    with monkeypatch.context() as patch:
        patch.setattr(extract_module, "extract_clips", killed)
        with pytest.raises(KeyboardInterrupt):
            run(films, tmp_path / "again", weights="train")
    assert not (tmp_path / "again" / "conditions.h5").exists()
    assert not (tmp_path / "again" / "extractor").exists()
    run(films, tmp_path / "again", weights="train")
    for name in ("conditions.h5", "extractor/i3d_rgb.safetensors", "extractor/history.csv"):
        assert sha256_file(tmp_path / "whole" / name) == sha256_file(tmp_path / "again" / name)


def test_features_that_come_along_are_taken_as_they_are(films, tmp_path):
    motion, video = (
        np.random.default_rng(0).normal(size=(2, 20, 219)),
        np.random.default_rng(1).normal(size=(2, 1, 2048)),
    )
    for number in range(2):
        np.save(tmp_path / f"m{number}.npy", motion[number])
        np.save(tmp_path / f"v{number}.npy", video[number])
    clips = [
        replace(films.clips[n], pose_file=f"m{n}.npy", visual_file=f"v{n}.npy") for n in range(2)
    ]
    pose = {"kind": "smpl219", "source": "array", "file_fps": 10.0}
    run(Manifest(tuple(clips), tmp_path), tmp_path / "out", settings(pose))
    store = Store(tmp_path / "out" / "conditions.h5", "conditions")
    np.testing.assert_allclose(store["motion"][:], motion, rtol=1e-6)
    np.testing.assert_allclose(store["visual"][:], video, rtol=1e-6)


def test_rgb_and_flow_stand_side_by_side(films, tmp_path):
    class Still(torch.nn.Module):
        def forward(self, first, second, num_flow_updates):
            return [first[:, :2] * 3]

    reader = VisualReader(settings().visual, I3D(3, 2, 1 / 32).eval().requires_grad_(False))
    reader.flow, reader.raft = I3D(2, 2, 1 / 32).eval().requires_grad_(False), Still()
    frames = read_squares(reader.config, films.root / "0.mp4", 0.0, 2.0)[None]
    features = reader.features(frames)
    assert features.shape[2] == reader.numbers == 64
    reader.flow = None
    np.testing.assert_allclose(features[..., :32], reader.features(frames), rtol=1e-5)


def test_nothing_usable_is_said(films, tmp_path):
    broken = Manifest((films.clips[4],), films.root)
    with pytest.raises(UserError, match="No clip can be used"):
        run(broken, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": None}, "needs training"),
        ({"flow": "kinetics"}, "flow and raft go together"),
        ({"weights": "kinetics"}, "cdcd weights get i3d_rgb"),
        ({"weights": "absent/i3d.pt"}, "absent/i3d.pt does not exist"),
    ],
)
def test_settings_without_their_weights_are_one_sentence(
    films, tmp_path, monkeypatch, changes, message
):
    with pytest.raises(UserError, match=message):
        run(films, tmp_path, **changes)

"""Every kind of file the project reads: how a small whole one is made, and its public reader."""

import io
import json
import os
import pickle
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from pipeline.datasets import captions
from pipeline.datasets.caption_table import read_caption_table
from pipeline.datasets.probe import picture_trouble, sound_trouble, video_trouble
from pipeline.features.extract import ready_features
from pipeline.features.pose_files import (
    aist_keypoints2d,
    aist_smpl,
    alphapose,
    openpose,
    ready_array,
)
from pipeline.media.audio import read_audio
from pipeline.media.image import load_rgb
from pipeline.media.video import probe, read_frames, write_video
from pipeline.metrics.results import Result, read_results, write_table
from pipeline.reporting.listening_results import FORMAT, read_answers, read_key
from pipeline.runtime.arrays import read_arrays
from pipeline.runtime.files import read_json, write_json
from pipeline.storage.archive import unpack
from pipeline.storage.curves import read_curves
from pipeline.storage.manifest import Clip, read_manifest, write_manifest
from pipeline.storage.store import Store, write_store
from pipeline.storage.tensors import read_state_dict, read_tensors, write_tensors
from pipeline.storage.unpickle import load_pickle
from pipeline.training.history import write_history
from tests.fuzz.hostile import WHOLE, as_it_is, hostile_tar, hostile_zip, read_download
from tests.fuzz.mutations import Mutation

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Kind:
    """`make` writes a whole file to a path; `read` reads it and returns what it holds. `guarded`:
    the kind bears digests, so that what is read is either refused or equal. `own`: what happens to
    this kind besides.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]
    guarded: bool = False
    own: tuple[Mutation, ...] = ()


def _settings(path: Path) -> None:
    shutil.copy(ROOT / "params" / "digits.yaml", path)


def _read_settings(path: Path) -> object:
    from stages.config import read_dataset

    before = Path.cwd()
    (path.parent / "params").mkdir(exist_ok=True)
    (path.parent / "params.yaml").write_text("{datasets: [digits], contrast: preset}")
    shutil.copy(path, path.parent / "params" / "digits.yaml")
    os.chdir(path.parent)
    try:
        return read_dataset("digits").model_dump()
    finally:
        os.chdir(before)


def _manifest(path: Path) -> None:
    clips = [Clip(f"c{n}", f"v/{n}.mp4", "train", 0.5 * n, 2.0, f"s{n}") for n in range(5)]
    write_manifest(path, [*clips, Clip("t", "t.mp4", "test", 0.0, 2.0, "other")])


def _safetensors(path: Path) -> None:
    write_tensors(path, {"a": torch.arange(60.0), "b": {"c": torch.ones(3, 2)}}, {"class": "X"})


def _store(path: Path) -> None:
    with write_store(path, "tokens", [f"c{n}" for n in range(9)], {"codec": "x"}) as store:
        store.field("tokens", (20,), "uint16")
        store.write("tokens", slice(None), np.arange(180).reshape(9, 20))


def _read_store(path: Path) -> object:
    store = Store(path, "tokens")
    return store["tokens"][:].tolist(), store.ids, store.provenance


def _shard(path: Path) -> None:
    with open(path, "wb") as handle:
        np.savez(handle, x=np.arange(50.0), names=np.array(["a", "bc"]))


def _mp4(path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (6, 32, 48, 3), np.uint8)
    sound = np.sin(np.arange(9600) * 0.2).astype(np.float32)
    write_video(path, list(frames), 10.0, sound, 16000)


def _read_mp4(path: Path) -> None:
    video_trouble(path)
    info = probe(path)
    assert info.duration_s < 3600, info
    for _ in read_frames(path, 10.0, 0.0, 0.5):
        pass
    read_audio(path, 16000, 0.0, 0.5)
    read_audio(path, 16000)


def _wav(path: Path) -> None:
    soundfile.write(path, np.sin(np.arange(4000) * 0.1), 8000, format="WAV", subtype="PCM_16")


def _read_wav(path: Path) -> None:
    sound_trouble(path)
    read_audio(path, 16000, 0.1, 0.3)


def _png(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 20, 3), np.uint8)).save(
        path, "PNG"
    )


def _jpeg(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 20, 3), np.uint8)).save(
        path, "JPEG"
    )


def _read_picture(path: Path) -> None:
    picture_trouble(path)
    load_rgb(path)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", "hello" * 100)
        archive.writestr("kept.txt", "new")


def _tar(path: Path) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name in ("a/b.txt", "kept.txt"):
            member = tarfile.TarInfo(name)
            member.size = 500
            archive.addfile(member, io.BytesIO(bytes(500)))


def _unpack(path: Path) -> None:
    """Unpacks beside an earlier file, which a refused archive leaves as it was."""
    folder = path.parent / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "kept.txt").write_text("earlier")
    try:
        unpack(path, folder, 100_000)
    except Exception:
        assert [file.name for file in folder.rglob("*")] == ["kept.txt"]
        assert (folder / "kept.txt").read_text() == "earlier"
        raise
    files = [file for file in folder.rglob("*") if not file.is_dir() or file.is_symlink()]
    assert all(stat.S_ISREG(file.lstat().st_mode) for file in files)
    assert sum(file.stat().st_size for file in files) <= 100_000


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"smpl_poses": np.ones((5, 72)), "smpl_trans": np.ones((5, 3))}))


def _smpl(path: Path) -> None:
    rng = np.random.default_rng(0)
    content = {"smpl_poses": rng.normal(size=(8, 72)), "smpl_trans": rng.normal(size=(8, 3))}
    path.write_bytes(pickle.dumps(content | {"smpl_scaling": np.array([90.0])}, protocol=2))


def _keypoints(path: Path) -> None:
    rng = np.random.default_rng(0)
    path.write_bytes(pickle.dumps({"keypoints2d": rng.uniform(100, 900, (9, 6, 17, 3))}))


def _checkpoint(zipped: bool) -> Callable[[Path], None]:
    content = {"state_dict": {"module.w": torch.arange(40.0)}, "step": 3}
    return lambda path: torch.save(content, path, _use_new_zipfile_serialization=zipped)


def _pose_json(path: Path) -> None:
    rng = np.random.default_rng(0)
    write_json(path, {"people": [{"pose_keypoints_2d": rng.uniform(5, 90, 75).tolist()}]})


def _read_pose_json(path: Path) -> None:
    folder = path.parent / "openpose"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "x_000000000000_keypoints.json")
    openpose(folder, 100.0, 30.0)


def _alphapose(path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = [
        {"image_id": f"{frame}.jpg", "keypoints": rng.uniform(5, 90, 51).tolist()}
        for frame in range(4)
    ]
    path.write_text(json.dumps(entries))


def _array(path: Path) -> None:
    with open(path, "wb") as handle:
        np.save(handle, np.random.default_rng(0).uniform(1, 90, (6, 51)).astype(np.float32))


def _read_array(path: Path) -> None:
    try:
        ready_features(path)
    finally:
        ready_array(path, "coco17", 51, 30.0)


def _captions(suffix: str) -> Kind:
    lines = {
        ".csv": "file,caption\na.png,a red square\nb.png,two blue dots\n",
        ".tsv": "file\tcaption\na.png\ta red square\n",
        ".jsonl": '{"file": "a.png", "captions": ["a red square", "a square"]}\n',
        ".txt": "a.png\ta red square\nb\ttwo dots\n",
    }
    return Kind(
        f"captions{suffix}",
        lambda path: path.write_text(lines[suffix]),
        lambda path: read_caption_table(path, ["a.png", "b.png"]),
    )


def _captions_json(path: Path) -> None:
    write_json(path, {"a": ["one", "two"], "b": ["three"]})


def _read_captions_json(path: Path) -> object:
    captions._table.cache_clear()
    return captions.captions_of(Clip("a", "a", "train", caption_file=path.name), path.parent)


def _results(path: Path) -> None:
    write_table(path, Result, [Result("model", "f1", "5hz", 50.0, 1.0, 40.0, 60.0, 9, 5, 2)] * 3)


def _key(path: Path) -> None:
    trials = {"k1": {"row": "model", "test": "quality"}}
    write_json(path, {"format": FORMAT, "study": "s", "trials": trials})


def _answers(path: Path) -> None:
    content = {"format": FORMAT, "listener": "l", "study": "s", "ratings": {"k1": 4}}
    write_json(path, content)


KNOWN_KEY = {"format": FORMAT, "study": "s", "trials": {"k1": {"row": "model", "test": "quality"}}}
HISTORY = [{"step": step, "loss": 1 / step} for step in range(1, 12)]

KINDS = {
    kind.name: kind
    for kind in (
        Kind("settings.yaml", _settings, _read_settings),
        Kind("manifest.csv", _manifest, read_manifest),
        Kind("about.json", lambda path: write_json(path, {"a": [1, 2.5]}), read_json),
        Kind("table.csv", _results, read_results),
        Kind("history.csv", lambda path: write_history(path, HISTORY), read_curves),
        Kind("x.safetensors", _safetensors, read_tensors, guarded=True),
        Kind("tokens.h5", _store, _read_store, guarded=True),
        Kind("shard.npz", _shard, read_arrays, guarded=True),
        Kind("x.mp4", _mp4, _read_mp4),
        Kind("x.wav", _wav, _read_wav),
        Kind("x.png", _png, _read_picture),
        Kind("x.jpg", _jpeg, _read_picture),
        Kind("x.zip", _zip, _unpack, own=(hostile_zip,) * 8),
        Kind("x.tar", _tar, _unpack, own=(partial(hostile_tar, False),) * 8),
        Kind("x.tar.gz", _tar, _unpack, own=(partial(hostile_tar, True),) * 8),
        Kind(
            "download",
            lambda path: path.write_bytes(WHOLE),
            read_download,
            guarded=True,
            own=(as_it_is,) * 12,
        ),
        Kind("x.pkl", _pickle, load_pickle),
        Kind("smpl.pkl", _smpl, aist_smpl),
        Kind("keypoints.pkl", _keypoints, aist_keypoints2d),
        Kind("x.pt", _checkpoint(True), lambda path: read_state_dict(path, "state_dict")),
        Kind("x.pth.tar", _checkpoint(False), lambda path: read_state_dict(path, "state_dict")),
        Kind("openpose.json", _pose_json, _read_pose_json),
        Kind("alphapose.json", _alphapose, lambda path: alphapose(path, 100.0, 30.0, 4)),
        Kind("x.npy", _array, _read_array),
        Kind("key.json", _key, read_key),
        Kind("answers.json", _answers, lambda path: read_answers(path, KNOWN_KEY)),
        Kind(
            "captions.json",
            _captions_json,
            _read_captions_json,
        ),
        *(_captions(suffix) for suffix in (".csv", ".tsv", ".jsonl", ".txt")),
    )
}

"""Every published checkpoint leads somewhere: its parts are known, and at a small size it plays."""

import pickle

import numpy as np
import pytest
import torch

from pipeline.codecs.jukebox import JukeboxArchitecture, JukeboxVQVAE
from pipeline.codecs.vqgan import VQGAN, VQGANArchitecture
from pipeline.features.i3d_training import random_i3d
from pipeline.features.text import ClipText
from pipeline.generation import released
from pipeline.generation.dances import PoseSource
from pipeline.generation.files import ModelFiles
from pipeline.generation.opening import open_model
from pipeline.generation.released import released_files, released_models
from pipeline.generation.settings import Captions, Classes, Dances, ModelSettings
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import write_json
from pipeline.storage import weights
from pipeline.storage.tensors import write_tensors
from tests.helpers.released_files import dance_checkpoint, denoiser_layout, filled, prefixed
from tests.helpers.small_models import SAMPLING, write_dance, write_openpose

RATE, HOP, FRAMES, LENGTH, CODES = 4000, 128, 12, 18, 20


def test_every_entry_names_weights_that_are_known():
    assert {"cdcd_aist", "cdcd_tiktok", "cdcd_cub200", "vqdiffusion_coco"} < set(released_models())
    for model in released_models().values():
        named = [model.checkpoint, model.codec, model.used_codes]
        assert set(filter(None, named)) <= set(weights.registry())


@pytest.mark.parametrize("name", released_models())
def test_missing_weights_are_told_all_at_once(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    model = released_models()[name]
    with pytest.raises(UserError, match=f"cdcd weights get {model.checkpoint}") as told:
        released_files(name)
    assert f"cdcd weights get {model.codec}" in str(told.value)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Puts a small file where `cdcd weights get` keeps the published one of that name."""
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))

    def put(name, write):
        entry = weights.entry(name)
        entry.path.parent.mkdir(parents=True, exist_ok=True)
        write(entry.path)
        write_json(entry.record, {"stored_size": entry.path.stat().st_size})

    return put


def jukebox(path):
    sizes = {"strides": [[2, 2, 2], [2, 2], [2, 2]], "width": [8, 8, 8], "depth": [1, 1, 1]}
    sizes |= {"dimension": 8, "n_codes": CODES, "sample_rate": RATE, "dilation_growth": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = JukeboxVQVAE(JukeboxArchitecture(**sizes))
        for block in codec.bottleneck["level_blocks"]:
            block.k.normal_()
    codec.save(path, {"weights": "random"})


def small(monkeypatch, name, **reads):
    """The entry of that name with sizes that fit small files."""
    entry = released_models()[name]
    read = entry.reads.model_copy(update=reads)
    shrunk = entry.model_copy(update={"reads": read, "sampling": SAMPLING})
    monkeypatch.setattr(released, "released_models", lambda: {name: shrunk})
    return name


def visual(settings):
    own = {"flow": None, "raft": None, "size": 32, "width": 0.0625, "window": 16, "fps": 16.0}
    return settings.model_copy(update=own)


@pytest.mark.parametrize("kind", ["aist", "tiktok"])
def test_a_released_dance_model_plays_a_clip(kind, shelf, tmp_path, monkeypatch):
    reads = released_models()[f"cdcd_{kind}"].reads
    assert isinstance(reads, Dances)
    assert reads.visual is not None
    fps = reads.pose.fps
    name = small(
        monkeypatch, f"cdcd_{kind}", sample_rate=RATE, visual=visual(reads.visual), clip_seconds=9
    )
    checkpoint = dance_checkpoint(kind, frames=FRAMES, length=LENGTH, visual=64)
    content = {name: checkpoint[name] for name in ("model", "ema")}
    shelf(f"cdcd_{kind}", lambda path: write_tensors(path, content, {}))
    shelf(released_models()[name].codec, jukebox)
    shelf("i3d_rgb", lambda path: random_i3d(3, 0.0625, 0).save(path))
    files = released_files(name)
    assert isinstance(files.settings.reads, Dances)
    assert files.settings.reads.clip_seconds == FRAMES / fps
    model = open_model(ModelFiles(**{**vars(files), "config": {"heads": 4}}))
    dance, poses = write_dance(tmp_path / "dance.mp4", 0.7, 30), tmp_path / "poses"
    source = write_poses(kind, poses, "dance")
    genre = {"genre": "LO"} if kind == "aist" else {}
    made = model.generate(dance, seeds=[0, 1], pose=source, **genre)
    assert made.waveforms.shape == (2, round(0.7 * RATE))
    assert (made.tokens[0] != made.tokens[1]).any()
    if kind == "aist":
        with pytest.raises(UserError, match="BR, PO, LO"):
            model.generate(dance, pose=source)


def write_poses(kind, folder, name) -> PoseSource:
    """Poses in the form that the released model of that kind reads."""
    generator = np.random.default_rng(0)
    if kind == "aist":
        folder.mkdir()
        content = {
            "smpl_poses": generator.normal(0, 0.3, (60, 72)),
            "smpl_trans": generator.normal(0, 1, (60, 3)),
            "smpl_scaling": np.ones(1),
        }
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))
        return PoseSource("aist_smpl", poses=folder)
    write_openpose(folder / name, 25)
    return PoseSource("openpose", poses=folder)


def vqgan(path, n_embed=40):
    sizes = {"z_channels": 32, "ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1, "resolution": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = VQGAN(VQGANArchitecture(embed_dim=8, n_embed=n_embed, ddconfig=sizes))
    codec.save(path, {"weights": "random"})


def table(path, n_embed=40):
    """A published table: every second full code is used."""
    codes = torch.where(torch.arange(n_embed) % 2 == 0, torch.arange(n_embed) // 2, 0)
    write_tensors(path, {"": codes}, {})


def clip_text(path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower = ClipText(width=64, layers=1)
        torch.nn.init.normal_(tower.positional_embedding, std=0.1)
    tower.save(path)


@pytest.mark.parametrize("name", ["cdcd_cub200", "vqdiffusion_imagenet"])
def test_a_released_picture_model_paints(name, shelf, monkeypatch):
    is_class = name == "vqdiffusion_imagenet"
    small(monkeypatch, name, image_size=8)
    block = {"classes": 1000} if is_class else {"condition": 64}
    layout = denoiser_layout(1, 32, CODES, 6, (4, 4), factor=2, feed_forward="conv", **block)
    state = prefixed("transformer.transformer.", filled(layout, 3))
    entry = released.released_models()[name]
    shelf(entry.checkpoint, lambda path: write_tensors(path, {"model": state}, {}))
    shelf(entry.codec, vqgan)
    assert entry.used_codes
    shelf(entry.used_codes, table)
    if not is_class:
        shelf("clip", clip_text)
    files = released_files(name)
    assert isinstance(files.settings.reads, Captions | Classes)
    config = {"heads": 4, "grid": (4, 4), "steps": 6}
    model = open_model(ModelFiles(**{**vars(files), "config": config}))
    said = {"label": 917} if is_class else {"text": "a small bird"}
    made = model.generate(seeds=[0, 1], **said)
    assert made.images.shape == (2, 3, 8, 8)
    assert (made.tokens[0] != made.tokens[1]).any()
    other = {"label": 3} if is_class else {"text": "a large red ship"}
    assert (made.tokens != model.generate(seeds=[0, 1], **other).tokens).any()


def test_the_settings_are_those_of_a_model():
    for name, model in released_models().items():
        ModelSettings(
            name=name, reads=model.reads, sampling=model.sampling, data=model.data, licence="none"
        )

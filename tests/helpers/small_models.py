"""Finished models of random weights, a fraction of a second each, and dances for them to follow."""

import json

import numpy as np
import torch
from torch.nn import functional as F

from pipeline.codecs.transform import TransformArchitecture, TransformCodec
from pipeline.codecs.vqgan import VQGAN, VQGANArchitecture
from pipeline.diffusion.sampler import Sampling
from pipeline.features.i3d_source import VisualConfig
from pipeline.features.i3d_training import random_i3d
from pipeline.features.pose_reader import PoseConfig
from pipeline.features.text import END, START, tokenise
from pipeline.generation.files import ModelFiles
from pipeline.generation.settings import Captions, Classes, Dances, ModelSettings
from pipeline.media.video import write_video
from pipeline.model.denoiser import DenoiserConfig
from pipeline.model.encoders.fuse import DanceConfig
from pipeline.model.encoders.text import TextConfig
from pipeline.model.network import (
    CaptionInputs,
    CaptionModel,
    ClassInputs,
    ClassModel,
    DanceInputs,
    DanceModel,
    build_network,
    save_model,
)

RATE, HOP, SECONDS, FPS, CODES, STEPS = 4000, 80, 1.0, 10.0, 24, 6
LENGTH = round(SECONDS * RATE / HOP)
DENOISER = DenoiserConfig(
    layers=1, width=32, heads=2, feed_forward="linear", factor=2, zero_init=False
)
SAMPLING = Sampling(steps=4)
TRAINED_ON = {  # as `cdcd train` notes it
    "contrast": "vanilla",
    "conditions": {"classes": ["cat", "dog", "7"], "genres": ["BR", "PO"], "weights": "0" * 64},
}
WORDS = "a red circle left of a blue square"


def dance_files(folder, genre_input=False, kind="coco17", dropout=None) -> ModelFiles:
    """A dance model that plays windows of a second at 4 kHz."""
    visual = VisualConfig(
        weights="random",
        fps=8.0,
        size=32,
        width=0.0625,
        window=16,
        training={"steps": 1, "batch_size": 2, "frames": 16, "learning_rate": 1e-3, "seed": 0},
    )
    network = build_network(
        DanceModel(
            denoiser=DENOISER,
            condition=DanceConfig(
                condition="aligned",
                pose=kind,
                fps=FPS,
                genre_input=genre_input,
                dropout=dropout,
                motion_width=8,
                motion_blocks=1,
                visual_width=8,
                width=32,
            ),
        ),
        DanceInputs(pose=kind, n_frames=round(SECONDS * FPS), visual_numbers=64, n_genres=2),
        n_codes=CODES,
        grid=(1, LENGTH),
        n_steps=STEPS,
        seed=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = TransformCodec(
            TransformArchitecture(
                kind="transform",
                sample_rate=RATE,
                hop=HOP,
                width=16,
                blocks=(1, 1),
                dimension=8,
                n_codes=CODES,
                iterations=1,
            )
        ).eval()
        codec.quantiser.k.copy_(F.normalize(torch.randn_like(codec.quantiser.k), dim=1))
    save_model(_decided(network), folder / "model.safetensors", TRAINED_ON)
    codec.save(folder / "codec.safetensors", {"weights": "random"})
    random_i3d(3, visual.width, 0).save(folder / "i3d_rgb.safetensors", weights="random")
    source = {"coco17": "markers", "smpl219": "aist_smpl", "body25": "openpose"}[kind]
    reads = Dances(
        clip_seconds=SECONDS,
        sample_rate=RATE,
        peak=0.95,
        pose=PoseConfig(kind=kind, source=source, fps=FPS),
        visual=visual,
        genres=("BR", "PO"),
    )
    return ModelFiles(
        _settings("small_dance", reads),
        folder / "model.safetensors",
        folder / "codec.safetensors",
        {"i3d_rgb": folder / "i3d_rgb.safetensors"},
        "# small_dance\n",
    )


def picture_files(folder, task) -> ModelFiles:
    """A caption or class model of 4 x 4 tokens and pictures of 8 x 8 pixels."""
    sizes = {"z_channels": 32, "ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1, "resolution": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = VQGAN(VQGANArchitecture(embed_dim=8, n_embed=CODES, ddconfig=sizes)).eval()
    if task == "class":
        model, inputs = ClassModel(denoiser=DENOISER), ClassInputs(n_classes=3)
        reads = Classes(classes=("cat", "dog", "7"), image_size=8)
    else:
        words = sorted(set(tokenise([WORDS]).tokens[0].tolist()) - {0} | {START, END})
        text = TextConfig(layers=1, width=32, heads=2, length=16)
        model = CaptionModel(denoiser=DENOISER, text=text)
        inputs = CaptionInputs(vocabulary=tuple(words), clip_size=None)
        reads = Captions(text="bpe", image_size=8)
    network = build_network(model, inputs, n_codes=CODES, grid=(4, 4), n_steps=STEPS, seed=0)
    save_model(_decided(network), folder / "model.safetensors", TRAINED_ON)
    codec.save(folder / "codec.safetensors", {"weights": "random"})
    return ModelFiles(
        _settings(f"small_{task}", reads),
        folder / "model.safetensors",
        folder / "codec.safetensors",
        card=f"# small_{task}\n",
    )


@torch.no_grad()
def _decided(network):
    """The network with louder conditions and opinions, so that another condition changes what is
    drawn.
    """
    network.denoiser.output.weight.mul_(3)
    for module in network.encoder.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.weight.mul_(5)
    return network


def _settings(name, reads) -> ModelSettings:
    return ModelSettings(name=name, reads=reads, sampling=SAMPLING, data="noise", licence="mit")


def write_dance(path, seconds, fps=20, side=32, seed=0):
    """A film of `seconds` whose brightness rises and falls; `moving` reads a dancer from it."""
    generator = np.random.default_rng(seed)
    times = np.arange(round(seconds * fps)) / fps
    level = 120 + 80 * np.sin(2 * np.pi * (1 + seed) * times)
    frames = np.repeat(level, side * side * 3).reshape(-1, side, side, 3)
    frames = frames + generator.normal(0, 8, frames.shape)
    write_video(path, frames.clip(0, 255).astype(np.uint8), fps)
    return path


def moving(frames):
    """Joints [T, 17, 3] in pixels: a fixed figure whose arms rise with the brightness of the
    pictures; stands in for the reader of markers.
    """
    figure = np.linspace(4, frames.shape[1] - 4, 17)
    joints = np.stack([figure, figure[::-1], np.ones(17)], axis=-1)
    joints = np.repeat(joints[None], len(frames), axis=0)
    joints[:, 7:11, 1] += frames.mean((1, 2, 3))[:, None] / 20
    return joints


def write_openpose(folder, n_frames):
    """OpenPose's files of a figure that trembles, one a frame."""
    generator = np.random.default_rng(0)
    figure = generator.uniform(4, 28, (25, 2))
    folder.mkdir(parents=True)
    for number in range(n_frames):
        place = figure + generator.normal(0, 0.2, figure.shape)
        points = np.concatenate([place, np.ones((25, 1))], axis=1).ravel().tolist()
        content = json.dumps({"people": [{"pose_keypoints_2d": points}]})
        (folder / f"d_{number:012d}_keypoints.json").write_text(content)

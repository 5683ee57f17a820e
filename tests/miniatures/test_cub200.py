"""CUB-200 in small, from `download` to `evaluate`: with everything learned here, and with networks
as published.
"""

import numpy as np
import pytest
import torch

from pipeline.codecs.vqgan import VQGAN, VQGANArchitecture
from pipeline.datasets.captions import captions_of
from pipeline.features.text import ClipText
from pipeline.metrics.results import read_results
from pipeline.storage.manifest import read_manifest
from pipeline.storage.store import Store
from tests.helpers.checkout import (
    check,
    finished,
    preset,
    run_stages,
    shrink,
    stand_in,
    without_published_weights,
)
from tests.miniatures.sets import caption, write_cub200

COUNTS = [
    "train: 6 pictures, the complete set has 8,855.",
    "test: 4 pictures, the complete set has 2,933.",
]


@pytest.fixture
def cub200(tmp_path):
    write_cub200(tmp_path / "cub200")
    return preset("cub200", media_root=tmp_path / "cub200")


def test_without_published_weights(cub200, tmp_path):
    without_published_weights(cub200, "toy_shapes")
    shrink(cub200)
    run_stages(tmp_path, cub200=cub200)
    root = tmp_path / "data" / "cub200"
    clips = read_manifest(root / "raw" / "manifest.csv").clips
    assert [clip.split for clip in clips] == 6 * ["train"] + 4 * ["test"]
    assert captions_of(clips[0], root / "raw")[0] == caption(0).lower()
    assert Store(root / "conditions.h5", "conditions")["text"].shape == (10, 10, 77)
    means = finished(tmp_path, "cub200", {"fid", "r_precision", "copied"})
    assert np.isfinite(means["ground_truth", "r_precision"])
    assert check(tmp_path, "cub200") == COUNTS


def test_a_picture_for_every_caption(cub200, tmp_path):
    without_published_weights(cub200, "toy_shapes")
    cub200["sample"]["captions"] = "all"
    shrink(cub200)
    run_stages(tmp_path, cub200=cub200)
    further = Store(tmp_path / "data" / "cub200" / "samples" / "further_captions.h5", "samples")
    assert len(further) == 4 * 9  # four test pictures of ten captions; the first stands elsewhere
    assert {name.rsplit("#", 1)[1] for name in further.ids} == {str(k) for k in range(1, 10)}
    lines = read_results(tmp_path / "reports" / "metrics" / "cub200" / "table.csv")
    counts = {
        line.protocol.endswith("all captions"): line.n_clips
        for line in lines
        if (line.row, line.metric) == ("model", "fid")
    }
    assert counts == {False: 4, True: 40}


def test_real_birds(shared, tmp_path):
    cub200 = preset("cub200", media_root=shared / "cub200" / "mini")
    without_published_weights(cub200, "toy_shapes")
    shrink(cub200)
    run_stages(tmp_path, cub200=cub200)
    assert Store(tmp_path / "data" / "cub200" / "conditions.h5", "conditions")["text"].shape == (
        9,
        10,
        77,
    )
    finished(tmp_path, "cub200", {"fid", "r_precision", "copied"})


def test_with_networks_as_published(cub200, tmp_path):
    """CLIP's text tower and the Gumbel VQ-GAN by their published names, random and narrow; the
    judge is trained here.
    """
    cub200["judge"] = preset("toy_shapes")["judge"]
    cub200["media"]["image_size"] = 32
    shrink(cub200)
    tower = ClipText(width=64, layers=1)
    torch.nn.init.normal_(tower.positional_embedding, std=0.01)
    stand_in(tmp_path, "clip", tower.save)
    stand_in(
        tmp_path, "vqgan_f8", lambda path: VQGAN(small_gumbel()).save(path, {"weights": "random"})
    )
    run_stages(tmp_path, cub200=cub200)
    conditions = Store(tmp_path / "data" / "cub200" / "conditions.h5", "conditions")
    assert conditions["clip_text"].shape == (10, 10, 77, 64)
    assert conditions.provenance["extractor"] == "clip ViT-B/32"
    assert Store(tmp_path / "data" / "cub200" / "tokens.h5", "tokens")["tokens"].shape == (10, 16)
    finished(tmp_path, "cub200", {"fid", "r_precision", "copied"})


def small_gumbel():
    """The published f8 VQ-GAN's kind, for 32 x 32 pixels."""
    sizes = {
        "double_z": False,
        "z_channels": 16,
        "resolution": 32,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 16,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "attn_resolutions": [4],
        "dropout": 0.0,
    }
    return VQGANArchitecture(quantiser="gumbel", embed_dim=16, n_embed=32, ddconfig=sizes)

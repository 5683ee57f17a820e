"""MSCOCO in small, in the layouts of both years, from `download` to `evaluate`."""

import pytest

from pipeline.datasets.coco import PICTURES
from pipeline.storage.manifest import read_manifest
from pipeline.storage.store import Store
from tests.datasets.test_coco import coco_root
from tests.helpers.checkout import (
    check,
    finished,
    preset,
    run_stages,
    shrink,
    without_published_weights,
)
from tests.miniatures.sets import write_coco


@pytest.mark.parametrize("year", [2014, 2017])
def test_without_published_weights(tmp_path, year):
    write_coco(tmp_path / "coco", year)
    coco = preset("coco", media_root=tmp_path / "coco", year=year)
    without_published_weights(coco, "toy_shapes")
    shrink(coco)
    run_stages(tmp_path, coco=coco)
    clips = read_manifest(tmp_path / "data" / "coco" / "raw" / "manifest.csv").clips
    assert [clip.split for clip in clips] == 8 * ["train"] + 4 * ["test"]
    conditions = Store(tmp_path / "data" / "coco" / "conditions.h5", "conditions")
    assert conditions["captions"][:].tolist() == [5, 5, 6, 5, 5, 5, 5, 5, 5, 5, 6, 5]
    finished(tmp_path, "coco", {"fid", "r_precision", "copied"})
    assert check(tmp_path, "coco") == [
        f"train: 8 pictures, the complete set has {PICTURES[year]['train']:,}.",
        f"test: 4 pictures, the complete set has {PICTURES[year]['test']:,}.",
    ]


def test_real_scenes(shared, tmp_path):
    coco = preset(
        "coco", media_root=coco_root(shared, tmp_path / "coco", 2014), validation_images=4
    )
    without_published_weights(coco, "toy_shapes")
    shrink(coco)
    run_stages(tmp_path, coco=coco)
    assert Store(tmp_path / "data" / "coco" / "tokens.h5", "tokens")["tokens"].shape == (48, 64)
    finished(tmp_path, "coco", {"fid", "r_precision", "copied"})

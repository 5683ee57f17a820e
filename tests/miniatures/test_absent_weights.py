"""The presets name published weights: where they are not there, a stage says in a sentence how to
get them.
"""

from types import SimpleNamespace

import pytest

from pipeline.runtime.errors import UserError
from stages.judge import build_gallery
from tests.helpers.checkout import inside, preset, run_stages
from tests.miniatures.sets import write_aist_videos, write_coco, write_cub200, write_imagenet


def aist(root):
    write_aist_videos(root)
    return preset("aist", media_root=root, annotations_root=root / "annotations")


def cub200(root):
    write_cub200(root)
    return preset("cub200", media_root=root)


def coco(root):
    write_coco(root, 2014)
    return preset("coco", media_root=root)


def imagenet(root):
    write_imagenet(root)
    return preset("imagenet", media_root=root)


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (aist, {"extract": "i3d_rgb", "codec": "jukebox"}),
        (cub200, {"extract": "clip", "codec": "vqgan_f8", "judge": "inception_fid"}),
        (coco, {"extract": "clip", "codec": "vqgan_f8", "judge": "inception_fid"}),
        (imagenet, {"codec": "vqgan_f16", "judge": "inception_fid"}),
    ],
)
def test_what_is_missing_is_named(tmp_path, make, missing):
    section = {make.__name__: make(tmp_path / "media")}
    run_stages(tmp_path, ("download",), **section)
    for stage, name in missing.items():
        with pytest.raises(
            UserError, match=rf"The weights {name} \(.*run `cdcd weights get {name}`"
        ):
            run_stages(tmp_path, (stage,), **section)


def test_the_embedding_of_the_dance_judge_is_named(tmp_path):
    judge = SimpleNamespace(**preset("tiktok")["judge"])
    with inside(tmp_path), pytest.raises(UserError, match="run `cdcd weights get vggish`"):
        build_gallery(tmp_path / "judge", judge, [], [], [], [], 22050)

"""TikTok Dance-Music in small, from `download` to `evaluate`: the authors' features, and one's own
videos.
"""

import shutil

from pipeline.storage.manifest import read_manifest
from pipeline.storage.store import Store
from tests.helpers.checkout import (
    check,
    finished,
    jukebox,
    preset,
    run_stages,
    shrink,
    stand_in,
    without_published_weights,
)
from tests.miniatures.sets import TIKTOK, write_tiktok

COUNTS = [
    "train: {} clips, the complete set has 2,384.",
    "test: {} clips, the complete set has 307.",
]


def tiktok_preset(root, **download):
    lists = {f"{split}_list": root / f"tiktok_audio_{split}_segment.txt" for split in TIKTOK}
    return preset("tiktok", media_root=root, **lists, **download)


def test_from_the_authors_features(tmp_path):
    """No validation split, no genres, no I3D, no RAFT; the codec has its published name and
    layout.
    """
    write_tiktok(tmp_path / "tiktok", clips=2)
    tiktok = tiktok_preset(tmp_path / "tiktok")
    tiktok["judge"] = {"embedding": "mfcc", "weights": None}
    shrink(tiktok)
    stand_in(tmp_path, "jukebox", jukebox)
    run_stages(tmp_path, tiktok=tiktok)
    clips = read_manifest(tmp_path / "data" / "tiktok" / "raw" / "manifest.csv").clips
    assert [clip.split for clip in clips] == 6 * ["train"] + 4 * ["test"]
    conditions = Store(tmp_path / "data" / "tiktok" / "conditions.h5", "conditions")
    assert conditions["motion"].shape == (10, 60, 75)
    assert conditions["visual"].shape == (10, 1, 2048)
    means = finished(tmp_path, "tiktok", {"beats_coverage", "beats_hit", "kad", "copied"})
    assert not [metric for _, metric in means if metric == "genre_accuracy"]
    assert check(tmp_path, "tiktok") == [COUNTS[0].format(6), COUNTS[1].format(4)]


def test_from_real_videos_with_poses_read_here(shared, tmp_path):
    """Footage of a dancer under the set's names; MoveNet reads the poses, I3D is random, as there
    are no genres.
    """
    root, movenet = tmp_path / "tiktok", shared / "weights" / "movenet_lightning_int8.tflite"
    write_tiktok(root, clips=1)
    for name in (name for names in TIKTOK.values() for name in names):
        shutil.copy(
            shared / "dance_videos" / "in_the_wild" / "jacky_dance.mp4", root / f"{name}.mp4"
        )
    tiktok = tiktok_preset(root, source="videos")
    without_published_weights(tiktok, "toy_dance")
    tiktok["extract"]["pose"] |= {
        "source": "movenet",
        "weights": str(movenet),
        "file_fps": None,
    }
    tiktok["extract"]["visual"] = preset("toy_dance")["extract"]["visual"] | {"weights": "random"}
    tiktok["media"]["pose"] = "coco17"
    shrink(tiktok)
    run_stages(tmp_path, tiktok=tiktok)
    conditions = Store(tmp_path / "data" / "tiktok" / "conditions.h5", "conditions")
    assert conditions["motion"].shape == (5, 60, 51)
    assert conditions.provenance["extractor"] == "i3d random"
    finished(tmp_path, "tiktok", {"copied"})
    assert check(tmp_path, "tiktok") == [COUNTS[0].format(3), COUNTS[1].format(2)]

"""AIST++ in small, from `download` to `evaluate`: from videos, and from the authors' features."""

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
from tests.miniatures.sets import write_aist_features, write_aist_videos


def test_from_videos_without_published_weights(tmp_path):
    root = tmp_path / "aist"
    write_aist_videos(root)
    aist = preset("aist", media_root=root, annotations_root=root / "annotations")
    without_published_weights(aist, "toy_dance")
    aist["extract"]["visual"] = preset("toy_dance")["extract"]["visual"]
    shrink(aist)
    run_stages(tmp_path, aist=aist)
    clips = read_manifest(tmp_path / "data" / "aist" / "raw" / "manifest.csv").clips
    assert [clip.id for clip in clips if clip.split == "val"] == [
        f"gHO_sBM_c01_d20_mHO5_ch01_seg{k}" for k in (1, 2, 3)
    ]
    conditions = Store(tmp_path / "data" / "aist" / "conditions.h5", "conditions")
    assert conditions["motion"].shape == (18, 120, 219)
    assert conditions.provenance["extractor"] == "i3d train"
    finished(tmp_path, "aist", {"beats_coverage", "beats_hit", "beats_f1", "kad", "copied"})
    assert {
        file.suffix for file in (tmp_path / "data" / "aist" / "samples" / "media").iterdir()
    } == {".wav", ".mp4"}
    assert check(tmp_path, "aist") == [
        "train: 9 clips of 2 s, the complete set has 6,632.",
        "val: 3 clips of 2 s, the complete set has 86.",
        "test: 6 clips of 2 s, the complete set has 86.",
    ]


def test_from_the_authors_features(tmp_path):
    """No I3D and no RAFT are asked for; the codec has its published name and layout."""
    write_aist_features(tmp_path / "features")
    aist = preset("aist", source="features", media_root=tmp_path / "features")
    aist["extract"]["pose"] |= {"source": "array", "file_fps": 60}
    aist["judge"] = {"embedding": "mfcc", "weights": None}
    shrink(aist)
    stand_in(tmp_path, "jukebox", jukebox)
    run_stages(tmp_path, aist=aist)
    root = tmp_path / "data" / "aist"
    conditions = Store(root / "conditions.h5", "conditions")
    assert conditions["visual"].shape == (18, 1, 2048)
    assert conditions.provenance["extractor"] == "ready features"
    assert [file.name for file in (root / "extractor").iterdir()] == ["skipped.csv"]
    assert Store(root / "tokens.h5", "tokens")["tokens"].shape == (18, 344)
    finished(tmp_path, "aist", {"beats_coverage", "beats_hit", "genre_accuracy", "kad"})
    assert {file.suffix for file in (root / "samples" / "media").iterdir()} == {".wav"}
    assert len(check(tmp_path, "aist")) == 3

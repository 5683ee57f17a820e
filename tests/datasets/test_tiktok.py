from collections import Counter

import numpy as np
import pytest

from pipeline.datasets import tiktok
from pipeline.datasets.segments import split_segment
from pipeline.datasets.tiktok import Tiktok, listed_clips, song_of
from pipeline.media.audio import write_wav
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.manifest import read_manifest

TRAIN = [
    "000000_0_0_seg2",
    "000000_0_0_seg1",
    "000001_1_14_seg1",
    "000002_2_39_seg1",
    "000002_2_39_seg3",
]
TEST = ["000007_7_188_seg1", "000007_7_188_seg2"]


def settings(root, **changes):
    content = {
        "source": "features",
        "media_root": root / "tiktok",
        "train_list": root / "train.txt",
        "test_list": root / "test.txt",
        "validation_songs": 0,
        "split_seed": 0,
    }
    return validate(Tiktok, content | changes, "tiktok.download")


def real_lists(shared, kind="audio", **changes):
    lists = shared / "cdcd_lists"
    paths = {
        f"{split}_list": lists / f"tiktok_{kind}_{split}_segment.txt" for split in ("train", "test")
    }
    return settings(shared, **paths, **changes)


def write_features(root, name):
    for kind in ("audio_s2", "motion_s2", "video_s2"):
        (root / "tiktok" / kind).mkdir(parents=True, exist_ok=True)
    write_wav(root / "tiktok" / "audio_s2" / f"{name}.wav", np.full(2000, 0.1, np.float32), 1000)
    np.save(root / "tiktok" / "motion_s2" / f"{name}.npy", np.zeros(4500, np.float32))
    np.save(root / "tiktok" / "video_s2" / f"{name}.npy", np.zeros((1, 2048), np.float32))


@pytest.fixture
def root(tmp_path):
    """The set in small: the authors' lists, with the folders of their machine before each name, and
    their features.
    """
    for split, names in (("train", TRAIN), ("test", TEST)):
        (tmp_path / f"{split}.txt").write_text(
            "".join(f"./tiktok/audio_s2/{name}.wav\n" for name in names)
        )
    for name in TRAIN + TEST:
        write_features(tmp_path, name)
    return tmp_path


def test_real_lists_hold_the_published_counts_and_share_no_song(shared):
    rows = listed_clips(real_lists(shared))
    videos = {
        split: {split_segment(name)[0] for name, where, _ in rows if where == split}
        for split in ("train", "test")
    }
    songs = {
        split: {song for _, where, song in rows if where == split} for split in ("train", "test")
    }
    assert Counter(where for _, where, _ in rows) == {"train": 2384, "test": 307}
    assert {split: len(names) for split, names in videos.items()} == {"train": 392, "test": 53}
    assert {split: len(names) for split, names in songs.items()} == {"train": 43, "test": 43}
    assert not songs["train"] & songs["test"]
    assert not videos["train"] & videos["test"]


@pytest.mark.parametrize("kind", ["motion", "video"])
def test_the_real_lists_of_each_kind_name_the_same_clips(shared, kind):
    assert listed_clips(real_lists(shared, kind)) == listed_clips(real_lists(shared))


def test_held_out_songs_of_the_real_lists_leave_training_whole(shared):
    rows = listed_clips(real_lists(shared, validation_songs=4))
    songs = {
        split: {song for _, where, song in rows if where == split}
        for split in ("train", "val", "test")
    }
    assert {split: len(names) for split, names in songs.items()} == {
        "train": 39,
        "val": 4,
        "test": 43,
    }
    assert not songs["train"] & songs["val"]
    assert rows == listed_clips(real_lists(shared, validation_songs=4))
    assert rows != listed_clips(real_lists(shared, validation_songs=4, split_seed=1))


def test_features(root, tmp_path):
    assert tiktok.prepare(settings(root, validation_songs=1), tmp_path / "raw") == []
    manifest = read_manifest(tmp_path / "raw" / "manifest.csv", root / "tiktok")
    assert [clip.id for clip in manifest.clips] == TRAIN + TEST
    assert len({clip.song for clip in manifest.clips if clip.split == "val"}) == 1
    clip = manifest.clips[0]
    assert (clip.song, clip.start_s, clip.duration_s) == ("0", 0.0, 2.0)
    assert all(
        (manifest.root / name).is_file() for name in (clip.path, clip.pose_file, clip.visual_file)
    )


def test_check_of_features(root):
    (root / "tiktok" / "video_s2" / f"{TEST[0]}.npy").unlink()
    (root / "tiktok" / "audio_s2" / f"{TEST[1]}.wav").write_bytes(b"RIFF")
    np.save(root / "tiktok" / "motion_s2" / f"{TRAIN[0]}.npy", np.zeros((60, 51)))
    findings = "\n".join(tiktok.check(settings(root)))
    assert "train: 5 clips, the complete set has 2,384." in findings
    assert f"video_s2/{TEST[0]}.npy: is missing." in findings
    assert f"{TEST[1]}.wav is unusable" in findings
    assert "holds 3060 values of type float64, expected 4500 numbers" in findings


def test_own_videos(root, tmp_path, write_dance):
    write_dance(root / "tiktok" / "000000_0_0.mp4", 4.0)
    write_dance(root / "tiktok" / "000001_1_14.mov", 2.5)
    write_dance(root / "tiktok" / "000002_2_39.mp4", 5.0)
    config = settings(root, source="videos")
    skipped = dict(tiktok.prepare(config, tmp_path / "raw"))
    manifest = read_manifest(tmp_path / "raw" / "manifest.csv", root / "tiktok")
    assert {clip.id: (clip.path, clip.start_s) for clip in manifest.clips} == {
        "000000_0_0_seg2": ("000000_0_0.mp4", 2.0),
        "000000_0_0_seg1": ("000000_0_0.mp4", 0.0),
        "000001_1_14_seg1": ("000001_1_14.mov", 0.0),
        "000002_2_39_seg1": ("000002_2_39.mp4", 0.0),
    }
    assert "holds no video of that name" in skipped["000007_7_188"]
    assert "ends at 6 s, but its video lasts 5.0" in skipped["000002_2_39_seg3"]


def test_mistakes_in_lists_and_names(root):
    with pytest.raises(UserError, match="not the name of a clip"):
        split_segment("000000_0_0_seg0")
    with pytest.raises(UserError, match="not a TikTok Dance-Music name"):
        song_of("holiday")
    with pytest.raises(UserError, match="nothing would be left"):
        listed_clips(settings(root, validation_songs=3))
    (root / "test.txt").write_text("")
    assert "test.txt is empty" in tiktok.check(settings(root))[0]

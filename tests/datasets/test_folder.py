"""Any directory of videos becomes a manifest: cut, split by video, silent ones for inference,
broken ones told.
"""

import numpy as np
import pytest

from pipeline.datasets import folder
from pipeline.datasets.folder import Folder
from pipeline.media.video import write_video
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.manifest import read_manifest

RATE = 16_000


def film(path, seconds, level=0.3, fps=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(0).integers(
        0, 255, (round(seconds * fps), 32, 48, 3), dtype=np.uint8
    )
    sound = (
        None
        if level is None
        else (level * np.sin(np.arange(round(seconds * RATE)) * 0.3)).astype(np.float32)
    )
    write_video(path, frames, fps, sound, RATE)


def settings(root, **changes) -> Folder:
    content = {
        "media_root": str(root),
        "clip_seconds": 1.0,
        "hop_seconds": 1.0,
        "genres": False,
        "val_share": 0.2,
        "test_share": 0.2,
        "split_seed": 0,
        "silence_db": -50.0,
    }
    return validate(Folder, content | changes, "folder.download")


def prepare(root, raw, **changes):
    raw.mkdir(exist_ok=True)
    config = settings(root, **changes)
    skipped = folder.prepare(config, raw)
    return read_manifest(raw / "manifest.csv", config.media_root), skipped


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for number in range(5):
        film(root / ("break" if number % 2 else "locking") / f"v{number}.mp4", 2.5)
    film(root / "Upper.MOV", 3.0, level=None)
    film(root / "deep" / "er" / "quiet.mp4", 1.0, level=0.001)
    film(root / "short.mp4", 0.5)
    (root / "broken.mp4").write_bytes((root / "break" / "v1.mp4").read_bytes()[:2000])
    (root / "page.webm").write_text("<html>")
    (root / "notes.txt").write_text("no video")
    (root / ".hidden.mp4").write_text("no video")
    return root


def test_videos_are_cut_and_divided_and_the_others_told(videos, tmp_path):
    manifest, skipped = prepare(videos, tmp_path)
    reasons = dict(skipped)
    assert set(reasons) == {"short.mp4", "broken.mp4", "page.webm"}
    assert "less than a clip" in reasons["short.mp4"]
    splits = {}
    for clip in manifest.clips:
        splits.setdefault(clip.path, set()).add(clip.split)
        assert manifest.file(clip).exists()
        assert clip.duration_s == 1.0
        assert clip.genre is None
    assert splits.pop("Upper.MOV") == {"infer"}
    assert splits.pop("deep/er/quiet.mp4") == {"infer"}
    assert sorted(split for found in splits.values() for split in found) == [
        "test",
        "train",
        "train",
        "train",
        "val",
    ]
    starts = [clip.start_s for clip in manifest.clips if clip.path == "locking/v0.mp4"]
    assert starts == [0.0, 1.0]
    assert [clip.start_s for clip in manifest.clips if clip.path == "Upper.MOV"] == [0.0, 1.0, 2.0]


def test_splits_follow_their_seed(videos, tmp_path):
    def splits(seed, number):
        return [
            (clip.id, clip.split)
            for clip in prepare(videos, tmp_path / str(number), split_seed=seed)[0].clips
        ]

    assert splits(0, 0) == splits(0, 1)
    assert len({tuple(splits(seed, 10 + seed)) for seed in range(4)}) > 1


def test_hop_and_genres(videos, tmp_path):
    manifest, _ = prepare(videos, tmp_path, hop_seconds=0.5, genres=True)
    clips = [clip for clip in manifest.clips if clip.path == "break/v1.mp4"]
    assert [clip.start_s for clip in clips] == [0.0, 0.5, 1.0, 1.5]
    assert {clip.genre for clip in clips} == {"break"}
    assert {clip.genre for clip in manifest.clips if clip.path == "Upper.MOV"} == {None}


def test_a_silent_stretch_of_a_loud_video_is_for_inference(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    sound = (0.3 * np.sin(np.arange(2 * RATE) * 0.3) * (np.arange(2 * RATE) < 0.9 * RATE)).astype(
        np.float32
    )
    write_video(tmp_path / "videos.mp4", frames, 10, sound, RATE)
    manifest, _ = prepare(tmp_path, tmp_path / "raw")
    assert [clip.split for clip in manifest.clips] == ["train", "infer"]


def test_a_folder_without_videos_is_one_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(UserError, match="holds no video"):
        folder.prepare(settings(tmp_path), tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        folder.prepare(settings(tmp_path / "absent"), tmp_path)
    (tmp_path / "page.mp4").write_text("<html>")
    with pytest.raises(UserError, match=r"page\.mp4"):
        folder.prepare(settings(tmp_path), tmp_path)
    with pytest.raises(UserError, match="leave something to train on"):
        settings(tmp_path, val_share=0.6, test_share=0.5)


def test_check_tells_what_is_wrong_and_changes_nothing(videos, tmp_path):
    findings = folder.check(settings(videos))
    assert len(findings) == 3
    assert folder.check(settings(tmp_path)) == [str(mistake_of(tmp_path))]


def mistake_of(root) -> UserError:
    with pytest.raises(UserError) as caught:
        folder.prepare(settings(root), root)
    return caught.value


def parts(counts, **changes):
    """(test, validation, training) clips and videos of videos with the given numbers of clips."""
    videos = {f"v{number}.mp4": count for number, count in enumerate(counts)}
    splits = folder._splits(settings("/tmp", **changes), videos)
    return [
        (
            sum(videos[name] for name in splits if splits[name] == split),
            sum(split == found for found in splits.values()),
        )
        for split in ("test", "val", "train")
    ]


@pytest.mark.parametrize("seed", range(8))
def test_ten_uneven_videos_keep_a_useful_test_part(seed):
    """They were split 22 / 13 / 1 clips by whole videos."""
    counts = [13, 6, 5, 4, 3, 1, 1, 1, 1, 1]
    test, val, train = parts(counts, val_share=0.1, test_share=0.1, split_seed=seed)
    assert 8 <= test[0] <= 14
    assert val[1] >= 1
    assert train[0] >= 13


@pytest.mark.parametrize("seed", range(4))
def test_of_many_videos_the_shares_of_clips_are_met(seed):
    counts = [1 + (7 * number) % 23 for number in range(300)]
    test, val, _ = parts(counts, val_share=0.1, test_share=0.2, split_seed=seed)
    assert test[0] == pytest.approx(0.2 * sum(counts), rel=0.01)
    assert val[0] == pytest.approx(0.1 * sum(counts), rel=0.02)


@pytest.mark.parametrize("counts", [[1], [5, 1], [1, 1, 1], [100, 1, 1], [1, 50, 50]])
def test_something_is_always_left_to_train_on(counts):
    test, val, train = parts(counts)
    assert train[1] >= 1
    assert test[0] + val[0] + train[0] == sum(counts)
    assert (test[1] >= 1 and val[1] >= 1) == (len(counts) >= 3)
    assert parts(counts, val_share=0, test_share=0) == [(0, 0), (0, 0), (sum(counts), len(counts))]

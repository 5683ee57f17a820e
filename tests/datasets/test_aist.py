"""AIST++ in its original layout: read, checked, fetched, and refused where it is damaged."""

import os
import pickle
import zipfile
from collections import Counter

import numpy as np
import pytest

from pipeline.datasets import aist, aist_download
from pipeline.datasets.aist import Aist, parse_sequence
from pipeline.datasets.listing import verify_listing
from pipeline.datasets.segments import segment_name
from pipeline.media.audio import write_wav
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.manifest import read_manifest

MINIATURE = {
    "train": ["gWA_sBM_cAll_d26_mWA5_ch05", "gHO_sBM_cAll_d19_mHO1_ch03"],
    "val": ["gKR_sBM_cAll_d28_mKR2_ch01"],
    "test": ["gKR_sBM_cAll_d30_mKR2_ch02"],
}


def settings(root, **changes):
    content = {
        "source": "local",
        "media_root": root / "videos",
        "annotations_root": root / "annotations",
        "accept_aist_terms": False,
        "annotations": ["motions"],
        "motion": "motions",
        "clip_seconds": 2,
        "clips": "complete",
        "drop_ignored": False,
    }
    return validate(Aist, content | changes, "aist.download")


def write_motion(path, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = round(seconds * 60) - 1
    motion = {
        "smpl_poses": np.zeros((frames, 72)),
        "smpl_trans": np.zeros((frames, 3)),
        "smpl_scaling": np.ones(1),
    }
    path.write_bytes(pickle.dumps(motion, protocol=2))


@pytest.fixture(scope="module")
def originals(tmp_path_factory, write_dance):
    """AIST++ in small: four sequences under original names, their lists, one of them ignored."""
    root = tmp_path_factory.mktemp("aist")
    for split, names in MINIATURE.items():
        listing = root / "annotations" / "splits" / f"crossmodal_{split}.txt"
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("\n".join(names) + "\n")
        for sequence in map(parse_sequence, names):
            write_dance(root / "videos" / f"{sequence.video}.mp4", sequence.seconds)
            write_motion(
                root / "annotations" / "motions" / f"{sequence.name}.pkl", sequence.seconds
            )
    (root / "annotations" / "ignore_list.txt").write_text(MINIATURE["train"][1] + "\n")
    return root


@pytest.fixture
def root(tmp_path, originals):
    """A copy of the miniature, made of links, in which files can be removed and replaced."""
    for file in (path for path in originals.rglob("*") if path.is_file()):
        link = tmp_path / "aist" / file.relative_to(originals)
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, link)
    return tmp_path / "aist"


def test_a_miniature_in_the_original_layout(root, tmp_path):
    raw = tmp_path / "raw"
    assert aist.prepare(settings(root), raw) == []
    manifest = read_manifest(raw / "manifest.csv", root / "videos")
    assert Counter(clip.split for clip in manifest.clips) == {"train": 3 + 4, "val": 4, "test": 4}
    clip = manifest.clips[1]
    assert (clip.id, clip.start_s, clip.duration_s) == ("gWA_sBM_c01_d26_mWA5_ch05_seg2", 2.0, 2.0)
    assert (clip.song, clip.genre) == ("mWA5", "WA")
    assert manifest.file(clip).is_file()
    assert (manifest.root / clip.pose_file).resolve() == (
        root / "annotations/motions/gWA_sBM_cAll_d26_mWA5_ch05.pkl"
    ).resolve()
    assert verify_listing(raw, root / "videos") == []
    before = (raw / "manifest.csv").read_bytes(), (raw / "listing.sha256").read_bytes()
    aist.prepare(settings(root), raw)
    assert before == ((raw / "manifest.csv").read_bytes(), (raw / "listing.sha256").read_bytes())
    assert {file.name for file in raw.iterdir()} == {"manifest.csv", "listing.sha256"}


def test_a_media_root_that_is_a_link(root, tmp_path):
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (root / "videos").rename(tmp_path / "disk" / "deep" / "videos")
    (root / "videos").symlink_to(tmp_path / "disk" / "deep" / "videos")
    assert aist.prepare(settings(root), tmp_path / "raw") == []
    manifest = read_manifest(tmp_path / "raw" / "manifest.csv", root / "videos")
    assert all((manifest.root / clip.pose_file).is_file() for clip in manifest.clips)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"clip_seconds": 4}, {"train": 1 + 2, "val": 2, "test": 2}),
        ({"clip_seconds": 6}, {"train": 2, "val": 1, "test": 1}),
        ({"clip_seconds": 6, "clips": "authors"}, {"train": 1 + 2, "val": 2, "test": 2}),
        ({"drop_ignored": True}, {"train": 3, "val": 4, "test": 4}),
    ],
)
def test_options(root, tmp_path, options, counts):
    aist.prepare(settings(root, **options), tmp_path / "raw")
    assert (
        Counter(clip.split for clip in read_manifest(tmp_path / "raw" / "manifest.csv").clips)
        == counts
    )


def test_missing_short_and_damaged_videos_are_left_out_with_the_reason(root, tmp_path, write_dance):
    first, second = (
        root / "videos" / f"{parse_sequence(name).video}.mp4" for name in MINIATURE["train"]
    )
    first.unlink()
    write_dance(second, 5.0)
    test = root / "videos" / f"{parse_sequence(MINIATURE['test'][0]).video}.mp4"
    content = test.read_bytes()
    test.unlink()
    test.write_bytes(content[: len(content) // 2])
    skipped = dict(aist.prepare(settings(root), tmp_path / "raw"))
    assert skipped[str(first)] == "is missing"
    assert "lasts 5.0" in skipped[str(second)]
    assert "truncated" in skipped[str(test)]
    assert {clip.split for clip in read_manifest(tmp_path / "raw" / "manifest.csv").clips} == {
        "val"
    }


def test_check_tells_counts_missing_and_damaged_files_and_changes_nothing(root):
    motion = root / "annotations" / "motions" / f"{MINIATURE['train'][0]}.pkl"
    motion.unlink()
    write_motion(motion, 3.0)
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    findings = "\n".join(aist.check(settings(root)))
    assert "train: 7 clips of 2 s, the complete set has 6,632." in findings
    assert "test: 4 clips of 2 s, the complete set has 86." in findings
    assert f"{motion.name} holds 2.98 s of motion" in findings
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_the_listing_notices_a_changed_and_a_lost_file(root, tmp_path):
    raw = tmp_path / "raw"
    aist.prepare(settings(root), raw)
    motion = root / "annotations" / "motions" / f"{MINIATURE['train'][0]}.pkl"
    motion.unlink()
    write_motion(motion, 3.0)
    assert "changed since the download" in verify_listing(raw, root / "videos")[0]
    motion.unlink()
    assert "1 missing" in verify_listing(raw, root / "videos")[0]


def test_a_malicious_annotation_runs_nothing(root, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'owned'}",)

    motion = root / "annotations" / "motions" / f"{MINIATURE['train'][0]}.pkl"
    motion.unlink()
    motion.write_bytes(pickle.dumps({"smpl_trans": Evil()}))
    assert "is refused" in "\n".join(aist.check(settings(root)))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("remove", "sentence"),
    [
        ("annotations/motions", "annotations_root"),
        ("annotations/splits/crossmodal_val.txt", "crossmodal_val.txt does not exist"),
        ("annotations/splits", "annotations_root"),
        ("videos", "media_root"),
    ],
)
def test_missing_parts_end_in_a_sentence(root, tmp_path, remove, sentence):
    target = root / remove
    target.unlink() if target.is_file() else target.rename(root / "elsewhere")
    with pytest.raises(UserError, match=sentence):
        aist.prepare(settings(root), tmp_path / "raw")
    assert sentence in aist.check(settings(root))[0]


@pytest.fixture
def features(tmp_path):
    """The authors' ready features in small."""
    folder = tmp_path / "features"
    for split, names in MINIATURE.items():
        for sequence in map(parse_sequence, names):
            for number in (1, 2):
                name = segment_name(sequence.video, number)
                for kind in ("motion_s2", "video_s2", "audio_s2"):
                    (folder / kind / split).mkdir(parents=True, exist_ok=True)
                np.save(
                    folder / "motion_s2" / split / f"{name}.npy", np.zeros((120, 219), np.float32)
                )
                np.save(
                    folder / "video_s2" / split / f"{name}.npy", np.zeros((1, 2048), np.float32)
                )
                write_wav(
                    folder / "audio_s2" / split / f"{name}.wav",
                    np.full(2000, 0.1, np.float32),
                    1000,
                )
    return folder


def test_the_authors_ready_features(features, tmp_path):
    config = settings(tmp_path, source="features", media_root=features)
    lost = features / "motion_s2" / "train" / "gHO_sBM_c01_d19_mHO1_ch03_seg2.npy"
    lost.unlink()
    assert aist.prepare(config, tmp_path / "raw") == [
        ("motion_s2/train/gHO_sBM_c01_d19_mHO1_ch03_seg2.npy", "is missing")
    ]
    manifest = read_manifest(tmp_path / "raw" / "manifest.csv", features)
    assert Counter(clip.split for clip in manifest.clips) == {"train": 3, "val": 2, "test": 2}
    clip = manifest.clips[0]
    assert clip.path == "audio_s2/train/gHO_sBM_c01_d19_mHO1_ch03_seg1.wav"
    assert clip.pose_file == "motion_s2/train/gHO_sBM_c01_d19_mHO1_ch03_seg1.npy"
    assert clip.visual_file == "video_s2/train/gHO_sBM_c01_d19_mHO1_ch03_seg1.npy"
    np.save(features / clip.pose_file, np.zeros((60, 219), np.float32))
    np.save(features / clip.visual_file, np.array([{"not": "numbers"}]), allow_pickle=True)
    findings = "\n".join(aist.check(config))
    assert "holds 13140 values" in findings
    assert "seg1.npy is not a .npy file of numbers (Object arrays cannot be loaded" in findings


def test_official_addresses_are_asked_only_once_the_terms_are_accepted(
    root, tmp_path, monkeypatch, website
):
    address, folder, cut_short = website
    monkeypatch.setattr("pipeline.storage.download.time.sleep", lambda _: None)
    monkeypatch.setattr(aist_download, "RELEASE", address)
    monkeypatch.setattr(aist_download, "VIDEO", f"{address}/videos")
    monkeypatch.setattr(aist_download, "IGNORE_LIST", (None, None))
    monkeypatch.setattr(
        aist_download, "ANNOTATIONS", dict.fromkeys(aist_download.ANNOTATIONS, (None, None))
    )
    for kind in ("splits", "motions"):
        with zipfile.ZipFile(folder / f"{kind}.zip", "w") as archive:
            for file in (root / "annotations" / kind).iterdir():
                archive.write(file, f"{kind}/{file.name}")
    (root / "annotations" / "ignore_list.txt").rename(folder / "ignore_list.txt")
    (root / "videos").rename(folder / "videos")
    cut_short.add(f"{parse_sequence(MINIATURE['val'][0]).video}.mp4")
    here = tmp_path / "here"
    config = settings(here, source="official", media_root=here / "media")
    with pytest.raises(UserError, match="accept_aist_terms"):
        aist.prepare(config, tmp_path / "raw")
    assert not here.exists()
    accepted = settings(here, source="official", media_root=here / "media", accept_aist_terms=True)
    assert aist.prepare(accepted, tmp_path / "raw") == []
    assert len(read_manifest(tmp_path / "raw" / "manifest.csv").clips) == 15

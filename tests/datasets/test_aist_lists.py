"""AIST++ by its names: clips, songs, genres and tempos, against the authors' lists and the official
ones.
"""

import shutil
from collections import Counter

import numpy as np
import pytest

from pipeline.datasets import aist
from pipeline.datasets.aist import clip_starts, parse_sequence, tempo
from pipeline.datasets.segments import read_list, segment_name, split_segment
from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import Clip, read_manifest, write_manifest
from pipeline.storage.unpickle import load_pickle
from tests.datasets.test_aist import settings


def authors(shared, split, seconds):
    return read_list(
        shared / "cdcd_lists" / f"aist_audio_{split}_segment{'' if seconds == 2 else '_s6'}.txt"
    )


def sequences_of(names):
    return {parse_sequence(split_segment(name)[0]) for name in names}


@pytest.mark.parametrize(
    ("split", "seconds", "n_clips", "n_videos"),
    [
        ("train", 2, 6632, 980),
        ("val", 2, 86, 20),
        ("test", 2, 86, 20),
        ("train", 6, 2581, 980),
        ("val", 6, 36, 20),
        ("test", 6, 36, 20),
    ],
)
def test_the_rule_gives_exactly_the_authors_lists_of_real_clips(
    shared, split, seconds, n_clips, n_videos
):
    listed = authors(shared, split, seconds)
    sequences = sequences_of(listed)
    derived = {
        segment_name(sequence.video, number)
        for sequence in sequences
        for number in range(1, 1 + len(clip_starts(sequence.seconds, seconds, "authors")))
    }
    assert (len(listed), len(sequences)) == (n_clips, n_videos)
    assert derived == set(listed)
    for kind in ("motion", "video"):
        other = (
            shared
            / "cdcd_lists"
            / f"aist_{kind}_{split}_segment{'' if seconds == 2 else '_s6'}.txt"
        )
        assert not other.exists() or read_list(other) == listed


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_official_real_split_is_the_authors(shared, split):
    official = read_list(shared / "aist_plusplus" / "splits" / f"crossmodal_{split}.txt")
    assert {parse_sequence(name).video for name in official} == {
        s.video for s in sequences_of(authors(shared, split, 2))
    }
    assert len(official) == aist.VIDEOS[split]


def test_the_real_splits_share_no_song_with_training_and_no_video_at_all(shared):
    sequences = {split: sequences_of(authors(shared, split, 2)) for split in aist.SPLITS}
    songs = {split: {sequence.song for sequence in members} for split, members in sequences.items()}
    assert len(songs["train"]) == 50
    assert not songs["train"] & (songs["val"] | songs["test"])
    assert songs["val"] == songs["test"]
    assert Counter(song[1:3] for song in songs["test"]) == dict.fromkeys(aist.GENRES, 1)
    assert not {s.video for s in sequences["val"]} & {s.video for s in sequences["test"]}


@pytest.mark.parametrize(
    ("split", "suffix"), [("train", "_s6"), ("val", "_s6"), ("test", "_s6"), ("test", "")]
)
def test_genres_are_the_authors_one_hot_vectors_of_real_clips(shared, split, suffix):
    one_hot = np.load(shared / "cdcd_lists" / f"{split}_genre{suffix}.npy")
    names = read_list(shared / "cdcd_lists" / f"aist_audio_{split}_segment{suffix}.txt")
    found = [
        list(aist.GENRES).index(parse_sequence(split_segment(name)[0]).genre) for name in names
    ]
    np.testing.assert_array_equal(np.eye(10)[found], one_hot)


def test_the_length_by_tempo_is_that_of_real_motions(shared):
    for path in sorted((shared / "aist_plusplus").glob("[mk]*/*.pkl")):
        key, time_axis = aist.FRAMES[path.parent.name]
        frames = load_pickle(path)[key].shape[time_axis]
        assert abs(frames / 60 - parse_sequence(path.stem).seconds) < aist.TOLERANCE_S
        assert aist._motion_trouble(path) is None


@pytest.mark.parametrize(
    ("song", "bpm"),
    [
        ("mBR0", 80),
        ("mBR5", 130),
        ("mJB2", 100),
        ("mHO0", 110),
        ("mHO1", 115),
        ("mHO5", 135),
        ("mKR3", 110),
    ],
)
def test_tempo(song, bpm):
    assert tempo(song) == bpm


@pytest.mark.parametrize("seconds", [7.1, 7.4, 8.0, 9.6, 10.7, 12.0, 30.7, 48.0])
@pytest.mark.parametrize("clip_seconds", [2, 4, 6])
def test_complete_clips_neither_overlap_nor_leave_the_video(seconds, clip_seconds):
    starts = np.array(clip_starts(seconds, clip_seconds, "complete"))
    assert (np.diff(starts) == clip_seconds).all()
    assert starts[0] == 0
    assert starts[-1] + clip_seconds <= seconds < starts[-1] + 2 * clip_seconds


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [(12.0, [0, 6]), (9.6, [0, 3.6]), (7.38, [0]), (38.4, [0, 6, 12, 18, 24, 30, 32.4])],
)
def test_the_authors_last_six_seconds_overlap_instead_of_holding_padding(seconds, starts):
    assert clip_starts(seconds, 6, "authors") == pytest.approx(starts)


@pytest.mark.parametrize(
    "name",
    [
        "gXX_sBM_cAll_d04_mXX0_ch01",
        "gBR_sBM_cAll_d04_mPO0_ch01",
        "gBR_sBM_cAll_d04_mBR6_ch01",
        "gBR_sXX_c01_d04_mBR0_ch01",
        "dance",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match="is not an AIST\\+\\+ name"):
        parse_sequence(name)


def test_the_whole_real_set_passes_as_a_manifest(shared, tmp_path):
    """6,632 / 86 / 86 rows whose songs the manifest's own check accepts."""
    clips = [
        Clip(
            name,
            f"{split_segment(name)[0]}.mp4",
            split,
            song=parse_sequence(split_segment(name)[0]).song,
        )
        for split in aist.SPLITS
        for name in authors(shared, split, 2)
    ]
    write_manifest(tmp_path / "manifest.csv", clips)
    counts = Counter(clip.split for clip in read_manifest(tmp_path / "manifest.csv").clips)
    assert counts == {"train": 6632, "val": 86, "test": 86}


@pytest.fixture(scope="module")
def whole_set(shared, tmp_path_factory):
    """The folders of the complete set: the official split lists (the authors' where the sample
    lacks one), empty files.
    """
    root = tmp_path_factory.mktemp("whole")
    annotations = root / "annotations"
    for folder in ("videos", "annotations/splits", "annotations/motions"):
        (root / folder).mkdir(parents=True)
    shutil.copy(shared / "aist_plusplus" / "ignore_list.txt", annotations)
    for split in aist.SPLITS:
        official = shared / "aist_plusplus" / "splits" / f"crossmodal_{split}.txt"
        listed = (
            read_list(official)
            if official.exists()
            else [s.name for s in sequences_of(authors(shared, split, 2))]
        )
        names = sorted(name.replace("_c01_", "_cAll_") for name in listed)
        (annotations / "splits" / official.name).write_text("\n".join(names))
        for sequence in map(parse_sequence, names):
            (root / "videos" / f"{sequence.video}.mp4").touch()
            (annotations / "motions" / f"{sequence.name}.pkl").touch()
    return root


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({}, (6632, 86, 86)),
        ({"clip_seconds": 4}, (3129, 40, 40)),
        ({"clip_seconds": 6}, (1930, 24, 24)),
        ({"clip_seconds": 6, "clips": "authors"}, (2581, 36, 36)),
        ({"drop_ignored": True}, (6349, 86, 86)),
    ],
)
def test_the_real_split_lists_give_the_counts_of_the_complete_set(
    whole_set, monkeypatch, options, counts
):
    monkeypatch.setattr(aist, "unreadable", lambda *_: [])  # the files are empty
    config = settings(whole_set, **options)
    clips, skipped = aist._clips(config, trust_duration=True)
    assert skipped == []
    assert tuple(Counter(clip.split for clip in clips)[split] for split in aist.SPLITS) == counts
    assert aist.check(config) == []

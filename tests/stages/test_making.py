"""Results of `generate` never replace what a person has: not the clips given, not earlier results
unless asked.
"""

import os

import pytest

from pipeline.features.pose_reader import PoseConfig
from pipeline.runtime.errors import UserError
from stages.generate import check_targets, generate, pose_reader


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "here.mp4"
    path.write_bytes(b"somebody's only copy")
    return path


def test_a_clip_is_not_written_over(clip, monkeypatch):
    monkeypatch.chdir(clip.parent)
    with pytest.raises(UserError, match="is one of your clips"):
        generate(clip, out=clip.parent, force=True)
    assert clip.read_bytes() == b"somebody's only copy"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_nor_through_a_link(clip, tmp_path, link):
    out = tmp_path / "out"
    out.mkdir()
    link(clip, out / "here.mp4")
    with pytest.raises(UserError, match="is one of your clips"):
        check_targets([clip], [out / "here.mp4"], force=True)


def test_earlier_results_stay_unless_force(clip, tmp_path):
    target = tmp_path / "out" / "here.wav"
    target.parent.mkdir()
    target.write_bytes(b"liked it")
    with pytest.raises(UserError, match="--force"):
        check_targets([clip], [target], force=False)
    check_targets([clip], [target], force=True)
    assert target.read_bytes() == b"liked it"  # only the writing itself replaces it


def test_two_clips_of_one_name_are_told(tmp_path):
    with pytest.raises(UserError, match="would both become"):
        check_targets([], [tmp_path / "a_b.mp4"] * 2, force=False)


def test_an_unusable_folder_is_told_before_the_work(clip):
    with pytest.raises(UserError, match="cannot be written to"):
        check_targets([clip], [clip / "inside" / "here.mp4"], force=False)


@pytest.mark.parametrize(("kind", "source"), [("smpl219", "movenet"), ("body25", "markers")])
def test_a_model_of_another_kind_of_pose_is_refused_in_a_sentence(kind, source):
    trained = PoseConfig(kind=kind, source="array", fps=30, file_fps=30)
    with pytest.raises(UserError, match=f"--pose {source} .* model of aist, which reads {kind}"):
        pose_reader(trained, source, None, "aist")


def settings():
    content = {"kind": "coco17", "source": "markers", "fps": 20.0, "weights": None}
    return PoseConfig(**content, file_fps=None, least_seen=0.5)


@pytest.mark.parametrize("source", ["nonsense", "openpose", "array"])
def test_a_reader_that_looks_at_no_video_is_told_in_a_sentence(source):
    with pytest.raises(UserError, match=f"--pose {source}"):
        pose_reader(settings(), source, None, "toy_dance")


@pytest.mark.parametrize("source", ["movenet", "keypoint_rcnn"])
def test_weights_of_the_wrong_kind_are_told_before_the_first_clip(source, tmp_path):
    (tmp_path / "weights").write_text("something else")
    with pytest.raises(UserError, match="weights"):
        pose_reader(settings(), source, str(tmp_path / "weights"), "toy_dance")


def test_markers_need_no_weights():
    assert pose_reader(settings(), "markers", None, "toy_dance").config.source == "markers"

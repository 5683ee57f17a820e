"""BlazePose: its layout decoded as published, one dancer followed, the joints of AIST++ found."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.features.pose_blazepose import COCO17, BlazePose, first_looks
from pipeline.features.pose_blazepose_detector import (
    N_ANCHORS,
    SIDE,
    Square,
    anchors,
    cut,
    decoded,
    merged,
)
from pipeline.features.pose_following import through_frames
from pipeline.features.pose_reader import PoseConfig, PoseReader
from pipeline.media.video import read_frames, write_video
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage import weights
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.unpickle import load_pickle

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
VIDEOS = SHARED / "dance_videos"
HERE = weights.is_here(weights.entry("blazepose"))
FOLDER = weights.entry("blazepose").path
network = pytest.mark.skipif(
    not HERE, reason="BlazePose is not here: `cdcd weights get blazepose` fetches it"
)
real = pytest.mark.skipif(
    not SHARED.exists(), reason=f"the real files are not beside the checkout ({SHARED})"
)


@pytest.fixture(scope="module")
def blazepose():
    return BlazePose(FOLDER)


def reader(**changes) -> PoseReader:
    content = {
        "kind": "coco17",
        "source": "blazepose",
        "fps": 20.0,
        "weights": str(FOLDER),
        "file_fps": None,
        "least_seen": 0.5,
    }
    return PoseReader(validate(PoseConfig, content | changes, "pose"))


def read(video: Path, start_s: float, duration_s: float, **changes):
    """The pose in a stretch of a video."""
    clip = Clip("a", video.name, "infer", start_s=start_s, duration_s=duration_s)
    return reader(**changes).read(Manifest((clip,), video.parent), clip, duration_s)


def test_the_anchors_are_the_cells_of_the_published_grids():
    middles = anchors()
    assert middles.shape == (N_ANCHORS, 2)
    np.testing.assert_allclose(middles[:4] * SIDE, [[4, 4], [4, 4], [12, 4], [12, 4]])
    np.testing.assert_allclose(middles[2 * 28**2 + 2] * SIDE, [24, 8])
    np.testing.assert_allclose(middles[-294:-288] * SIDE, np.full((6, 2), 16))
    np.testing.assert_allclose(middles[-1] * SIDE, [208, 208])


def test_boxes_and_points_are_relative_to_their_anchor():
    raw = np.array([[11.2, -22.4, 44.8, 22.4, 0, 0, 0, -67.2, 1, 2, 3, 4.0]])
    box = decoded(raw, np.array([[0.5, 0.4]]))[0]
    np.testing.assert_allclose(box[:4], [0.45, 0.25, 0.65, 0.35])
    np.testing.assert_allclose(box[4:8], [0.5, 0.4, 0.5, 0.1])


def test_overlapping_boxes_become_their_weighted_mean():
    left, beside, far = (np.resize([x, 0, x + 0.2, 0.4], 12) for x in (0.1, 0.12, 0.7))
    people = merged(np.stack([beside, far, left]), np.array([0.3, 0.5, 0.9]))
    assert len(people) == 2
    np.testing.assert_allclose(people[0], (0.9 * left + 0.3 * beside) / 1.2)
    np.testing.assert_array_equal(people[1], far)
    assert merged(np.zeros((0, 12)), np.zeros(0)) == []


@pytest.mark.parametrize("degrees", [0, 30, -90, 180])
def test_a_turned_square_stands_upright_when_cut_out(degrees):
    turn = np.radians(degrees)
    up = np.array([np.sin(turn), -np.cos(turn)]) * 20
    square, frame = Square(np.array([60.0, 50.0]), up), np.zeros((100, 120, 3), np.uint8)
    x, y = square.in_frame(np.array([[0.5, 0.1]]))[0]
    np.testing.assert_allclose([x, y], square.middle + 0.8 * up)
    frame[round(y - 0.5) - 1 : round(y - 0.5) + 2, round(x - 0.5) - 1 : round(x - 0.5) + 2] = 255
    rows, columns = np.nonzero(cut(frame, square, 80)[..., 0] > 100)
    assert rows.mean() == pytest.approx(7.5, abs=2)
    assert columns.mean() == pytest.approx(39.5, abs=2)


@pytest.mark.parametrize("size", [(480, 854), (854, 480), (480, 480)])
def test_the_looks_cover_the_picture(size):
    (whole,), parts = first_looks(np.zeros((*size, 3), np.uint8))
    assert np.abs(whole.up).max() == max(size) / 2
    long = int(size[0] < size[1])
    edges = [
        (part.middle[1 - long] - min(size) / 2, part.middle[1 - long] + min(size) / 2)
        for part in parts
    ]
    assert edges[0][0] == pytest.approx(0)
    assert edges[-1][1] == pytest.approx(max(size))
    assert all(start < end for (_, end), (start, _) in zip(edges, edges[1:]))


def test_somebody_lost_is_waited_for_and_then_another_is_found():
    present = [True] * 3 + [False] * 5 + [True] * 2 + [False] * 12 + [True] * 2
    finds = []

    def find(frame):
        finds.append(int(frame))
        return f"found {frame}" if present[frame] else None

    followed = through_frames(
        range(len(present)), find, lambda frame, last: last if present[frame] else None
    )
    assert [each is not None for each in followed] == present
    assert set(followed[:10]) - {None} == {"found 0"}
    assert finds == [0, 21, 22]
    assert followed[-2:] == ["found 22", "found 22"]


def test_the_joints_are_those_of_coco():
    assert len(set(COCO17)) == 17
    left, right = np.array(COCO17[5::2]), np.array(COCO17[6::2])
    assert (right == left + 1).all()  # left and right stand side by side in both lists


@network
@real
def test_the_joints_of_aist_are_found():
    video = VIDEOS / "aist_overlay" / "gBR_sBM_c01_d06_mBR2_ch06.mp4"
    pose = read(video, 1.0, 4.0, fps=10.0)
    truth = (
        load_pickle(SHARED / "aist_plusplus" / "keypoints2d" / "gBR_sBM_cAll_d06_mBR2_ch06.pkl")[
            "keypoints2d"
        ][0, 60:300:6, :, :2]
        / 1080
    )
    box = (truth.max(1) - truth.min(1)).max(1)
    hits = np.linalg.norm(pose.points[..., :2] - truth, axis=-1) < 0.1 * box[:, None]
    assert pose.points.shape == (40, 17, 3)
    assert hits.mean() >= 0.9
    assert ((pose.points[..., 2] >= 0) & (pose.points[..., 2] <= 1)).all()


@network
@real
@pytest.mark.parametrize(
    ("name", "start_s"),
    [("in_the_wild/fiyud_dance", 1.0), ("in_the_wild/jacky_dance", 0.0), ("aist_silent/0", 2.0)],
)
def test_one_steady_dancer_in_portrait_and_company(name, start_s):
    pose = read(VIDEOS / f"{name}.mp4", start_s, 2.0)
    hips = pose.points[:, 11:13, :2].mean(1)
    height = np.ptp(pose.points[..., 1], axis=1).mean()
    assert np.linalg.norm(np.diff(hips, axis=0), axis=1).max() < 0.2 * height
    assert np.ptp(hips[:, 0]) < 0.5 * height
    assert pose.unseen <= 2
    assert np.median(pose.points[..., 2]) > 0.5


@network
@real
def test_the_detector_runs_only_when_needed(blazepose, monkeypatch):
    video = VIDEOS / "aist_silent" / "0.mp4"
    frames = list(read_frames(video, 30, 2.0, 0.5, short_side=480))
    asked, detect = [], blazepose.detector
    monkeypatch.setattr(blazepose, "detector", lambda *given: asked.append(given) or detect(*given))
    started = time.process_time()
    joints = blazepose(frames)
    assert np.isfinite(joints).all()
    assert len(asked) == 1
    assert (time.process_time() - started) / len(frames) < 0.2


@network
@real
def test_a_dancer_who_leaves_is_a_gap_that_is_filled_and_counted(tmp_path):
    video = VIDEOS / "aist_silent" / "0.mp4"
    frames = list(read_frames(video, 10, 2.0, 2.0, short_side=288))
    frames[8:13] = [np.full_like(frames[0], 90)] * 5
    write_video(tmp_path / "leaves.mp4", np.stack(frames), 10)
    pose = read(tmp_path / "leaves.mp4", 0.0, 2.0, fps=10.0)
    assert pose.unseen == 5
    assert pose.filled == 5 * 17
    hips = pose.points[:, 11:13, :2].mean(1)
    between = (hips[8:13] - hips[7]) @ (hips[13] - hips[7])
    assert (np.diff(between) >= -1e-9).all()
    with pytest.raises(UserError, match="a has no visible dancer: one was seen in 75%"):
        read(tmp_path / "leaves.mp4", 0.0, 2.0, fps=10.0, least_seen=0.9)


@network
@pytest.mark.parametrize("picture", ["grey", "noise"])
def test_a_clip_without_a_person_is_refused(tmp_path, picture):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (10, 96, 128, 3), dtype=np.uint8)
    frames = noise if picture == "noise" else np.full_like(noise, 90)
    write_video(tmp_path / "empty.mp4", frames, 10)
    with pytest.raises(UserError, match="a has no visible dancer"):
        read(tmp_path / "empty.mp4", 0.0, 1.0, fps=15.0)


@network
def test_a_text_named_as_a_video_is_refused(tmp_path):
    (tmp_path / "story.mp4").write_text("once upon a time")
    with pytest.raises(UserError, match="story.mp4"):
        read(tmp_path / "story.mp4", 0.0, 1.0)


@network
def test_no_frames_give_no_joints(blazepose):
    assert blazepose(iter([])).shape == (0, 17, 3)


@network
def test_another_network_under_the_name_is_refused(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "swapped")
    shutil.copyfile(
        FOLDER / "pose_detection.tflite", tmp_path / "swapped/pose_landmark_full.tflite"
    )
    with pytest.raises(UserError, match="pose_landmark_full.tflite is not BlazePose's network"):
        BlazePose(tmp_path / "swapped")


def test_missing_or_damaged_networks_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="pose_detection.tflite does not exist; `cdcd weights get"):
        BlazePose(tmp_path)
    (tmp_path / "pose_detection.tflite").write_text("<html>")
    with pytest.raises(UserError, match="pose_detection.tflite is not a TensorFlow Lite network"):
        BlazePose(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    with pytest.raises(UserError, match="blazepose .* are not here: run `cdcd weights get blaze"):
        reader(weights="blazepose")

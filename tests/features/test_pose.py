"""Every source of motion becomes one kind of pose: gaps filled and counted, one steady dancer, at
the wanted rate.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.detection import keypointrcnn_resnet50_fpn

from pipeline.features import pose_rcnn
from pipeline.features.pose import (
    GUESSED,
    as_coco17,
    fill_numbers,
    follow_dancer,
    frame_times,
    keypoints_pose,
    resample,
)
from pipeline.features.pose_files import (
    aist_keypoints2d,
    aist_keypoints3d,
    aist_smpl,
    alphapose,
    openpose,
    ready_array,
)
from pipeline.features.pose_movenet import MoveNet
from pipeline.features.pose_reader import PoseConfig, PoseReader
from pipeline.media.video import write_video
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.unpickle import load_pickle

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
WEIGHTS = SHARED / "weights" / "movenet_lightning_int8.tflite"
real = pytest.mark.skipif(
    not SHARED.exists(), reason=f"the real files are not beside the checkout ({SHARED})"
)
AIST = SHARED / "aist_plusplus"
COCO = ["nose"] + [
    side + part
    for part in ("eye", "ear", "sho", "elb", "wri", "hip", "kne", "ank")
    for side in "lr"
]
BODY25 = (
    ["nose", "neck"] + [side + part for side in "rl" for part in ("sho", "elb", "wri")] + ["midhip"]
)
BODY25 += [side + part for side in "rl" for part in ("hip", "kne", "ank")] + [
    "reye",
    "leye",
    "rear",
    "lear",
]
BODY25 += [side + part for side in "lr" for part in ("bigtoe", "smalltoe", "heel")]


def person(x: float = 100.0, y: float = 100.0, size: float = 50.0, joints: int = 17) -> np.ndarray:
    """Somebody [J, 3] around (x, y), `size` pixels tall, all joints seen."""
    shape = np.random.default_rng(0).uniform(-0.5, 0.5, (joints, 2))
    return np.concatenate([shape * size + (x, y), np.full((joints, 1), 0.9)], axis=1).astype(
        np.float32
    )


def config(**changes) -> PoseConfig:
    content = {
        "kind": "coco17",
        "source": "movenet",
        "fps": 20.0,
        "weights": str(WEIGHTS),
        "file_fps": None,
        "least_seen": 0.5,
    }
    return validate(PoseConfig, content | changes, "pose")


def test_gaps_are_interpolated_counted_and_marked():
    truth = np.stack([person(x=100 + 3 * number) for number in range(20)])
    holed = truth.copy()
    holed[4:7, 2] = np.nan
    holed[0, 5, 2] = 0
    holed[10] = np.nan
    holed[:, 9, 2] = 0
    pose = keypoints_pose("coco17", holed, height=200, fps=20)
    assert (pose.unseen, pose.filled) == (1, 3 + 1 + 16)
    known = np.ones((20, 17), bool)
    known[:, 9] = False
    known[0, 5] = False
    np.testing.assert_allclose(pose.points[known][:, :2], truth[known][:, :2] / 200, atol=1e-4)
    np.testing.assert_allclose(pose.points[0, 5, :2], truth[1, 5, :2] / 200, atol=1e-6)
    assert pose.points[4:7, 2, 2] == pytest.approx(GUESSED)
    assert not pose.points[:, 9].any()
    assert pose.motion().shape == (20, 51)
    with pytest.raises(UserError, match="No joint was found"):
        keypoints_pose("coco17", np.full((3, 17, 3), np.nan), 200, 20)


def test_numbers_are_filled_column_by_column():
    values = np.arange(12.0).reshape(6, 2)
    holed = values.copy()
    holed[2:4, 0] = np.nan
    filled, count = fill_numbers(holed)
    np.testing.assert_allclose(filled, values)
    assert count == 2
    with pytest.raises(UserError, match="missing in every frame"):
        fill_numbers(np.full((3, 2), np.nan))


@pytest.mark.parametrize("fps", [10, 20, 25, 60])
def test_resampling_is_linear_in_time(fps):
    pose = keypoints_pose(
        "coco17", np.stack([person(x=float(number)) for number in range(60)]), 1, 30
    )
    part = resample(pose, fps, start_s=0.5, duration_s=1.0)
    assert part.points.shape == (fps, 17, 3)
    expected = person(x=0.0)[0, 0] + 30 * (0.5 + np.arange(fps) / fps)
    np.testing.assert_allclose(part.points[:, 0, 0], expected, rtol=1e-5)
    with pytest.raises(UserError, match="lasts 2.00 s"):
        frame_times(60, 30, fps, 1.5, 1.0)


def test_body25_as_coco17_by_the_joints_names():
    points = np.ones((2, 25, 3))
    points[..., 0] = np.arange(1, 26)
    pose = as_coco17(keypoints_pose("body25", points, 1, 30))
    assert [BODY25[round(x) - 1] for x in pose.points[0, :, 0]] == COCO


def test_the_main_dancer_is_followed_among_others():
    rng, frames, truth = np.random.default_rng(0), [], []
    for number in range(40):
        main, small = (
            person(x=100 + 4 * number, size=80),
            person(x=300 - 6 * number, y=200, size=40),
        )
        crowd = [main, small, person(x=20, size=30)]
        truth.append(main)
        if number in (7, 8, 20):
            crowd = crowd[1:]
        frames.append(np.stack([crowd[place] for place in rng.permutation(len(crowd))]))
    found = follow_dancer(frames)
    assert np.isnan(found[[7, 8, 20]]).all()
    kept = [number for number in range(40) if number not in (7, 8, 20)]
    np.testing.assert_array_equal(found[kept], np.stack(truth)[kept])
    assert np.isnan(follow_dancer([np.zeros((0, 17, 3))] * 3)).all()


@real
def test_movenet_finds_the_joints_of_aist():
    video = SHARED / "dance_videos" / "aist_overlay" / "gBR_sBM_c01_d06_mBR2_ch06.mp4"
    manifest = Manifest((Clip("a", video.name, "test", start_s=1.0, duration_s=4.0),), video.parent)
    pose = PoseReader(config(fps=10.0)).read(manifest, manifest.clips[0], 4.0)
    truth = (
        load_pickle(AIST / "keypoints2d" / "gBR_sBM_cAll_d06_mBR2_ch06.pkl")["keypoints2d"][
            0, 60:300:6, :, :2
        ]
        / 1080
    )
    box = (truth.max(1) - truth.min(1)).max(1)
    hits = np.linalg.norm(pose.points[..., :2] - truth, axis=-1) < 0.1 * box[:, None]
    assert pose.points.shape == (40, 17, 3)
    assert hits.mean() >= 0.9


@real
@pytest.mark.parametrize(
    ("name", "start_s"),
    [("in_the_wild/fiyud_dance", 1.0), ("in_the_wild/jacky_dance", 0.0), ("aist_silent/0", 2.0)],
)
def test_one_steady_dancer_in_portrait_and_company(name, start_s):
    video = SHARED / "dance_videos" / f"{name}.mp4"
    manifest = Manifest(
        (Clip("a", video.name, "infer", start_s=start_s, duration_s=2.0),), video.parent
    )
    pose = PoseReader(config()).read(manifest, manifest.clips[0], 2.0)
    hips = pose.points[:, 11:13, :2].mean(1)
    height = np.ptp(pose.points[..., 1], axis=1).mean()
    assert np.linalg.norm(np.diff(hips, axis=0), axis=1).max() < 0.2 * height
    assert np.ptp(hips[:, 0]) < 0.5 * height
    assert pose.unseen <= 4
    assert np.median(pose.points[..., 2]) > 0.5


@real
@pytest.mark.parametrize("picture", ["grey", "noise"])
def test_a_clip_without_a_person_is_refused(tmp_path, picture):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (20, 96, 128, 3), dtype=np.uint8)
    write_video(
        tmp_path / "empty.mp4", noise if picture == "noise" else np.full_like(noise, 90), 10
    )
    manifest = Manifest((Clip("empty", "empty.mp4", "infer", duration_s=2.0),), tmp_path)
    with pytest.raises(UserError, match="empty has no visible dancer"):
        PoseReader(config()).read(manifest, manifest.clips[0], 2.0)


def test_what_is_no_movenet_is_refused(tmp_path):
    (tmp_path / "page.tflite").write_text("<html>")
    with pytest.raises(UserError, match="page.tflite is not a TensorFlow Lite network"):
        MoveNet(tmp_path / "page.tflite")
    with pytest.raises(UserError, match="absent.tflite does not exist"):
        MoveNet(tmp_path / "absent.tflite")


@pytest.mark.parametrize("size", [(96, 96), (128, 72)])
def test_markers_are_read_by_the_callable_given(tmp_path, size):
    height, width = size
    write_video(tmp_path / "a.mp4", np.zeros((20, height, width, 3), np.uint8), 10)
    manifest = Manifest((Clip("a", "a.mp4", "train", start_s=0.5, duration_s=1.0),), tmp_path)

    def reader(frames):
        assert frames.shape[1:] == (height, width, 3)
        points = np.broadcast_to(person(x=height / 2), (len(frames), 17, 3)).copy()
        points[::3] = 0
        return points

    pose = PoseReader(config(source="markers", weights=None), reader).read(
        manifest, manifest.clips[0], 1.0
    )
    assert pose.points.shape == (20, 17, 3)
    assert (pose.unseen, pose.filled) == (7, 7 * 17)
    np.testing.assert_allclose(
        pose.points[0, :, :2], person(x=height / 2)[:, :2] / height, atol=1e-6
    )
    with pytest.raises(UserError, match="only toy_dance has them"):
        PoseReader(config(source="markers", weights=None))


def test_keypoint_rcnn_is_built_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("a download was tried")
    )
    published = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_keypoints=17)
    torch.save(published.state_dict(), tmp_path / "rcnn.pth")
    detector = pose_rcnn.KeypointRcnn(tmp_path / "rcnn.pth")
    loaded = detector.network.state_dict()
    assert all(
        torch.equal(value, loaded[name])
        for name, value in published.state_dict().items()
        if "num_batches" not in name
    )
    (crowd, nobody), logits = np.stack([person(), person(x=250, size=20)]), torch.full((2, 17), 3.0)
    people = torch.tensor(np.stack([crowd, nobody]))
    answer = {"scores": torch.tensor([0.9, 0.8]), "keypoints": people, "keypoints_scores": logits}
    detector.network = lambda pictures: [answer for _ in pictures]
    joints = detector(iter(np.zeros((6, 40, 30, 3), np.uint8)))
    np.testing.assert_allclose(joints[:, :, :2], np.broadcast_to(person()[:, :2], (6, 17, 2)))
    assert joints[..., 2] == pytest.approx(1 / (1 + np.exp(-3)))
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="other.pth is not torchvision's Keypoint R-CNN"):
        pose_rcnn.KeypointRcnn(tmp_path / "other.pth")


@real
@pytest.mark.parametrize("sequence", ["gBR_sBM_cAll_d04_mBR2_ch08", "gBR_sBM_cAll_d06_mBR2_ch06"])
def test_aist_keypoints_load_with_their_gaps_filled(sequence):
    content = load_pickle(AIST / "keypoints2d" / f"{sequence}.pkl")["keypoints2d"]
    filled = 0
    for camera in range(9):
        gaps = ~np.isfinite(content[camera]).all(-1) | ~(content[camera][..., 2] > 0)
        pose = aist_keypoints2d(AIST / "keypoints2d" / f"{sequence}.pkl", camera)
        assert np.isfinite(pose.points).all()
        assert pose.filled == gaps.sum()
        assert pose.unseen == gaps.all(1).sum()
        filled += pose.filled
    assert (filled > 0) == ("d04" in sequence)


@real
@pytest.mark.parametrize("sequence", ["gBR_sBM_cAll_d04_mBR2_ch08", "gBR_sBM_cAll_d06_mBR2_ch06"])
def test_aist_3d_joints_fall_on_the_2d_ones(sequence):
    flat = aist_keypoints2d(AIST / "keypoints2d" / f"{sequence}.pkl")
    deep = aist_keypoints3d(AIST / "keypoints3d" / f"{sequence}.pkl")
    assert np.isfinite(deep.points).all()
    assert (
        np.median(np.linalg.norm(flat.points[..., :2] - deep.points[..., :2], axis=-1)) * 1080 < 8
    )


@real
@pytest.mark.parametrize("fps", [60, 30, 20])
def test_smpl_motion_has_219_numbers(fps):
    file = AIST / "motions" / "gBR_sBM_cAll_d04_mBR2_ch08.pkl"
    pose, content = aist_smpl(file, fps, 1.0, 2.0), load_pickle(file)
    motion = pose.motion()
    assert motion.shape == (2 * fps, 219)
    frame = 60 + 60 // fps * 5
    np.testing.assert_allclose(
        motion[5, :3], content["smpl_trans"][frame] / content["smpl_scaling"], rtol=1e-5
    )
    for joint in (0, 7, 23):
        expected, _ = cv2.Rodrigues(
            content["smpl_poses"][frame, 3 * joint : 3 * joint + 3].astype(np.float64)
        )
        np.testing.assert_allclose(
            motion[5, 3 + 9 * joint : 12 + 9 * joint].reshape(3, 3), expected, atol=1e-5
        )
    rotations = pose.points[:, 1:].reshape(-1, 3, 3)
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(1, 2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-5
    )


@real
def test_openpose_and_alphapose_files():
    pose = openpose(SHARED / "poses" / "openpose_body25", height=1080, fps=30)
    assert pose.kind == "body25"
    assert pose.points.shape == (61, 25, 3)
    first = json.loads(
        (SHARED / "poses" / "openpose_body25" / "Kick 2_000000000000_keypoints.json").read_text()
    )
    np.testing.assert_allclose(
        pose.points[0, 0, :2] * 1080, first["people"][0]["pose_keypoints_2d"][:2], rtol=1e-4
    )
    pose = alphapose(
        SHARED / "poses" / "alphapose_coco17" / "jacky_dance.json", height=960, fps=30, n_frames=65
    )
    assert pose.kind == "coco17"
    assert pose.points.shape == (65, 17, 3)
    assert pose.unseen == 8


def test_openpose_folders_are_followed_in_the_order_of_their_numbers(tmp_path):
    for number in range(12):
        both = person(300, size=20, joints=25), person(100 + number, size=60, joints=25)
        people = [{"pose_keypoints_2d": one.ravel().tolist()} for one in both]
        crowd = people if number % 2 else people[::-1]
        (tmp_path / f"film_{number}_keypoints.json").write_text(
            json.dumps({"people": [] if number == 4 else crowd})
        )
    pose = openpose(tmp_path, height=100, fps=30)
    assert (pose.unseen, pose.filled) == (1, 25)
    np.testing.assert_allclose(np.diff(pose.points[:, 3, 0]), 0.01, atol=1e-5)
    with pytest.raises(UserError, match="holds no OpenPose file"):
        openpose(tmp_path / "absent", 100, 30)
    (tmp_path / "film_12_keypoints.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2]}]}')
    with pytest.raises(UserError, match="film_12_keypoints.json is not OpenPose"):
        openpose(tmp_path, 100, 30)


@pytest.mark.parametrize(
    ("kind", "numbers", "shape"),
    [("smpl219", 219, (40, 219)), ("body25", 75, (40, 75)), ("body25", 75, (3000,))],
)
def test_ready_arrays(tmp_path, kind, numbers, shape):
    values = np.random.default_rng(0).uniform(1, 100, shape).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    pose = ready_array(tmp_path / "a.npy", kind, numbers, 30)
    assert pose.motion().shape == (40, numbers)
    np.save(tmp_path / "b.npy", values[..., :7])
    with pytest.raises(UserError, match="b.npy is"):
        ready_array(tmp_path / "b.npy", kind, numbers, 30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "smpl219"}, "source movenet gives coco17"),
        ({"weights": None}, "needs weights"),
        ({"source": "array"}, "needs file_fps"),
        ({"source": "aist_smpl"}, "gives smpl219"),
        ({"source": "kinect"}, "pose.source"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        config(**changes)

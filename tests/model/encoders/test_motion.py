import pytest
import torch

from pipeline.model.encoders.motion import MotionEncoder, pose_features
from pipeline.model.encoders.visual import VisualEncoder
from pipeline.model.positions import resample, sinusoid
from pipeline.runtime.errors import UserError
from pipeline.storage.poses import SKELETONS, numbers_per_frame


def poses(kind="coco17", batch=2, n_frames=12):
    generator = torch.Generator().manual_seed(3)
    joints = torch.rand(batch, n_frames, SKELETONS[kind].n_joints, 3, generator=generator)
    joints[..., 2] = 0.5 + 0.5 * joints[..., 2]
    return joints


def parts(kind, features):
    n_joints = SKELETONS[kind].n_joints
    return features[..., : 5 * n_joints].unflatten(-1, (n_joints, 5)), features[..., 5 * n_joints :]


@pytest.mark.parametrize("kind", SKELETONS)
def test_camera_position_and_zoom_leave_no_trace(kind):
    joints = poses(kind)
    moved = joints.clone()
    moved[..., :2] = moved[..., :2] * 37 + torch.tensor([500.0, -20.0])
    assert torch.allclose(
        pose_features(kind, joints.flatten(2), 25),
        pose_features(kind, moved.flatten(2), 25),
        atol=1e-3,
    )


def test_features_of_a_dancer_who_walks():
    joints = poses(n_frames=1).expand(-1, 8, -1, -1).clone()
    size = pose_features_size(joints)
    joints[..., 0] += 0.1 * torch.arange(8.0)[:, None]
    per_joint, path = parts("coco17", pose_features("coco17", joints.flatten(2), fps=10))
    assert torch.allclose(
        per_joint[..., :2], per_joint[:, :1, :, :2].expand_as(per_joint[..., :2]), atol=1e-4
    )
    assert per_joint[..., 2:4].abs().max() < 1e-3
    assert torch.allclose(path[:, 1:, 2], 0.1 * 10 / size[:, None], rtol=1e-3)
    assert torch.allclose(path[:, :, 0].mean(1), torch.zeros(2), atol=1e-4)


def pose_features_size(joints):
    """The score-weighted root mean square distance of joints from the root."""
    xy, score = joints[..., :2], joints[..., 2:]
    hips = (xy[:, :, 11:13] * score[:, :, 11:13]).sum(2) / score[:, :, 11:13].sum(2)
    square = (xy - hips[:, :, None]).square().sum(-1, keepdim=True)
    return ((square * score).sum((1, 2, 3)) / score.sum((1, 2, 3))).sqrt()


def test_a_jump_of_one_joint_is_a_velocity_in_body_sizes_a_second():
    joints = poses(n_frames=1).expand(-1, 6, -1, -1).clone()
    joints[:, 3:, 0, 0] += 0.01
    per_joint, _ = parts("coco17", pose_features("coco17", joints.flatten(2), fps=30))
    speed = per_joint[:, :, 0, 2]
    assert (speed[:, [0, 1, 2, 4, 5]].abs() < 1e-3).all()
    assert torch.allclose(speed[:, 3], 0.01 * 30 / pose_features_size(joints), rtol=0.02)


@pytest.mark.parametrize("hole", ["score", "nan"])
def test_joints_that_were_not_seen_are_zero_and_disturb_nobody(hole):
    joints = poses()
    missing = joints.clone()
    missing[:, 4, 0, 2] = 0.0
    blank = missing.clone()
    blank[:, 4, 0] = (
        torch.tensor([float("nan")] * 3) if hole == "nan" else torch.tensor([999.0, -999.0, 0.0])
    )
    features = pose_features("coco17", blank.flatten(2), 20)
    assert torch.equal(features, pose_features("coco17", missing.flatten(2), 20))
    per_joint, _ = parts("coco17", features)
    assert (per_joint[:, 4, 0] == 0).all()
    assert (per_joint[:, 5, 0, 2:4] == 0).all()
    seen, _ = parts("coco17", pose_features("coco17", joints.flatten(2), 20))
    assert torch.allclose(per_joint[:, :, 1:, 4], seen[:, :, 1:, 4])


def test_frames_and_clips_without_anyone_stay_finite():
    joints = poses()
    joints[0] = float("nan")
    joints[1, 3:5, :, 2] = 0
    joints[1, 7, 11:13, 2] = 0
    features = pose_features("coco17", joints.flatten(2), 20)
    assert features.isfinite().all()
    assert features.abs().max() < 1e3


def test_smpl_passes_as_it_is():
    motion = torch.randn(2, 9, 219)
    assert torch.equal(pose_features("smpl219", motion, 60), motion)


@pytest.mark.parametrize("kind", ["coco17", "body25", "smpl219"])
@pytest.mark.parametrize("n_frames", [1, 5, 60])
def test_every_frame_keeps_its_place(kind, n_frames):
    encoder = MotionEncoder(kind, 30, width=4, blocks=4, out_width=7)
    motion = torch.rand(2, n_frames, numbers_per_frame(kind))
    assert encoder(motion).shape == (2, n_frames, 7)
    assert encoder(motion.double()).dtype == torch.float32


def test_table_5_at_the_papers_width():
    with torch.device("meta"):
        encoder = MotionEncoder("smpl219", 60, width=256, blocks=4, out_width=1024)
    plain = [layer for layer in encoder.layers if isinstance(layer, torch.nn.Conv1d)]
    assert [(layer.out_channels, layer.kernel_size[0]) for layer in plain] == [
        (256, 6),
        (512, 3),
        (1024, 3),
        (1024, 3),
        (1024, 4),
    ]
    dilations = [layer.time.dilation[0] for layer in encoder.layers if hasattr(layer, "time")]
    assert dilations == [1, 3, 9, 27] * 3


def test_another_kind_of_pose_is_refused():
    with pytest.raises(UserError, match=r"reads body25 poses \[clips, frames, 75\]"):
        MotionEncoder("body25", 30, 4, 1, 7)(torch.rand(2, 9, 51))


def test_the_visual_encoder_keeps_its_steps_and_refuses_other_features():
    encoder = VisualEncoder(16, 8, 5)
    assert encoder(torch.randn(2, 1, 16)).shape == (2, 1, 5)
    assert encoder(torch.randn(2, 7, 16).half()).shape == (2, 7, 5)
    with pytest.raises(UserError, match="I3D"):
        encoder(torch.randn(2, 7, 15))


def test_resampling_keeps_time():
    ramp = torch.arange(10.0)[None, :, None] + 0.5
    longer = resample(ramp, 25)[0, :, 0]
    assert torch.allclose(longer[2:-2], (torch.arange(25.0)[2:-2] + 0.5) * 10 / 25)
    assert resample(ramp, 10) is ramp


def test_sinusoids_at_odd_widths_and_between_positions():
    half = sinusoid(torch.tensor([1.0, 1.5, 2.0]), 7)
    assert half.shape == (3, 7)
    assert torch.allclose(half[:, 0], torch.tensor([1.0, 1.5, 2.0]).sin())

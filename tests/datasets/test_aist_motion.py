"""The 219 numbers a frame of two real AIST++ sequences, against their 3D keypoints, which come from
other computations.
"""

import numpy as np
import pytest

from pipeline.datasets import aist
from pipeline.features.pose_files import aist_keypoints2d, aist_smpl
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.unpickle import load_pickle

SEQUENCES = ("gBR_sBM_cAll_d04_mBR2_ch08", "gBR_sBM_cAll_d06_mBR2_ch06")
LEFT_HIP, RIGHT_HIP = 11, 12
KNEES = {4: (11, 13, 15), 5: (12, 14, 16)}  # SMPL joint: COCO hip, knee, ankle


@pytest.fixture(scope="module", params=SEQUENCES)
def sequence(request, shared):
    """Root places [T, 3], rotations [T, 24, 3, 3], 3D keypoints [T, 17, 3] and the body's scale."""
    folder = shared / "aist_plusplus"
    motion = aist_smpl(folder / "motions" / f"{request.param}.pkl").points
    scale = float(load_pickle(folder / "motions" / f"{request.param}.pkl")["smpl_scaling"][0])
    keypoints = load_pickle(folder / "keypoints3d" / f"{request.param}.pkl")["keypoints3d_optim"]
    return motion[:, 0], motion[:, 1:].reshape(-1, 24, 3, 3), keypoints, scale


def test_the_real_root_follows_the_middle_of_the_hips(sequence):
    root, _, keypoints, scale = sequence
    hips = (keypoints[:, LEFT_HIP] + keypoints[:, RIGHT_HIP]) / 2 / scale
    assert root.shape == hips.shape == (576, 3)
    for axis in range(3):
        assert np.corrcoef(root[:, axis], hips[:, axis])[0, 1] > 0.97
    assert (
        (hips - root).std(axis=0).max() < 0.05 < np.ptp(root, axis=0).min()
    )  # one body, one scale: a constant offset


def test_the_real_root_rotation_turns_the_hips(sequence):
    _, rotations, keypoints, _ = sequence
    across = keypoints[:, LEFT_HIP] - keypoints[:, RIGHT_HIP]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    root = rotations[:, 0]
    by_columns, by_rows = (
        np.einsum("tc,tc->t", axis, across).mean() for axis in (root[:, :, 0], root[:, 0, :])
    )
    assert by_columns > 0.99
    assert by_rows < 0.5


@pytest.mark.parametrize("joint", KNEES)
def test_the_real_knees_bend_by_the_angle_of_their_rotation(sequence, joint):
    _, rotations, keypoints, _ = sequence
    hip, knee, ankle = (keypoints[:, index] for index in KNEES[joint])
    thigh, shin = hip - knee, ankle - knee
    cosine = (thigh * shin).sum(1) / np.linalg.norm(thigh, axis=1) / np.linalg.norm(shin, axis=1)
    bent = np.pi - np.arccos(cosine)
    turned = np.arccos(np.clip((np.trace(rotations[:, joint], axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert np.corrcoef(bent, turned)[0, 1] > 0.98
    assert np.abs(bent - turned).mean() < 0.15


def test_the_real_sequence_with_missing_keypoints_is_read_and_counted(shared):
    file = shared / "aist_plusplus" / "keypoints2d" / f"{SEQUENCES[0]}.pkl"
    raw = load_pickle(file)["keypoints2d"]
    assert np.isnan(raw).sum() == 612
    counted = [aist_keypoints2d(file, camera) for camera in range(9)]
    assert 3 * sum(pose.filled for pose in counted) == 612
    assert all(np.isfinite(pose.points).all() for pose in counted)


def test_every_clip_of_a_real_sequence_has_its_motion(shared):
    """Clips start and end where the manifest says, the last within the frames that are there."""
    dance = aist.parse_sequence(SEQUENCES[1])
    file = shared / "aist_plusplus" / "motions" / f"{dance.name}.pkl"
    whole = aist_smpl(file).points
    starts = aist.clip_starts(dance.seconds, 2, "complete")
    clips = [aist_smpl(file, 60.0, start, 2.0).points for start in starts]
    assert [len(clip) for clip in clips] == [120] * 4
    np.testing.assert_allclose(np.concatenate(clips), whole[:480], atol=1e-6)
    assert (
        len(aist_smpl(file, 60.0, aist.clip_starts(dance.seconds, 6, "authors")[-1], 6.0).points)
        == 360
    )


def test_the_real_annotations_without_a_validation_list_are_told(shared):
    content = {
        "source": "local",
        "media_root": shared / "dance_videos",
        "annotations_root": shared / "aist_plusplus",
        "accept_aist_terms": False,
        "annotations": ["motions"],
        "motion": "motions",
        "clip_seconds": 2,
        "clips": "complete",
        "drop_ignored": False,
    }
    config = validate(aist.Aist, content, "aist.download")
    if (shared / "aist_plusplus" / "splits" / "crossmodal_val.txt").exists():
        assert {
            split: len(members) for split, members in aist.sequences(config).items()
        } == aist.VIDEOS
    else:
        with pytest.raises(UserError, match="crossmodal_val.txt does not exist"):
            aist.sequences(config)

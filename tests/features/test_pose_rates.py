"""What is read of a dance does not depend on the frame rate of its video, nor on its size."""

import numpy as np
import pytest

from pipeline.datasets.toy_dance.camera import set_up
from pipeline.datasets.toy_dance.dancer import Noise, dance
from pipeline.datasets.toy_dance.songs import Title, compose
from pipeline.features.pose import GUESSED, Pose, at_times
from pipeline.features.pose_reader import PoseConfig, PoseReader
from pipeline.media.video import timed_frames, write_video
from pipeline.metrics.alignment import dance_accents
from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import Clip, Manifest

RATES = (24.0, 25.0, 30000 / 1001, 50.0, 60000 / 1001)
READ_AT = 20.0
SECONDS = 4.0
BITS = 9


def pictures(n_frames: int) -> np.ndarray:
    """Frames [T, 64, 192, 3] that show their own number, a bright field for each bit that is 1."""
    bits = np.arange(n_frames)[:, None] >> np.arange(BITS) & 1
    fields = np.kron(bits[:, None], np.ones((1, 64, 16), np.uint8)).astype(np.uint8)
    fields = np.pad(fields, ((0, 0), (0, 0), (0, 192 - 16 * BITS)))
    return np.repeat(255 * fields[..., None], 3, axis=-1)


def number_of(frames: np.ndarray) -> np.ndarray:
    """The numbers that frames show."""
    bits = frames[:, 32, 8 : 16 * BITS : 16, 0] > 128
    return bits @ (1 << np.arange(BITS))


def accents(folder, genre: str, number: int, fps: float, start_s: float) -> np.ndarray:
    """When, in seconds of the song, a performance filmed at `fps` has its accents: read from the
    file from `start_s` on, by somebody who sees each picture's joints exactly.
    """
    song = compose(Title(genre, "val", number), 0)
    joints = dance(
        song, 6.0, SECONDS + 0.5, fps, Noise.of_level(0.3), np.random.default_rng(number)
    )
    camera = set_up(np.arange(len(joints)) / fps, 128, 0.0, np.random.default_rng(number))
    places = camera.project(joints)[0]
    seen = np.concatenate([places, np.ones_like(places[..., :1])], axis=-1)
    write_video(folder / "v.mp4", pictures(len(joints)), fps)
    reader = PoseReader(
        PoseConfig(kind="coco17", source="markers", fps=READ_AT),
        lambda frames: seen[number_of(frames)],
    )
    manifest = Manifest((Clip("a", "v.mp4", "infer", start_s, SECONDS),), folder)
    motion = reader.read(manifest, manifest.clips[0], SECONDS).motion()
    return dance_accents(motion, READ_AT) + start_s


def test_accents_lie_within_10_ms_at_any_frame_rate(tmp_path):
    """Nineteen of twenty accents; where a dancer hardly moves, the slowest moment is anybody's."""
    spreads, n_accents = [], 0
    for genre in ("BR", "LO", "WA"):
        found = [accents(tmp_path, genre, 1, fps, 0.0) for fps in RATES]
        n_accents += len(found[-1])
        for accent in found[-1]:
            nearest = [times[np.abs(times - accent).argmin()] for times in found]
            spreads.append(max(nearest) - min(nearest))
    assert n_accents > 25
    assert np.mean(np.array(spreads) < 0.01) >= 0.95, np.round(spreads, 3)
    assert np.median(spreads) < 0.004


def test_the_clock_is_that_of_the_pictures_wherever_a_clip_starts(tmp_path):
    """Starts between two pictures, at the lowest rate, leave the accents where they are."""
    whole = accents(tmp_path, "LO", 1, 24.0, 0.0)
    strays = []
    for start_s in (0.113, 0.127):
        later = accents(tmp_path, "LO", 1, 24.0, start_s)
        inside = later[(later > 0.6) & (later < SECONDS - 0.4)]
        assert len(inside) > 4
        strays += [(time - whole)[np.abs(whole - time).argmin()] for time in inside]
    assert np.median(np.abs(strays)) < 0.006
    assert abs(np.mean(strays)) < 0.006


def test_a_pose_is_what_it_was_at_a_time():
    points = np.zeros((4, 17, 3), np.float32)
    points[..., 0] = np.array([0.0, 1.0, 3.0, 4.0])[:, None]
    points[..., 2] = 1
    points[2, 5, 2] = GUESSED
    points[3, :, 2] = GUESSED
    pose = Pose("coco17", points, 20.0, 1, 18)
    taken = np.array([0.0, 0.1, 0.31, 0.4])
    read = at_times(pose, taken, np.arange(6) / 10, 10.0)
    np.testing.assert_allclose(read.points[:, 0, 0], [0, 1, 2, 3, 4, 4], atol=0.12)
    assert (read.fps, read.unseen) == (10.0, 2)
    assert read.filled == 2 * 17 + 1


def numbered(n_frames: int) -> np.ndarray:
    frames = np.zeros((n_frames, 64, 64, 3), np.uint8)
    frames[:] = (4 * np.arange(n_frames))[:, None, None, None]
    return frames


@pytest.mark.parametrize(("fps", "every"), [(24.0, 1), (50.0, 1), (60.0, 2)])
def test_frames_come_with_their_own_times(tmp_path, fps, every):
    write_video(tmp_path / "v.mp4", numbered(60), fps)
    read = list(timed_frames(tmp_path / "v.mp4", 50.0, 0.205, 0.5))
    times = np.array([time for time, _ in read])
    assert times[0] <= 0 < times[1]
    assert times[-2] < 0.5 <= times[-1] + 1e-9
    np.testing.assert_allclose(np.diff(times)[:-1], every / fps, atol=1e-3)
    shown = np.array([frame.mean() / 4 for _, frame in read])
    np.testing.assert_allclose(shown, (times + 0.205) * fps, atol=0.3)


def test_pictures_that_end_too_early_are_told(tmp_path):
    write_video(tmp_path / "v.mp4", numbered(20), 10)
    assert len(list(timed_frames(tmp_path / "v.mp4", 50.0, 1.0, 1.2))) == 10
    with pytest.raises(UserError, match="v.mp4 ends at 2.00 s"):
        list(timed_frames(tmp_path / "v.mp4", 50.0, 1.0, 2.0))

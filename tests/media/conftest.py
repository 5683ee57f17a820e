"""Small media files that the tests make for themselves."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def dance_videos() -> Path:
    folder = SHARED / "data" / "dance_videos"
    if not folder.exists():
        pytest.skip(f"the real files are not beside the checkout ({folder})")
    return folder


def numbered(n_frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames whose brightness tells their number: frame k < 60 is grey 10 + 4 k; a red square marks
    the upper left.
    """
    frames = np.empty((n_frames, height, width, 3), np.uint8)
    frames[:] = (10 + 4 * np.arange(n_frames, dtype=np.uint8))[:, None, None, None]
    frames[:, :8, :8] = (230, 20, 20)
    return frames


def number_of(frame: np.ndarray) -> float:
    """The number that a decoded frame shows, read from its middle."""
    height, width = frame.shape[:2]
    return (
        float(frame[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3].mean()) - 10
    ) / 4


def tone(
    seconds: float, sample_rate: int = 22_050, level: float = 0.5, hertz: float = 440.0
) -> np.ndarray:
    return (
        level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * sample_rate)) / sample_rate)
    ).astype(np.float32)

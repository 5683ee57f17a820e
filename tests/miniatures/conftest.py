"""Real files beside the checkout that a miniature cannot draw for itself."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def real_dance() -> Path:
    return _existing(SHARED / "dance_videos" / "in_the_wild" / "jacky_dance.mp4")


@pytest.fixture
def movenet() -> Path:
    return _existing(SHARED / "weights" / "movenet_lightning_int8.tflite")


def _existing(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"the real files are not beside the checkout ({path})")
    return path

"""Real files beside the checkout that a miniature cannot draw for itself."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def shared() -> Path:
    if not SHARED.exists():
        pytest.skip(f"the real files are not beside the checkout ({SHARED})")
    return SHARED

"""Real files beside the checkout that a miniature cannot draw for itself."""

from pathlib import Path

import pytest

from pipeline.metrics import few

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="package", autouse=True)
def few_are_enough():
    """Miniatures have too few items for their figures to mean anything; that all are computed is
    what is looked at here.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few, "LEAST_TEST_CLIPS", 1)
        patch.setattr(few, "LEAST_TEST_SONGS", 1)
        yield


@pytest.fixture
def shared() -> Path:
    if not SHARED.exists():
        pytest.skip(f"the real files are not beside the checkout ({SHARED})")
    return SHARED

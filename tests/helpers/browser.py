"""Debian's Chromium, driven by playwright."""

from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest


@contextmanager
def chromium(*arguments):
    """A headless Chromium; skips the test where there is none, or nothing that drives it."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing: `pip install playwright`"
    )
    found = which("chromium") or which("chromium-browser") or which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium on this machine to show the page in")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(Path(found)), args=["--no-sandbox", *arguments]
        )
        yield browser
        browser.close()

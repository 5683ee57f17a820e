"""The site builds without a warning, fetches nothing from elsewhere, and has every command and
setting; links between the files of the checkout lead somewhere.
"""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stages.__main__ import STAGES, TOOLS

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.name)
def test_links_lead_to_files_of_the_checkout(file):
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", file.read_text())
    missing = [link for link in links if not (file.parent / link).exists()]
    assert not missing


class Fetched(HTMLParser):
    """What a page brings in by itself: scripts, styles, fonts, pictures, sounds."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        brought = tag != "link" or "canonical" not in (own.get("rel") or "")
        if tag in ("script", "link", "img", "iframe", "audio", "video", "source") and brought:
            self.found += [own[key] for key in ("src", "href") if own.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly."""
    pytest.importorskip("material", reason="the site needs mkdocs-material: install [docs]")
    pytest.importorskip("mkdocstrings", reason="the site needs mkdocstrings: install [docs]")
    folder = tmp_path_factory.mktemp("site")
    told = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    return folder


def test_nothing_comes_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text())
        assert parser.found
        outside = [link for link in parser.found if re.match(r"(https?:)?//", link)]
        assert not outside, page
    styles = "".join(file.read_text() for file in site.rglob("*.css"))
    assert not re.search(r"url\(['\"]?(https?:)?//|@import", styles)


def test_commands_settings_metrics_and_python_are_there(site):
    commands = (site / "reference" / "commands.html").read_text()
    assert all(f'id="{name}"' in commands for name in (*STAGES, *TOOLS))
    assert "--captions" in commands
    settings = (site / "reference" / "settings.html").read_text()
    for key in ("diffusion_steps", "clip_seconds", "checkpoint_every", "media_root"):
        assert f"<code>{key}</code>" in settings
    assert "Training steps between checkpoints" in settings
    assert "Own − others" in (site / "metrics.html").read_text()
    tour = (site / "tour.html").read_text()
    assert tour.count("data:image/png") == 4
    assert "<audio" in tour
    assert 'id="cdcd.scoring.score"' in (site / "reference" / "python.html").read_text()

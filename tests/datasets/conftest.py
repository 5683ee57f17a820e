"""What tests of the real data sets share: the folder of real files, small videos, a web server on
this machine.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline.media.video import write_video

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.exists():
        pytest.skip(f"the real files are not beside the checkout ({SHARED})")
    return SHARED


@pytest.fixture(scope="session")
def write_dance() -> Callable[[Path, float], None]:
    """Writes a tiny video with sound that lasts the given seconds."""

    def write(path: Path, seconds: float) -> None:
        generator = np.random.default_rng(0)
        frames = (
            generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            for _ in range(round(seconds * 10))
        )
        tone = 0.3 * np.sin(np.arange(round(seconds * 8000)) * 0.3).astype(np.float32)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, frames, 10, tone, 8000)

    return write


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves a folder; answers ranges, and breaks the first answer off for names in `cut_short`."""

    cut_short: set[str] = set()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        start = (
            int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if self.headers["Range"]
            else 0
        )
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header(
            "Content-Type", "text/html" if path.suffix == ".html" else "application/octet-stream"
        )
        self.end_headers()
        breaks_off = path.name in self.cut_short
        self.cut_short.discard(path.name)
        self.wfile.write(content[start : start + len(content) // 2 if breaks_off else None])


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[str, Path, set[str]]]:
    """The address of a server, the folder it serves, and the names of files whose first transfer
    breaks off half-way.
    """
    folder = tmp_path / "website"
    folder.mkdir()
    handler = type("Handler", (RangeHandler,), {"cut_short": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder, handler.cut_short
        server.shutdown()

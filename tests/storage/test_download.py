import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.runtime.errors import UserError
from pipeline.storage import download

CONTENT = bytes(range(256)) * 2048
DIGEST = hashlib.sha256(CONTENT).hexdigest()
BY_HAND = "By hand: do this."


class Web(BaseHTTPRequestHandler):
    """Answers by path; `asked` notes (path, Range)."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        first = sum(path == self.path for path, _ in self.server.asked) == 1
        match self.path:
            case "/good":
                self.send(CONTENT, start)
            case "/drops":
                self.send(CONTENT, start, stop=len(CONTENT) // 2 if first else None)
            case "/drops-always":
                self.send(CONTENT, 0, stop=len(CONTENT) // 2)
            case "/ignores-range":
                self.send(CONTENT, 0, stop=len(CONTENT) // 2 if first else None)
            case "/busy":
                self.send_error(503) if first else self.send(CONTENT, start)
            case "/html":
                self.send(b"<!DOCTYPE html><html>log in</html>", 0, kind="text/html; charset=utf-8")
            case "/html-disguised":
                self.send(b"\n <!doctype html><html>quota</html>", 0)
            case "/other":
                self.send(CONTENT[::-1], start)
            case "/short":
                self.send(CONTENT[:-1], start)
            case "/empty":
                self.send(b"", 0)
            case "/part-a":
                self.send(CONTENT[:1000], start)
            case "/part-b":
                self.send(CONTENT[1000:], start)
            case _:
                self.send_error(int(self.path[1:]))

    def send(self, content, start, stop=None, kind="application/octet-stream"):
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:stop])
        self.close_connection = True


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def web(server, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.asked = []
    return f"http://127.0.0.1:{server.server_port}"


def fetched(web, tmp_path, *paths, **expected):
    return download.fetch(
        tuple(f"{web}{path}" for path in paths), tmp_path / "w" / "weights.pt", BY_HAND, **expected
    )


def left_over(tmp_path):
    return sorted(path.name for path in (tmp_path / "w").iterdir())


@pytest.mark.parametrize("path", ["/good", "/drops", "/ignores-range", "/busy"])
def test_a_file_arrives_whole_whatever_the_connection_does(web, tmp_path, path):
    target = fetched(web, tmp_path, path, size=len(CONTENT), sha256=DIGEST)
    assert target.read_bytes() == CONTENT
    assert left_over(tmp_path) == ["weights.pt"]


def test_a_dropped_connection_is_taken_up_where_it_broke(web, server, tmp_path):
    fetched(web, tmp_path, "/drops", sha256=DIGEST)
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_what_a_killed_run_left_is_continued(web, server, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".weights.pt.0.part").write_bytes(CONTENT[:777])
    assert fetched(web, tmp_path, "/good", sha256=DIGEST[:8]).read_bytes() == CONTENT
    assert server.asked == [("/good", "bytes=777-")]


@pytest.mark.parametrize("held", [CONTENT, CONTENT + b"too much"], ids=["complete", "too long"])
def test_a_part_beyond_the_end_is_kept_only_if_it_is_complete(web, tmp_path, held):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".weights.pt.0.part").write_bytes(held)
    assert fetched(web, tmp_path, "/good", sha256=DIGEST).read_bytes() == CONTENT


def test_split_files_are_joined_in_order(web, tmp_path):
    assert fetched(web, tmp_path, "/part-a", "/part-b", sha256=DIGEST).read_bytes() == CONTENT
    assert left_over(tmp_path) == ["weights.pt"]


@pytest.mark.parametrize(
    ("path", "expected", "sentence"),
    [
        ("/html", {}, "web page"),
        ("/html-disguised", {}, "web page"),
        ("/404", {}, "answers 404"),
        ("/403", {}, "answers 403"),
        ("/500", {}, "the server answers 500"),
        ("/other", {"sha256": DIGEST}, "SHA-256"),
        ("/short", {"size": len(CONTENT)}, "524,287 bytes instead of 524,288"),
        ("/empty", {}, "0 bytes"),
    ],
)
def test_failures_say_what_to_do_and_leave_nothing(web, tmp_path, path, expected, sentence):
    with pytest.raises(UserError, match=sentence) as failure:
        fetched(web, tmp_path, path, **expected)
    assert str(failure.value).endswith(BY_HAND)
    assert [name for name in left_over(tmp_path) if not name.endswith(".lock")] == []


def test_a_connection_that_always_drops_keeps_what_came(web, tmp_path):
    with pytest.raises(UserError, match="262,144 bytes are kept: run the same command again"):
        fetched(web, tmp_path, "/drops-always", sha256=DIGEST)
    assert not (tmp_path / "w" / "weights.pt").exists()
    assert (tmp_path / "w" / ".weights.pt.0.part").stat().st_size == len(CONTENT) // 2


def test_a_dead_link_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UserError, match="cannot be reached.*By hand"):
        download.fetch(("http://127.0.0.1:9/weights.pt",), tmp_path / "weights.pt", BY_HAND)
    assert not (tmp_path / "weights.pt").exists()

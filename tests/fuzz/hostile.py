"""What only archives and downloads suffer: members that would leave their folder, links, devices,
bombs; servers that cut, alter or mislabel what they send.
"""

import functools
import hashlib
import http.server
import io
import stat
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np

from pipeline.storage import download

NAMES = (
    *(
        "../outside",
        "/tmp/cdcd_fuzz_outside",
        "a/../../outside",
        "..",
        ".",
        "",
        "a\\..\\..\\outside",
    ),
    *("C:\\outside", "//host/share", "a/" * 200 + "deep", "x" * 300, "kept.txt", "kept.txt/inside"),
    *("nul\0name", "\u202egpj.exe", "a/b/", " ", "-rf", "~/outside", "ok.txt", "folder/ok.txt"),
)
TARGETS = ("../../outside", "/etc/passwd", "ok.txt", "..", "link", "/dev/zero")
KINDS = (
    *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
    *(tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"Z"),
)


def hostile_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """A zip of members that no data set needs."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for _ in range(int(rng.integers(1, 5))):
            info = zipfile.ZipInfo(NAMES[rng.integers(len(NAMES))] or "x")
            info.compress_type = int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            kind = int(rng.choice([0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR]))
            info.external_attr = (kind | int(rng.integers(0, 0o7777))) << 16
            bomb = rng.random() < 0.2
            archive.writestr(info, bytes(2_000_000) if bomb else TARGETS[rng.integers(6)])
    content = bytearray(made.getvalue())
    if rng.random() < 0.3:  # sizes that the directory states, not those that are there
        place = content.rfind(b"PK\x01\x02")
        content[place + 20 : place + 28] = rng.bytes(8)
    return bytes(content)


def hostile_tar(compressed: bool, data: bytes, rng: np.random.Generator) -> bytes:
    """A tar of members that no data set needs."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz" if compressed else "w") as archive:
        for _ in range(int(rng.integers(1, 5))):
            info = tarfile.TarInfo(NAMES[rng.integers(len(NAMES))])
            info.type, info.linkname = KINDS[rng.integers(len(KINDS))], TARGETS[rng.integers(6)]
            info.mode = int(rng.integers(0, 0o7777))
            size = int(rng.choice([0, 10, 2_000_000])) if info.isreg() else 0
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    content = bytearray(made.getvalue())
    if rng.random() < 0.3 and not compressed:  # a size field that lies
        content[124:136] = b"%011o\0" % int(rng.integers(0, 8**11))
    return bytes(content)


WAYS = ("well", "cut", "range", "short", "long", "error", "none")


class Liar(http.server.BaseHTTPRequestHandler):
    """Sends the file at the server's `path` in a way that depends on its bytes, not always well."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        content = Path(self.server.path).read_bytes()
        rng = np.random.default_rng([len(content), *content[:8], self.server.asked])
        self.server.asked += 1
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        way = self.server.way or rng.choice(WAYS)
        if way == "error":
            self.send_error(int(rng.choice([500, 404, 403, 429])))
            return
        part = content if way == "range" else content[start:]
        self.send_response(206 if start and way != "none" else 200)
        if start and way != "none":
            first = start if way != "range" else 0
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        length = len(part) + {"short": -3, "long": 5}.get(str(way), 0)
        if way != "none" or rng.random() < 0.5:
            self.send_header("Content-Length", str(max(0, length)))
        self.end_headers()
        self.wfile.write(part[: len(part) // 2] if way == "cut" else part)
        self.close_connection = True


@functools.cache
def _server() -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.asked, server.way = 0, "well"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def as_it_is(data: bytes, rng: np.random.Generator) -> bytes:
    """Nothing happens to the file itself."""
    return data


WHOLE = bytes(range(256)) * 40
DIGEST = hashlib.sha256(WHOLE).hexdigest()


def read_download(path: Path) -> bytes:
    """The file at `path` as it arrives from a server that may lie: the whole of WHOLE, or a
    UserError.
    """
    download.time.sleep = lambda _: None  # type: ignore[attr-defined]
    server = _server()
    server.path = path
    target = path.parent / "arrived"
    target.unlink(missing_ok=True)
    address = f"http://127.0.0.1:{server.server_port}/file"
    try:
        fetched = download.fetch((address,), target, "By hand: bring it.", sha256=DIGEST)
        server.way = None  # the first one, the truth, was sent well
        return fetched.read_bytes()
    except Exception:
        assert not target.exists()
        raise

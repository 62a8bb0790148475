"""A local stand-in of the Hugging Face hub over HTTP: metadata, ranges, cut connections, changed content."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


class Hub:
    """`files`: what is served. `cuts`: answers still to end half-way. `claimed`: sha256 said in place of the true.

    `elsewhere`: address that the bytes of files are redirected to, as on the hub; "" for none.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.cuts = 0
        self.claimed: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.url = ""
        self.commit = COMMIT
        self.elsewhere = ""

    def siblings(self) -> list[dict[str, object]]:
        """Small files have no LFS hash, as on the hub."""
        rows: list[dict[str, object]] = []
        for name, content in self.files.items():
            row: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": "b" * 40}
            if not name.endswith(".json"):
                sha256 = self.claimed.get(name, hashlib.sha256(content).hexdigest())
                row["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            rows.append(row)
        return rows


@contextmanager
def running_hub(files: dict[str, bytes]) -> Iterator[Hub]:
    """A hub with one repository of any name."""
    hub = Hub(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
            if self.path.startswith("/api/models/"):
                info = {"id": "r/m", "sha": hub.commit, "siblings": hub.siblings()}
                self._send(200, json.dumps(info).encode())
                return
            name = self.path.partition("/resolve/")[2].partition("/")[2]
            if hub.elsewhere and name in hub.files:
                self._send(302, b"", location=hub.elsewhere + self.path)
                return
            if name not in hub.files:
                self._send(404, b"")
                return
            content, wanted = hub.files[name], re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
            start = int(wanted[1]) if wanted else 0
            self._send(206 if wanted else 200, content[start:], may_cut=True)

        def _send(self, status: int, body: bytes, may_cut: bool = False, location: str = "") -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("x-repo-commit", hub.commit)
            if location:
                self.send_header("location", location)
            self.end_headers()
            cut = may_cut and hub.cuts > 0
            hub.cuts -= cut
            self.wfile.write(body[: len(body) // 2] if cut else body)

        def log_message(self, format: str, *args: object) -> None:
            """Tests read `requests` instead."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

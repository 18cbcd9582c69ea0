"""A server that speaks as much of the hub's API as a download needs: one model, and one that wants permission."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL, GATED = "someone/tiny", "someone/gated"


class Hub:
    """What is served from where, and which paths were asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    folder: Path
    served: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.served.asked.append(path)
        api, files = f"/api/models/{MODEL}", f"/{MODEL}/resolve/{COMMIT}/"
        if path in (f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            names = [{"rfilename": file.name} for file in self.folder.iterdir()]
            self._json({"id": MODEL, "sha": COMMIT, "siblings": names})
        elif path.startswith(f"{api}/tree/"):
            self._json([self._entry(file) for file in self.folder.iterdir()])
        elif path.startswith(files) and (self.folder / path.removeprefix(files)).is_file():
            data = (self.folder / path.removeprefix(files)).read_bytes()
            self._send(200, data, {"ETag": f'"{tag(data)}"', "X-Repo-Commit": COMMIT})
        elif path.startswith(f"/api/models/{GATED}"):
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        else:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound" if path.startswith(api) else "RepoNotFound"})

    @staticmethod
    def _entry(file: Path) -> dict[str, object]:
        data = file.read_bytes()
        return {"type": "file", "path": file.name, "size": len(data), "oid": tag(data)}

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *about: object) -> None:
        pass


def tag(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@contextmanager
def hub(folder: Path) -> Iterator[Hub]:
    """Serve the files of a folder as the model `someone/tiny` with the branch `main`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Serving", (Handler,), {"folder": folder, "served": served})
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

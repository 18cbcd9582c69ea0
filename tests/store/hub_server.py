"""A server that speaks as much of the hub's API as a download needs (one model, and one that wants permission) and an upload."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL, GATED = "someone/tiny", "someone/gated"


WRITER = "hf_written-by-the-test"  # the only key that may write


@dataclass
class Repository:
    """What was pushed: files by path."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


class Hub:
    """What is served from where, which paths were asked for, and what was pushed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}  # large files by digest, until a commit names them


class Handler(BaseHTTPRequestHandler):
    folder: Path
    served: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.served.asked.append(path)
        if (pushed := self.served.repositories.get(path.removeprefix("/api/models/"))) is not None:
            names = [{"rfilename": name} for name in pushed.files]
            self._json({"id": path, "sha": COMMIT, "private": pushed.private, "siblings": names})
            return
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

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self.rfile.read(int(self.headers["Content-Length"]))
        self.served.asked.append(path)
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {WRITER}":
            self._send(401, b"", {"X-Error-Message": "Invalid username or password."})
        elif path == "/api/repos/create":
            about = json.loads(body)
            name = f"{about['organization']}/{about['name']}"
            self.served.repositories[name] = Repository(
                about.get("visibility") == "private" or bool(about.get("private"))
            )
            self._json({"url": f"{self.served.url}/{name}"})
        elif path.endswith("/preupload/main"):
            modes = [
                (f["path"], "lfs" if f["path"].endswith(".safetensors") else "regular")
                for f in json.loads(body)["files"]
            ]
            self._json({"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in modes]})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.served.url}/objects/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})
        elif path.endswith("/commit/main"):
            self._commit(self.served.repositories[path.removeprefix("/api/models/").removesuffix("/commit/main")], body)
        else:
            self._send(404, b"", {})

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.served.objects[hashlib.sha256(data).hexdigest()] = data
        self._send(200, b"", {})

    def _commit(self, repository: Repository, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            kind, value = line["key"], line["value"]
            if kind == "header":
                repository.messages.append(value["summary"])
            elif kind == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                repository.files[value["path"]] = self.served.objects[value["oid"]]
            elif kind == "deletedFile":
                del repository.files[value["path"]]
        self._json(
            {"commitOid": COMMIT, "commitUrl": f"{self.served.url}/ada/clinic/commit/{COMMIT}", "hookOutput": ""}
        )

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
        if self.command != "HEAD":
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

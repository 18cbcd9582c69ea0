"""The web page: every file of one folder, at `/` and below `/page/`. Only files that were there at the start are served,
each by its own name, so no path can lead out of the folder."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from starlette.responses import Response

from dragoman.server.call import Call
from dragoman.server.gateway import Gateway
from dragoman.server.operation import PAGE_POLICY, PRIVATE_POLICY, Operation, json_response
from dragoman.server.private import ENGINE, FILES
from dragoman.store import engines

_PRIVATE = "private-worker.js"


def operations(gateway: Gateway) -> list[Operation]:
    folder = gateway.page
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    found = [_file(f"/page/{path.relative_to(folder).as_posix()}", path) for path in files]
    if (engine := engines.installed(ENGINE)) is not None:
        found += [_file(f"/page/{ENGINE}/{name}", engine / name) for name in FILES]
    index = folder / "index.html"
    return [*found, _file("/", index) if index in files else Operation("GET", "/", _greeting, None, name="root")]


def _file(place: str, path: Path) -> Operation:
    policy = PRIVATE_POLICY if path.name == _PRIVATE else PAGE_POLICY
    kind = (
        "application/wasm"
        if path.suffix == ".wasm"
        else mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    )

    async def send(gateway: Gateway, call: Call) -> Response:
        del gateway, call
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
        return Response(path.read_bytes(), media_type=kind, headers=headers)

    return Operation("GET", place, send, None, name="page", counted=False)


async def _greeting(gateway: Gateway, call: Call) -> Response:
    del call
    return json_response({"name": "dragoman", "openapi": "/openapi.json", "keys": bool(gateway.keys)})

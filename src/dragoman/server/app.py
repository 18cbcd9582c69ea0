"""The ASGI application: every operation at its path, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response
from starlette.routing import Route, Router

from dragoman.server import (
    api,
    api_documents,
    api_preferences,
    api_private,
    api_runs,
    api_segments,
    health,
    logs,
    openapi,
    page,
)
from dragoman.server.dialects import (
    deepl,
    deepl_documents,
    deepl_glossaries,
    deepl_memories,
    deepl_quality,
    libretranslate,
    openai,
    platforms,
)
from dragoman.server.errors import Dialect, Refused, response
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, Path, Receive, Scope, Send, _headed


def operations(gateway: Gateway) -> list[Operation]:
    """All that this server can be asked, those asked most often first."""
    modules: Iterable[Any] = (
        libretranslate, deepl, openai, health, deepl_glossaries, deepl_documents, deepl_memories, deepl_quality, api,
        api_segments, api_documents, api_preferences, api_private, api_runs, platforms, openapi,
    )  # fmt: skip
    return [*(one for module in modules for one in module.OPERATIONS), *page.operations(gateway)]


class App:
    """The gateway as an ASGI application; it starts and ends with the server that runs it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        paths: dict[str, list[Operation]] = {}
        for operation in operations(gateway):
            paths.setdefault(operation.path, []).append(operation)
        routes = [Route(path, Path(gateway, known)) for path, known in paths.items()]
        for route in routes:
            route.methods = None  # the path itself tells the methods apart, and answers in its dialect
        self._router = Router(routes, redirect_slashes=False, default=self._not_found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._router(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.gateway.start()
                except Exception as error:
                    logs.fault("start", error)
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.gateway.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _not_found(self, scope: Any, receive: Any, send: Any) -> None:
        answer: Response = response(Refused("not_found", "there is nothing at this path."), dialect_of(scope["path"]))
        await _headed(answer, None, self.gateway)(scope, receive, send)


def dialect_of(path: str) -> Dialect:
    """Whose error envelope a path that is none gets."""
    if re.match(r"/v[23]/", path):
        return "deepl"
    return "openai" if path.startswith("/v1/") else "api" if path.startswith("/api/") else "libretranslate"

"""Running a gateway under uvicorn: one process, TLS by files, and a quiet end."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from dragoman.errors import RecipeError, ResourceError
from dragoman.server import logs
from dragoman.server.app import App
from dragoman.server.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens. `proxies`: addresses whose X-Forwarded-* headers are believed."""

    host: str = "127.0.0.1"
    port: int = 5000
    certificate: Path | None = None
    key: Path | None = None
    proxies: str = ""


class Server(uvicorn.Server):
    """The first signal lets what is in flight end while no new request comes in; the second ends at once."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, started: Callable[[int], None]) -> None:
        super().__init__(config)
        self._gateway, self._tell = gateway, started
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what stays is not looked through again: that held up all requests for 90 ms, every few thousand
            self._tell(self.servers[0].sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del sig, frame
        if self._loop is None or self._gateway.draining:
            self.should_exit = self.force_exit = True
            return
        self._gateway.draining = True
        self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        async def drain() -> None:
            logs.event("draining", requests=self._gateway.flying)
            await self._gateway.drained()
            self.should_exit = True

        self._draining = asyncio.ensure_future(drain())


def server(gateway: Gateway, place: Place, started: Callable[[int], None] = lambda port: None) -> Server:
    """A server that is not running yet. Raises RecipeError for half a certificate."""
    if (place.certificate is None) != (place.key is None):
        raise RecipeError("TLS needs both files: --tls-cert and --tls-key.")
    options: dict[str, Any] = {}
    if place.certificate is not None:
        options = {"ssl_certfile": str(place.certificate), "ssl_keyfile": str(place.key)}
    config = uvicorn.Config(
        App(gateway),
        host=place.host,
        port=place.port,
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        proxy_headers=bool(place.proxies),
        forwarded_allow_ips=place.proxies,
        **options,
    )
    return Server(config, gateway, started)


def looped(serving: Coroutine[Any, Any, None]) -> None:
    """Run a server in the fastest loop that is installed: uvloop's, which has no version for Windows."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serving)


def run(gateway: Gateway, place: Place, started: Callable[[int], None]) -> None:
    """Serve until a signal comes. Raises ResourceError where the port cannot be had."""
    try:
        found = server(gateway, place, started)
        found.config.load()
        looped(found.serve())
    except OSError as error:
        raise ResourceError(f"cannot serve at {place.host}:{place.port} ({error.strerror or error}).") from None
    except SystemExit:
        raise ResourceError(
            f"cannot serve at {place.host}:{place.port}: the port is taken, or not allowed. Name another with --port."
        ) from None

"""Servers that are alive for a test: a gateway under uvicorn in a thread, with engines in processes of their own."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from dragoman.server.gateway import Gateway
from dragoman.server.run import Place, Server, server

FAULTY = Path(__file__).with_name("faulty.py")


@dataclass(slots=True)
class Live:
    gateway: Gateway
    server: Server
    url: str
    loop: asyncio.AbstractEventLoop
    http: httpx2.Client

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(300)

    def json(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()


@contextmanager
def living(gateway: Gateway, *, ready: bool = True) -> Iterator[Live]:
    """A server for a `with`; it waits until the first engine is ready."""
    started = threading.Event()
    ports: list[int] = []
    loops: list[asyncio.AbstractEventLoop] = []

    def tell(port: int) -> None:
        ports.append(port)
        loops.append(asyncio.get_running_loop())
        started.set()

    one = server(gateway, Place(port=0), tell)
    thread = threading.Thread(target=lambda: asyncio.run(one.serve()))
    thread.start()
    try:
        assert started.wait(300)
        url = f"http://127.0.0.1:{ports[0]}"
        with httpx2.Client(base_url=url, timeout=300, trust_env=False) as http:
            live = Live(gateway, one, url, loops[0], http)
            if ready:
                until(lambda: http.get("/health/ready").status_code == 200)
            yield live
    finally:
        one.should_exit = True
        thread.join(300)
        assert not thread.is_alive()


def until(condition: Any, seconds: float = 300.0) -> None:
    """Wait until something holds: long, for beside other work an engine may need a minute to start."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)


def faulty(*how: str) -> list[str]:
    """The command of an engine that misbehaves (`faulty.py`)."""
    return [sys.executable, str(FAULTY), *how]

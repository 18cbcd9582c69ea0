"""Workers: processes of this machine, or actors of a Ray cluster. Either can lose a worker at any moment, and says so."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from dragoman.bulk.work import Engine, Made, Row, Spec
from dragoman.errors import DragomanError, ResourceError


class WorkerLostError(Exception):
    """A worker has ended in the midst of its work."""


class Pool(Protocol):
    """So many workers, numbered from 0; each does one thing at a time."""

    size: int

    def give(self, worker: int, rows: Sequence[Row]) -> None:
        """Let a worker that is free translate rows. A worker that was lost is started again."""

    def wait(self) -> tuple[int, Made | WorkerLostError]:
        """Who is done first, with what. Raises DragomanError where a worker cannot even begin."""

    def close(self) -> None:
        """End all workers."""


class Processes:
    """Workers as processes of this machine."""

    def __init__(self, spec: Spec, size: int) -> None:
        self.spec, self.size = spec, size
        self._running: dict[int, tuple[BaseProcess, Connection]] = {}
        self._busy: set[int] = set()

    def give(self, worker: int, rows: Sequence[Row]) -> None:
        if worker not in self._running:
            context = get_context("spawn")
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(self.spec, theirs), daemon=True)
            process.start()
            theirs.close()
            self._running[worker] = process, mine
        self._busy.add(worker)
        with suppress(OSError):  # lost already: `wait` tells
            self._running[worker][1].send(list(rows))

    def wait(self) -> tuple[int, Made | WorkerLostError]:
        places = {self._running[worker][1]: worker for worker in self._busy}
        ready: Any = wait(list(places))[0]
        worker = places[ready]
        self._busy.discard(worker)
        try:
            found = ready.recv()
        except (EOFError, OSError):
            process, connection = self._running.pop(worker)
            process.join()
            connection.close()
            return worker, WorkerLostError(f"its process ended with code {process.exitcode}")
        if isinstance(found, DragomanError):
            raise found
        return worker, found

    def close(self) -> None:
        for process, connection in self._running.values():
            connection.close()
            process.terminate()
        for process, _ in self._running.values():
            process.join()
        self._running.clear()


def _serve(spec: Spec, connection: Connection) -> None:
    os.environ["OMP_NUM_THREADS"] = str(spec.threads)
    try:
        engine = Engine(spec)
    except DragomanError as error:
        connection.recv()
        connection.send(error)
        return
    while True:
        try:
            rows = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(engine.translate(rows))


class Ray:
    """Workers as actors of a Ray cluster. `address`: `auto` for the one that runs, `local` for one on this machine that
    lasts as long as the work, or that of a cluster."""

    def __init__(self, spec: Spec, size: int, address: str, *, cards: float = 0) -> None:
        self.spec, self.size, self.cards = spec, size, cards
        try:
            import ray
        except ImportError:
            raise ResourceError("--ray needs Ray: pip install 'dragoman[ray]', or leave it out.") from None
        self._ray: Any = ray
        self._own = not ray.is_initialized()
        if self._own:
            _join(ray, address, size)
        self._actor = ray.remote(num_cpus=spec.threads, num_gpus=cards, max_restarts=0)(Engine)
        self._running: dict[int, Any] = {}
        self._busy: dict[Any, int] = {}

    def give(self, worker: int, rows: Sequence[Row]) -> None:
        if worker not in self._running:
            self._running[worker] = self._actor.remote(self.spec)
        self._busy[self._running[worker].translate.remote(list(rows))] = worker

    def wait(self) -> tuple[int, Made | WorkerLostError]:
        ready = self._ray.wait(list(self._busy), num_returns=1)[0][0]
        worker = self._busy.pop(ready)
        errors = self._ray.exceptions
        try:
            found: Made = self._ray.get(ready)
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", error)
            raise cause if isinstance(cause, DragomanError) else ResourceError(f"a worker failed: {error}") from None
        except errors.RayError as error:
            actor = self._running.pop(worker)
            if "DragomanError" in str(error) or "creation task" in str(error):
                raise ResourceError(f"a worker cannot load the model: {_last(error)}") from None
            del actor
            return worker, WorkerLostError(_last(error))
        return worker, found

    def close(self) -> None:
        for actor in self._running.values():
            self._ray.kill(actor)
        self._running.clear()
        if self._own:
            self._ray.shutdown()


def _join(ray: Any, address: str, size: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no traffic but what is asked for
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        if address == "local":
            ray.init(address="local", num_cpus=max(size, os.cpu_count() or 1), include_dashboard=False, **quiet)
        else:
            if address != "auto":
                _knock(address)
            ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise ResourceError(
            f"--ray {address}: no Ray cluster can be reached ({_last(error)}). Start one with `ray start --head`, name the "
            "address of one, or take `--ray local` for workers on this machine."
        ) from None


def _knock(address: str) -> None:
    """Ray itself tries for minutes to reach a cluster that is not there. Raises OSError and ValueError."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10):
        pass


def _last(error: Exception) -> str:
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__

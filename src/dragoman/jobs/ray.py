"""Places on a Ray cluster: an actor for each, which keeps the worker in a process of its own as on one machine. So a job is
stopped, speaks and is lost there as it is here."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dragoman.errors import ResourceError
from dragoman.jobs.pools import Event, Processes
from dragoman.jobs.worker import Worker, WorkerLostError

_LOOK = 0.5  # seconds for which an actor waits for its process at a time: as long may `stop` take to get through


class Ray:
    """`address`: `auto` for the cluster that runs, `local` for one on this machine that lasts as long as the work, or that of
    a cluster. `size`: None for as many places as the cluster has cards, or else processor cores."""

    def __init__(
        self,
        worker: Worker[Any, Any],
        size: int | None,
        address: str,
        *,
        once: bool = False,
        preload: Sequence[str] = (),
    ) -> None:
        try:
            import ray
        except ImportError:
            raise ResourceError("--ray needs Ray: pip install 'dragoman[ray]', or leave it out.") from None
        self._ray: Any = ray
        self._own = not ray.is_initialized()
        if self._own:
            _join(ray, address, size)
        there = ray.cluster_resources()
        cards = int(there.get("GPU", 0))
        self.size = size or cards or max(1, int(there.get("CPU", 1)))
        self._host = ray.remote(num_cpus=1, num_gpus=min(1.0, cards / self.size), max_restarts=0)(_Host)
        self._given = (worker, once, tuple(preload), Path.cwd())
        self._running: dict[int, Any] = {}
        self._waits: dict[Any, int] = {}

    def give(self, place: int, job: Any) -> None:
        if place not in self._running:
            self._running[place] = self._host.remote(*self._given, (place, self.size))
        self._running[place].give.remote(job)
        self._watch(place)

    def _watch(self, place: int) -> None:
        self._waits[self._running[place].wait.remote(_LOOK)] = place

    def wait(self, seconds: float | None) -> Event | None:
        while True:
            ready, _ = self._ray.wait(list(self._waits), num_returns=1, timeout=seconds)
            if not ready:
                return None
            place = self._waits.pop(ready[0])
            try:
                event = self._ray.get(ready[0])
            except self._ray.exceptions.RayError as error:
                del self._running[place]
                return place, "lost", WorkerLostError(_last(error))
            if event is None or event[1] == "said":
                self._watch(place)
            if event is not None:
                return place, event[1], event[2]
            if seconds is not None:
                return None

    def stop(self, place: int) -> None:
        self._waits = {wait: other for wait, other in self._waits.items() if other != place}
        self._ended([self._running.pop(place)] if place in self._running else [])

    def close(self) -> None:
        self._waits.clear()
        self._ended(list(self._running.values()))
        self._running.clear()
        if self._own:
            self._ray.shutdown()

    def _ended(self, hosts: Sequence[Any]) -> None:
        with suppress(self._ray.exceptions.RayError):  # it is gone already
            self._ray.get([host.close.remote() for host in hosts])
        for host in hosts:
            self._ray.kill(host)


class _Host:
    """In the cluster: one place."""

    def __init__(
        self, worker: Worker[Any, Any], once: bool, preload: Sequence[str], folder: Path, among: tuple[int, int]
    ) -> None:
        with suppress(OSError):  # paths are those of whoever we work for, where this machine has them
            os.chdir(folder)
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray's; the process is told how many cores it has
        self._pool = Processes(worker, 1, once=once, preload=preload, among=among)

    def give(self, job: Any) -> None:
        self._pool.give(0, job)

    def wait(self, seconds: float) -> Event | None:
        return self._pool.wait(seconds)

    def close(self) -> None:
        self._pool.close()


def _join(ray: Any, address: str, size: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no traffic but what is asked for
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        if address == "local":
            ray.init(address="local", num_cpus=max(size or 1, os.cpu_count() or 1), include_dashboard=False, **quiet)
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

"""Places where jobs are done: this process, or processes of this machine (a Ray cluster: `dragoman.jobs.ray`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from dragoman.core.listen import SILENT, Listener
from dragoman.jobs.worker import Place, Worker, WorkerLostError, serve

_GRACE = 60.0  # seconds that a stopped process has for its checkpoint
_CARDS = Path("/proc/driver/nvidia/gpus")
Event = tuple[int, str, Any]  # place; done, failed, broken (it cannot begin), lost or said; result, error or words


class Pool(Protocol):
    """So many places, numbered from 0, of which each does one job at a time. Any can lose its worker, and says so; the next
    job that is given there starts another."""

    size: int

    def give(self, place: int, job: Any) -> None:
        """Let a place that is free do a job."""

    def wait(self, seconds: float | None) -> Event | None:
        """What happens next; None where nothing does in so many seconds."""

    def stop(self, place: int) -> None:
        """End the worker there, with time for a checkpoint; returns when it has ended."""

    def close(self) -> None:
        """End all of them."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(_cores())


def _cores() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def share(place: int, size: int) -> tuple[int, ...]:
    """The cores of one of `size` places, as equal as can be; all of them have at least one."""
    every = _cores()
    count = max(1, len(every) // size)
    return tuple(every[(place * count + i) % len(every)] for i in range(count))


class Here:
    """One place, in this process."""

    size = 1

    def __init__(self, worker: Worker[Any, Any], listener: Listener = SILENT) -> None:
        self._worker, self._place = worker, Place(listener)
        self._work: Callable[[Any], Any] | None = None
        self._jobs: list[Any] = []

    def give(self, place: int, job: Any) -> None:
        self._jobs.append(job)

    def wait(self, seconds: float | None) -> Event | None:
        del seconds
        if not self._jobs:
            return None
        if self._work is None:
            self._work = self._worker.start(self._place)
        try:
            return 0, "done", self._work(self._jobs.pop())
        except Exception as error:
            return 0, "failed", error

    def stop(self, place: int) -> None:
        self._jobs.clear()

    def close(self) -> None:
        self._jobs.clear()


class Processes:
    """Places in processes of this machine. `once`: a process for each job, so that none leaves anything to the next.
    `preload`: modules that all processes share, loaded once. Several cards are dealt out."""

    def __init__(
        self,
        worker: Worker[Any, Any],
        size: int,
        *,
        once: bool = False,
        preload: Sequence[str] = (),
        among: tuple[int, int] | None = None,
    ) -> None:
        """`among`: the number of the pool's first place among so many that share the machine's cores and cards."""
        self.size = size
        self._worker, self._once = worker, once
        self._first, self._all = among or (0, size)
        # fork is not for processes with threads; Windows has no server that forks
        method = "forkserver" if preload and "forkserver" in get_all_start_methods() else "spawn"
        self._context: Any = get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(list(preload))
        self._running: dict[int, tuple[BaseProcess, Connection]] = {}
        self._busy: set[int] = set()

    def give(self, place: int, job: Any) -> None:
        if place not in self._running:
            self._running[place] = self._start(place)
        self._busy.add(place)
        with suppress(OSError):  # lost already: `wait` tells
            self._running[place][1].send(job)

    def _start(self, place: int) -> tuple[BaseProcess, Connection]:
        mine, theirs = self._context.Pipe()
        number = self._first + place
        given = (self._worker, theirs, share(number, self._all))
        process = self._context.Process(target=serve, args=given, name=f"worker {number}")
        with _card(number):
            process.start()
        theirs.close()
        return process, mine

    def wait(self, seconds: float | None) -> Event | None:
        places = {self._running[place][1]: place for place in self._busy}
        ready: list[Any] = wait(list(places), seconds)
        if not ready:
            return None
        place = places[ready[0]]
        try:
            kind, value = ready[0].recv()
        except (EOFError, OSError):
            process, connection = self._running.pop(place)
            self._busy.discard(place)
            process.join()
            connection.close()
            return place, "lost", WorkerLostError(f"its process ended with code {process.exitcode}")
        if kind != "said":
            self._busy.discard(place)
            if self._once:
                self._end([place], ask=False)
        return place, kind, value

    def stop(self, place: int) -> None:
        self._end([place])

    def close(self) -> None:
        self._end(list(self._running))

    def _end(self, places: Sequence[int], *, ask: bool = True) -> None:
        ended = [self._running.pop(place) for place in places if place in self._running]
        self._busy -= set(places)
        for process, connection in ended:
            if ask:
                process.terminate()
            else:
                connection.close()  # this ends it too; not both, for whoever is asked twice leaves no checkpoint
        for process, connection in ended:
            process.join(_GRACE)
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()


class _card:  # noqa: N801 - used as a statement
    """Inside, a process that is started sees one card of several: the one of its number."""

    def __init__(self, number: int) -> None:
        asked = os.environ.get("CUDA_VISIBLE_DEVICES")
        every = asked.split(",") if asked is not None else [str(n) for n in range(len(list(_CARDS.glob("*"))))]
        self._before = asked
        self._chosen = every[number % len(every)] if len(every) > 1 else None

    def __enter__(self) -> None:
        if self._chosen is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self._chosen

    def __exit__(self, *error: object) -> None:
        if self._chosen is None:
            return
        if self._before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = self._before

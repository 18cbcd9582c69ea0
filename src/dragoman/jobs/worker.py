"""What does the jobs, where it stands, and the process that it runs in: stopped as Ctrl-C stops a program, and never
left behind."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import FrameType
from typing import Any, Protocol, TypeVar

from dragoman.core.listen import SILENT, Listener
from dragoman.errors import DragomanError

Job_contra = TypeVar("Job_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class WorkerLostError(Exception):
    """A worker's process, or its machine, has ended in the midst of a job."""


@dataclass(frozen=True)
class Place:
    """Where a worker stands. `cores`: its share of the processor's, in a process of its own; () where it has none."""

    listener: Listener = SILENT
    cores: tuple[int, ...] = ()

    def pin(self) -> None:
        """Keep this process, and the threads that it starts, on its cores."""
        if self.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.cores)


class Worker(Protocol[Job_contra, Result_co]):
    """Sent once to each place."""

    def start(self, place: Place) -> Callable[[Job_contra], Result_co]:
        """Make ready, there; what comes back does the jobs."""


def explain(error: BaseException) -> str:
    """A failure in one line: dragoman's own errors speak for themselves."""
    return str(error) if isinstance(error, DragomanError) else f"{type(error).__name__}: {error}"


# ---------------------------------------------------------------- in the worker's process


class _Speaker:
    """A listener that speaks to the process that the worker works for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def say(self, text: str) -> None:
        self._connection.send(("said", ("say", (text,), {})))

    def warn(self, text: str) -> None:
        self._connection.send(("said", ("warn", (text,), {})))

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        self._connection.send(("said", ("progress", (task, done, total), facts)))


def serve(worker: Worker[Any, Any], connection: Connection, cores: tuple[int, ...]) -> None:
    """Do the jobs that come through the connection, until it is closed or this process is terminated."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches whoever we work for, who stops us, once
    signal.signal(signal.SIGTERM, _interrupt)
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(name, str(max(1, len(cores))))
    jobs: SimpleQueue[Any] = SimpleQueue()
    with suppress(KeyboardInterrupt, OSError):
        threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
        try:
            work = worker.start(Place(_Speaker(connection), cores))
        except Exception as error:  # whatever it is, it is told there
            _send(connection, "broken", error)
            return
        while True:
            job = jobs.get()
            try:
                told: tuple[str, Any] = ("done", work(job))
            except Exception as error:
                told = ("failed", error)
            _send(connection, *told)


def _listen(connection: Connection, jobs: SimpleQueue[Any]) -> None:
    with suppress(EOFError, OSError):
        while True:
            jobs.put(connection.recv())
    os.kill(os.getpid(), signal.SIGTERM)  # whoever we work for is gone, however it went


def _send(connection: Connection, kind: str, value: Any) -> None:
    if isinstance(value, Exception) and not isinstance(value, DragomanError):
        value.add_note("".join(traceback.format_exception(value)))
        try:
            pickle.loads(pickle.dumps(value))  # some can be packed and not unpacked
        except Exception:
            value = RuntimeError(explain(value))
    connection.send((kind, value))


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt

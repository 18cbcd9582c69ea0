"""Arms side by side, each in a process of its own: one that is killed takes no other with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dragoman.core.listen import Listener
from dragoman.studies.arms import Job, Outcome, explain, work
from dragoman.studies.children import obey, stop


def at_once(jobs: Sequence[Job], out: Path, processes: int, listener: Listener) -> Iterator[Outcome]:
    """Run the jobs, so many at a time; outcomes as they come. What is running is stopped when this is left early.

    The cores are divided among the processes, but for arms that name their `plan.threads`.
    """
    waiting, running = list(reversed(jobs)), list[_Running]()
    cores = shares(processes)
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                free = next(share for share in cores if share not in [one.cores for one in running])
                running.append(_start(waiting.pop(), out, free))
            ready = wait([one.connection for one in running])
            for one in [one for one in running if one.connection in ready]:
                outcome = _hear(one, listener)
                if outcome is not None:
                    running.remove(one)
                    yield outcome
    finally:
        stop(*(one.process for one in running))


@dataclass(frozen=True)
class _Running:
    job: Job
    process: BaseProcess
    connection: Connection
    cores: tuple[int, ...]


def shares(processes: int) -> list[tuple[int, ...]]:
    """The cores of each process, as equal as can be; all of them have at least one."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    size = max(1, len(cores) // processes)
    return [(number, *(cores[(number * size + i) % len(cores)] for i in range(size))) for number in range(processes)]


def _start(job: Job, out: Path, cores: tuple[int, ...]) -> _Running:
    context = get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_run, args=(job, out, theirs, cores[1:]), name=job.title)
    process.start()
    theirs.close()
    return _Running(job, process, mine, cores)


def _hear(one: _Running, listener: Listener) -> Outcome | None:
    """Pass on what the process says; its outcome when it has ended."""
    job = one.job
    try:
        kind, *rest = one.connection.recv()
    except (EOFError, OSError):
        one.process.join()
        failed = (
            f"its process ended with code {one.process.exitcode}, most likely killed for want of memory. Run the study "
            "again with fewer --jobs; what the arm had reached is kept."
        )
        return Outcome(job.arm, job.seed, job.folder, failed)
    if kind == "end":
        one.process.join()
        return Outcome(job.arm, job.seed, job.folder, rest[0])
    if kind == "progress":
        task, done, total, facts = rest
        listener.progress(task, done, total, **facts)
    else:
        (listener.warn if kind == "warn" else listener.say)(rest[0])
    return None


# ---------------------------------------------------------------- in the process


class _Speaker:
    """A listener that speaks to the process of the study."""

    def __init__(self, name: str, connection: Connection) -> None:
        self._name, self._connection = name, connection

    def say(self, text: str) -> None:
        self._connection.send(("say", f"{self._name}: {text}"))

    def warn(self, text: str) -> None:
        self._connection.send(("warn", f"{self._name}: {text}"))

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        self._connection.send(("progress", f"{self._name}: {task}", done, total, facts))


def _run(job: Job, out: Path, connection: Connection, cores: Sequence[int]) -> None:
    obey(connection)
    if job.recipe.plan.threads is None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    failed = ""
    try:
        work(job, out, _Speaker(job.title, connection), alone=False)
    except KeyboardInterrupt:
        return
    except Exception as error:  # whatever it is, the other arms stand
        failed = explain(error)
    with suppress(OSError):
        connection.send(("end", failed))

"""Jobs given to places: a lost worker's job is done again, a failed one is told, and the others go on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, cast

from dragoman.core.listen import SILENT, Listener
from dragoman.errors import DragomanError, ResourceError
from dragoman.jobs.pools import Here, Pool, Processes, cores
from dragoman.jobs.worker import Worker, WorkerLostError, explain

TRIES = 2  # workers that a job may take with it
_AHEAD = 3  # results of a place that may wait for an earlier one

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ended(Generic[Job, Result]):
    """What came of a job: its result, or why there is none (WorkerLostError: it has taken `TRIES` workers with it)."""

    number: int
    job: Job
    result: Result | None = None
    error: Exception | None = None


def opened(
    worker: Worker[Any, Any],
    size: int | None,
    ray: str | None = None,
    *,
    once: bool = False,
    preload: Sequence[str] = (),
) -> Pool:
    """A pool of `size` processes, or of as many workers of the Ray cluster `ray` (None: all that it has room for).

    Raises ResourceError where Ray is not installed or no cluster is there.
    """
    if ray is None:
        return Processes(worker, size or 1, once=once, preload=preload)
    from dragoman.jobs.ray import Ray

    return Ray(worker, size, ray, once=once, preload=preload)


class Runner(Generic[Job, Result]):
    """Gives jobs to the places of a pool, which is closed when the runner is left. What workers say goes to the listener."""

    def __init__(self, pool: Pool, listener: Listener = SILENT) -> None:
        self.pool, self.lost = pool, 0
        self._listener = listener
        self._numbers = itertools.count()
        self._at: dict[int, tuple[int, Job, int]] = {}  # place -> number and job, workers that it may still take

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.close()

    @property
    def free(self) -> bool:
        return len(self._at) < self.pool.size

    @property
    def running(self) -> set[int]:
        """Numbers of the jobs at work."""
        return {number for number, _, _ in self._at.values()}

    def give(self, job: Job, tries: int = TRIES) -> int:
        """Begin a job; only where a place is free. Returns its number, counted from 0."""
        place = next(place for place in range(self.pool.size) if place not in self._at)
        number = next(self._numbers)
        self._at[place] = number, job, tries
        self.pool.give(place, job)
        return number

    def next(self, seconds: float | None = None) -> Ended[Job, Result] | None:
        """The next job that has ended; None where none runs, or none has ended in so many seconds.

        Raises the error of a worker that cannot even begin.
        """
        while self._at:
            event = self.pool.wait(seconds)
            if event is None:
                return None
            place, kind, value = event
            if kind == "said":
                name, words, facts = value
                getattr(self._listener, name)(*words, **facts)
                continue
            number, job, tries = self._at.pop(place)
            if kind == "done":
                return Ended(number, job, result=value)
            if kind == "broken":
                raise (
                    value
                    if isinstance(value, DragomanError)
                    else ResourceError(f"a worker cannot begin: {explain(value)}")
                ) from value
            if kind == "lost":
                self.lost += 1
                if tries > 1:
                    self._listener.warn(f"a worker was lost ({value}); its job is done again")
                    self._at[place] = number, job, tries - 1
                    self.pool.give(place, job)
                    continue
            return Ended(number, job, error=value)
        return None

    def stop(self, number: int) -> None:
        """End a job at work, with time for a checkpoint; returns when it has ended."""
        place = next(place for place, (held, _, _) in self._at.items() if held == number)
        self.pool.stop(place)
        del self._at[place]

    def completed(self, jobs: Iterable[Job]) -> Iterator[Ended[Job, Result]]:
        """All jobs as they end. The next one is made while the others are at work."""
        source = iter(jobs)
        held = list(itertools.islice(source, 1))
        while held or self._at:
            while held and self.free:
                self.give(held.pop())
                held = list(itertools.islice(source, 1))
            if (ended := self.next()) is not None:
                yield ended


@dataclass(frozen=True)
class Crew:
    """Who does the jobs of a stage: so many processes here (1: this one), or workers of a Ray cluster (None: all of it)."""

    workers: int | None = 1
    ray: str | None = None


_asked: ContextVar[Crew | None] = ContextVar("crew", default=None)


def crew(*, small: bool = False) -> Crew:
    """The crew that was asked for, else a process for each core; this process alone where the work is `small`."""
    return _asked.get() or Crew(1 if small else cores())


@contextmanager
def spread(workers: int | None, ray: str | None) -> Iterator[None]:
    """Inside, stages that work on all cores use so many workers instead."""
    token = _asked.set(Crew(workers, ray) if workers or ray else None)
    try:
        yield
    finally:
        _asked.reset(token)


def in_order(
    jobs: Iterable[Job], worker: Worker[Job, Result], crew: Crew, listener: Listener = SILENT
) -> Iterator[Result]:
    """Results in the order of the jobs, so that they do not depend on who does them. Few results wait at a time, however
    many jobs there are, and the next job is made while the others are at work.

    Raises what a job raises, and ResourceError when it has taken its workers with it.
    """
    alone = crew.workers == 1 and crew.ray is None
    pool: Pool = Here(worker, listener) if alone else opened(worker, crew.workers, crew.ray)
    runner: Runner[Job, Result] = Runner(pool, listener)
    done: dict[int, Result] = {}
    source = iter(jobs)
    held = list(itertools.islice(source, 1))
    given = want = 0
    with runner:
        while held or runner.running or done:
            while held and runner.free and given - want < pool.size * _AHEAD:
                given = runner.give(held.pop()) + 1
                held = list(itertools.islice(source, 1))
            while want in done:
                yield done.pop(want)
                want += 1
            ended = runner.next()
            if ended is None:
                continue
            if isinstance(ended.error, WorkerLostError):
                raise ResourceError(
                    f"a process that prepares data was killed again and again ({ended.error}), most likely for want of "
                    "memory: close other programs or run `prepare` on a machine with more of it. In a script of your own, "
                    "the call of dragoman must stand under `if __name__ == '__main__':`."
                ) from None
            if ended.error is not None:
                raise ended.error
            done[ended.number] = cast(Result, ended.result)

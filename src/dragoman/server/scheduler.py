"""The queue before an engine: identical texts are asked once, texts of like length go together, and nobody waits in vain.

- A text that is waiting, in work or in the cache is not asked again: whoever wants it shares the answer.
- Of the texts that wait the oldest goes first; with it go those of the same direction and options whose length is nearest.
- A text that nobody waits for any more is dropped after a grace, in which a client's retry can take it up.
- What could not be answered within the bounds is refused before it is queued, with the seconds after which to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dragoman.core.answers import Answer
from dragoman.server.cache import Cache
from dragoman.server.engine import Abandoned, Away
from dragoman.server.settings import Limits
from dragoman.server.tracing import Part, current
from dragoman.server.work import Result, Task

_SHARE, _LONGEST = 0.1, 0.1  # of a batch's time, and seconds, that the next one waits for company
Terms = Mapping[str, Sequence[Sequence[str]]]


class Port(Protocol):
    """What the scheduler asks: an engine."""

    @property
    def number(self) -> int: ...

    async def ask(self, groups: Sequence[list[Task]], glossaries: Terms) -> list[list[Result]]: ...

    async def cancel(self, number: int) -> None: ...


class Shed(Exception):  # noqa: N818
    """Too much is waiting. `retry_after`: seconds after which it is worth while to come back; `reason`: for the metrics."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.reason, self.retry_after = reason, retry_after


class Watcher(Protocol):
    """Who counts."""

    def coalesced(self, count: int) -> None: ...
    def cached(self, count: int) -> None: ...
    def cancelled(self, count: int) -> None: ...
    def batch(self, texts: int, waited: Sequence[float], seconds: float) -> None: ...


@dataclass(slots=True, eq=False)
class _Job:
    """One distinct task with all who wait for it."""

    task: Task
    answer: asyncio.Future[Result]
    since: float
    bulk: bool
    waiters: int = 0
    running: bool = False
    drop: asyncio.TimerHandle | None = field(default=None, repr=False)
    context: Any = None  # of the request that asked first, where requests are traced


class Scheduler:
    """One engine's queue. All methods belong to the event loop's thread."""

    def __init__(
        self,
        port: Port,
        limits: Limits,
        cache: Cache,
        watcher: Watcher,
        *,
        version: str = "",
        terms: Callable[[str], Sequence[Sequence[str]]] = lambda digest: (),
        traced: Callable[[Sequence[Part], float, int], None] | None = None,
    ) -> None:
        """`version`: of the model, a part of every key of the cache. `terms`: of a glossary by its digest. `traced`: is told of
        each batch: its texts whose requests are traced, when it began (monotonic), and how many texts it had."""
        self._traced = traced
        self._port, self._limits, self._cache, self._watcher = port, limits, cache, watcher
        self._version, self._terms = version, terms
        self._jobs: dict[Task, _Job] = {}  # waiting or running
        self._waiting: OrderedDict[Task, _Job] = OrderedDict()
        self._bulk: OrderedDict[Task, _Job] = OrderedDict()  # of documents: they give way
        self._characters = 0  # that wait, documents' aside
        self._began = 0.0  # when that began; 0 = none is at work
        self._pace = 0.0  # seconds of a batch, of late
        self._last, self._took = 0, 0.0  # texts of the last batch, and its seconds
        self.busy = 0.0  # seconds that the engine has worked, of all batches
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for job in list(self._jobs.values()):
            self._settle(job, Away())

    @property
    def depth(self) -> int:
        """Texts that wait."""
        return len(self._waiting) + len(self._bulk)

    def expected_wait(self, more: int = 0, characters: int = 0) -> float:
        """Seconds until what waits now, and so many texts more, will be done: what is left of the batch that runs, and full
        batches as long as those of late. 0 where the next batch has room for all: to wait for that one spares nobody."""
        waiting = len(self._waiting) + more
        batches = math.ceil(
            max(waiting / self._limits.batch, (self._characters + characters) / self._limits.batch_characters)
        )
        if batches <= 1:
            return 0.0
        left = max(0.0, self._pace - (time.monotonic() - self._began)) if self._began else 0.0
        return left + batches * self._pace

    # ---------------------------------------------------------------- asking

    async def ask(self, tasks: Sequence[Task], *, bulk: bool = False) -> list[Result]:
        """The results of the tasks, in their order. Raises Away, and Shed when the queue is too long for them.

        A caller that is cancelled leaves the queue; what only it had asked is dropped after the grace.
        """
        results: list[Result] = [None] * len(tasks)
        keys = {task: self._cache.get((self._version, task)) for task in dict.fromkeys(tasks)}
        cached = sum(found is not None for found in keys.values())
        fresh = [task for task, found in keys.items() if found is None and task not in self._jobs]
        if cached:
            self._watcher.cached(cached)
        if shared := len(tasks) - cached - len(fresh):
            self._watcher.coalesced(shared)
        self._admit(fresh, bulk)
        jobs = {task: self._joined(task, bulk) for task, found in keys.items() if found is None}
        try:
            if jobs:
                self._wake.set()
                await asyncio.wait([job.answer for job in jobs.values()])
            for place, task in enumerate(tasks):
                known = keys[task]
                results[place] = known if known is not None else jobs[task].answer.result()
        finally:
            for job in jobs.values():
                self._left(job)
        return results

    def _admit(self, fresh: Sequence[Task], bulk: bool) -> None:
        if not fresh or bulk:  # a document's texts come a batch at a time
            return
        if self.depth + len(fresh) > max(self._limits.queue, len(fresh)):
            raise Shed("queue", max(1.0, self.expected_wait()))
        expected = self.expected_wait(len(fresh), sum(task.size for task in fresh)) if self._waiting else 0.0
        if expected > self._limits.wait:
            raise Shed("wait", max(1.0, expected - self._limits.wait))

    def _joined(self, task: Task, bulk: bool) -> _Job:
        job = self._jobs.get(task)
        if job is None:
            future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            job = self._jobs[task] = _Job(task, future, time.monotonic(), bulk, context=current.get())
            self._line_up(job)
            self._idle.clear()
        elif job.bulk and not bulk and not job.running:  # somebody at a screen wants it now
            job.bulk = False
            del self._bulk[task]
            self._line_up(job)
        job.waiters += 1
        if job.drop is not None:
            job.drop.cancel()
            job.drop = None
        return job

    def _left(self, job: _Job) -> None:
        job.waiters -= 1
        if job.waiters == 0 and not job.answer.done():
            job.drop = asyncio.get_running_loop().call_later(self._limits.grace, self._abandon, job)

    def _abandon(self, job: _Job) -> None:
        if job.waiters or job.answer.done():
            return
        self._watcher.cancelled(1)
        if not job.running:
            self._settle(job, Abandoned())
        elif all(not other.waiters for other in self._jobs.values() if other.running):
            number = self._port.number
            cancelling = asyncio.ensure_future(self._port.cancel(number))
            cancelling.add_done_callback(lambda done: done.exception())

    def _settle(self, job: _Job, result: Result | Exception) -> None:
        """The answer of a job, for all who wait."""
        if not job.running:
            self._step_out(job)
        self._jobs.pop(job.task, None)
        if not self._jobs:
            self._idle.set()
        if job.answer.done():
            return
        if isinstance(result, Exception):
            job.answer.set_exception(result)
            job.answer.exception()  # it may be that nobody asks
            return
        if isinstance(result, Answer) and result.finished:
            self._cache.put((self._version, job.task), result)
        job.answer.set_result(result)

    # ---------------------------------------------------------------- working

    async def _work(self) -> None:
        while True:
            if not self.depth:
                self._wake.clear()
                await self._wake.wait()
            await self._gather()
            jobs = self._taken()
            if not jobs:
                continue
            began = self._began = time.monotonic()
            self._last = len(jobs)
            tasks = [job.task for job in jobs]
            digest = tasks[0].options.glossary
            try:
                terms = {digest: self._terms(digest)} if digest else {}
                (results,) = await self._port.ask([tasks], terms)
                self._began = 0.0
            except Exception as error:  # whatever it is, it belongs to those who wait, and the queue goes on
                self._began = 0.0
                for job in jobs:
                    if isinstance(error, Abandoned) and job.waiters:
                        self._line_up(job)  # somebody came back for it meanwhile
                    else:
                        self._settle(job, error)
                continue
            took = time.monotonic() - began
            self._took = took
            self.busy += took
            self._watcher.batch(len(jobs), [began - job.since for job in jobs], took)
            if self._traced is not None:
                answered = zip(jobs, results, strict=True)
                parts = [Part(j.context, j.since, getattr(one, "tokens", 0)) for j, one in answered if j.context]
                self._traced(parts, began, len(jobs))
            self._pace = 0.8 * self._pace + 0.2 * took if self._pace else took
            for job, result in zip(jobs, results, strict=True):
                self._settle(job, result)

    async def _gather(self) -> None:
        """Give those a moment who were in the last batch and now come with their next text: a small part of what the batch
        took, and no longer than until as many wait as were in it. Whoever comes alone waits for nobody."""
        if self._last < 2 or not self._limits.window:
            return
        until = time.monotonic() + max(self._limits.window, min(_SHARE * self._took, _LONGEST))
        while self.depth < self._last and time.monotonic() < until:
            await asyncio.sleep(0.001)

    def _taken(self) -> list[_Job]:
        """The next batch: the oldest text, and those that go well with it."""
        pool = self._waiting or self._bulk
        if not pool:
            return []
        oldest = next(iter(pool.values()))
        kind = oldest.task.direction, oldest.task.options
        alike = [job for job in pool.values() if (job.task.direction, job.task.options) == kind]
        alike.sort(key=lambda job: abs(job.task.size - oldest.task.size))  # stable: of equals the oldest first
        taken: list[_Job] = []
        longest = 0
        for job in alike[: self._limits.batch]:
            longest = max(longest, job.task.size)
            if taken and longest * (len(taken) + 1) > self._limits.batch_characters:
                break
            taken.append(job)
        for job in taken:
            self._step_out(job)
            job.running = True
        return taken

    def _line_up(self, job: _Job) -> None:
        job.running = False
        (self._bulk if job.bulk else self._waiting)[job.task] = job
        self._characters += 0 if job.bulk else job.task.size

    def _step_out(self, job: _Job) -> None:
        if (self._bulk if job.bulk else self._waiting).pop(job.task, None) is not None:
            self._characters -= 0 if job.bulk else job.task.size

    async def idle(self) -> None:
        """Wait until nothing waits or runs."""
        await self._idle.wait()

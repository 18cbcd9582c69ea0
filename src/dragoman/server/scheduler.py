"""The queue before an engine: identical texts are asked once, texts of like length go together, and nobody waits in vain.

- A text that is waiting, in work or in the cache is not asked again: whoever wants it shares the answer.
- Who waits stands in a batch from the beginning (`plan`). An engine with lanes gets each text by itself, as soon as there is a
  place: a short one is answered while long ones run.
- A text that nobody waits for any more is dropped after a grace, in which a client's retry can take it up.
- What could not be answered within the bounds is refused before it is queued, with the seconds after which to come back. Who
  comes back then is let in: those who are answered ask again at once, and nobody else would ever find a place.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dragoman.core.answers import Answer
from dragoman.core.text.languages import Direction
from dragoman.server.cache import Cache
from dragoman.server.engine import Abandoned, Away
from dragoman.server.foretold import Pace, Refused
from dragoman.server.plan import Plan
from dragoman.server.settings import Limits
from dragoman.server.tracing import Part, current
from dragoman.server.work import Options, Result, Task

_SHARE, _LONGEST = 0.3, 0.2  # of a batch's time, and seconds, that the next one waits for company
Terms = Mapping[str, Sequence[Sequence[str]]]


class Port(Protocol):
    """What the scheduler asks: an engine."""

    @property
    def number(self) -> int:
        """Of the last question."""

    @property
    def lanes(self) -> int:
        """Questions at once."""

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
    batch: _Batch | None = None  # in which it runs
    drop: asyncio.TimerHandle | None = field(default=None, repr=False)
    context: Any = None  # of the request that asked first, where requests are traced

    @property
    def kind(self) -> tuple[Direction, Options]:
        return self.task.direction, self.task.options

    @property
    def size(self) -> int:
        return self.task.size


@dataclass(slots=True, eq=False)
class _Batch:
    """Jobs that run together."""

    jobs: list[_Job]
    began: float
    beside: int  # jobs that run, these included
    number: int = 0  # of the question to the engine


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
        self._waiting: Plan[_Job] = Plan(limits.batch, limits.batch_characters)
        self._bulk: Plan[_Job] = Plan(limits.batch, limits.batch_characters)  # of documents: they give way
        self._running: dict[asyncio.Task[None], _Batch] = {}
        self._pace = Pace()
        self._refused = Refused(limits.queue)
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
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for job in list(self._jobs.values()):
            self._settle(job, Away())

    @property
    def depth(self) -> int:
        """Texts that wait."""
        return len(self._waiting) + len(self._bulk)

    def expected_wait(self, jobs: Sequence[_Job] | None = None) -> float:
        """Seconds until these jobs, or all that wait, will be done: what is left of the batch that runs, the wait for company,
        and the batches up to the last of theirs. 0 where the next batch has room for all, and seconds bound the wait: to refuse
        that one spares nobody."""
        sizes = [len(batch) for batch in self._waiting] if jobs is None else self._waiting.until(list(jobs))
        count, most = sum(sizes), self._limits.batch
        is_next = count <= most if self._lanes else len(sizes) <= 1
        if not sizes or (is_next and not self._limits.times):
            return 0.0
        now = _now()
        running = [batch for batch in self._running.values() if not (self._lanes and batch.jobs[0].bulk)]
        left = [max(0.0, self._pace.of(batch.beside) - (now - batch.began)) for batch in running]
        if not self._lanes:
            return max(left, default=0.0) + self._company + sum(self._least(size, now) for size in sizes)
        full, free = self._pace.of(most), self._free()
        rounds, place = divmod(count - free - 1, most)  # the last of them takes the place of one that runs by then
        return full * (1 + rounds) + sorted([*left, *[full] * free])[place] if count > free else full

    def _least(self, texts: int, now: float) -> float:
        """Seconds of a batch of so many texts. One of no fewer than the batch that runs takes no less than that one so far,
        which may be the first, or slower than all before."""
        so_far = [now - batch.began for batch in self._running.values() if batch.beside <= texts]
        return max([self._pace.of(texts), *so_far])

    def _alone(self, jobs: Sequence[_Job]) -> float:
        """Seconds that these jobs would take if nobody else asked."""
        if self._lanes:
            return self._pace.of(self._limits.batch) * math.ceil(len(jobs) / self._limits.batch)
        plan: Plan[_Job] = Plan(self._limits.batch, self._limits.batch_characters)
        for job in jobs:
            plan.add(job)
        return sum(self._pace.of(len(batch)) for batch in plan)

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
        full = not bulk and self.depth + len(fresh) > max(self._limits.queue, len(fresh))
        if fresh and full:
            raise Shed("queue", max(1.0, self.expected_wait()))
        idle = not len(self._waiting)  # a request that is longer than a batch is let in then
        for task in sorted(fresh, key=lambda one: one.size):  # so that those of like length stand together
            self._new(task, bulk)
        if fresh and not bulk and (self._limits.times or not idle):  # a document's texts come a batch at a time
            self._admit([self._jobs[task] for task in fresh])
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

    def _new(self, task: Task, bulk: bool) -> None:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = self._jobs[task] = _Job(task, future, _now(), bulk, context=current.get())
        self._line_up(job)
        self._idle.clear()

    def _admit(self, new: Sequence[_Job]) -> None:
        """Let new jobs stay in the plan, or take them out and raise Shed."""
        expected = self.expected_wait(new)
        longest = self._limits.times * self._alone(new) if self._limits.times else self._limits.wait
        tasks = [job.task for job in new]
        if expected > longest and (self._limits.times or not self._refused.are_back(tasks, _now())):
            for job in new:
                self._settle(job, Away())
            most = self._limits.batch
            raise Shed("wait", self._refused.tell(tasks, _now(), expected - longest, most, self._pace.of(most)))
        self._refused.forget(tasks)

    def _joined(self, task: Task, bulk: bool) -> _Job:
        job = self._jobs[task]
        if job.bulk and not bulk and job.batch is None:  # somebody at a screen wants it now
            self._step_out(job)
            job.bulk = False
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
        if job.batch is None:
            self._settle(job, Abandoned())
        elif not any(other.waiters for other in job.batch.jobs):
            cancelling = asyncio.ensure_future(self._port.cancel(job.batch.number))
            cancelling.add_done_callback(lambda done: done.exception())

    def _settle(self, job: _Job, result: Result | Exception) -> None:
        """The answer of a job, for all who wait."""
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
            if not self._can_begin:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._gather()
            for plan in (self._waiting, self._bulk):
                if jobs := plan.take(self._free(bulk=plan is self._bulk)):
                    for some in [[job] for job in jobs] if self._lanes else [jobs]:
                        self._begin(some)
                    break

    @property
    def _can_begin(self) -> bool:
        return any(len(plan) and self._free(bulk=plan is self._bulk) for plan in (self._waiting, self._bulk))

    @property
    def _lanes(self) -> bool:
        return self._port.lanes > 1

    def _free(self, *, bulk: bool = False) -> int:
        """Texts that the engine can take now. With lanes documents and other texts fill places of their own."""
        if not self._lanes:
            return 0 if self._running else self._limits.batch
        return self._limits.batch - sum(batch.jobs[0].bulk == bulk for batch in self._running.values())

    def _begin(self, jobs: list[_Job]) -> None:
        beside = len(jobs) + sum(len(batch.jobs) for batch in self._running.values())
        batch = _Batch(jobs, _now(), beside)
        for job in jobs:
            job.batch = batch
        running = asyncio.create_task(self._answer(batch))
        self._running[running] = batch
        running.add_done_callback(self._ended)

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.pop(running, None)
        self._wake.set()

    async def _answer(self, batch: _Batch) -> None:
        """Ask the engine, and tell all who wait."""
        jobs, began = batch.jobs, batch.began
        tasks = [job.task for job in jobs]
        digest = tasks[0].options.glossary
        try:
            terms = {digest: self._terms(digest)} if digest else {}
            batch.number = self._port.number + 1  # this question's: it gets it before anything is waited for
            (results,) = await self._port.ask([tasks], terms)
        except Exception as error:  # whatever it is, it belongs to those who wait, and the queue goes on
            for job in jobs:
                job.batch = None
                if isinstance(error, Abandoned) and job.waiters:
                    self._line_up(job)  # somebody came back for it meanwhile
                else:
                    self._settle(job, error)
            return
        took = _now() - began
        self._last, self._took = len(jobs), took
        self.busy += took * len(jobs) / batch.beside
        self._watcher.batch(len(jobs), [began - job.since for job in jobs], took)
        if self._traced is not None:
            shift = time.monotonic() - _now()  # traces go by that clock
            answered = zip(jobs, results, strict=True)
            parts = [Part(j.context, j.since + shift, getattr(one, "tokens", 0)) for j, one in answered if j.context]
            self._traced(parts, began + shift, len(jobs))
        self._pace.add(batch.beside, took)
        for job, result in zip(jobs, results, strict=True):
            job.batch = None
            self._settle(job, result)

    @property
    def _company(self) -> float:
        """Seconds that a batch waits for company at most. Whoever comes alone waits for nobody, nor for lanes."""
        if self._lanes or not self._limits.window or self._last < 2:
            return 0.0
        return max(self._limits.window, min(_SHARE * self._took, _LONGEST))

    async def _gather(self) -> None:
        """Give those a moment who come with their next text, as long as they keep coming: until as many wait as were in the
        last batch."""
        began = came = _now()
        depth, until = self.depth, began + self._company
        while self.depth < self._last and (now := _now()) < until and now < came + 2 * self._limits.window:
            await asyncio.sleep(0.001)
            if self.depth > depth:
                depth, came = self.depth, _now()

    def _line_up(self, job: _Job) -> None:
        (self._bulk if job.bulk else self._waiting).add(job)

    def _step_out(self, job: _Job) -> None:
        (self._bulk if job.bulk else self._waiting).remove(job)

    async def idle(self) -> None:
        """Wait until nothing waits or runs."""
        await self._idle.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()

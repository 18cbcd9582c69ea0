"""Evaluations of translations that a client brings: jobs whose pairs go through the queue behind the requests, kept in memory
until their time is over."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dragoman.core.answers import Answer
from dragoman.core.text.languages import Direction
from dragoman.server import logs
from dragoman.server.bundles import Bundle
from dragoman.server.call import Call
from dragoman.server.documents import LATER
from dragoman.server.engine import Away
from dragoman.server.errors import Refused, bad, refuse_blocked
from dragoman.server.keys import Principal
from dragoman.server.work import Options, Result, Task
from dragoman.store.run.screen import Counts, Screen

if TYPE_CHECKING:
    from dragoman.server.gateway import Gateway

Pair = tuple[str, str]


@dataclass(slots=True)
class Job:
    """Pairs of source and translation, and what became of each."""

    principal: Principal
    pairs: Sequence[Pair]
    direction: Direction
    characters: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: Literal["processing", "done", "failed"] = "processing"
    results: Sequence[Result] = ()  # one for each pair, in their order
    problem: str = ""
    since: float = field(default_factory=time.monotonic)
    read: bool = False  # its end was told
    task: asyncio.Task[None] | None = None


class Evaluations:
    """All evaluations of a server; they are gone with it. As many are held, and as long, as documents are."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._jobs: dict[str, Job] = {}

    @property
    def running(self) -> int:
        return sum(job.state == "processing" for job in self._jobs.values())

    async def begin(self, call: Call, bundle: Bundle, pairs: Sequence[Pair], direction: Direction) -> Job:
        """Begin to score pairs. Raises Refused where the model cannot or a rule blocks one, Away
        while its engine is not there."""
        gateway = self._gateway
        characters = gateway.count(call, [text for pair in pairs for text in pair])
        call.texts, call.model = len(pairs), bundle.title
        if bundle.engine.state != "ready":
            raise Away(bundle.engine.retry_after)
        if not bundle.engine.facts.get("scores"):
            raise bad("the engine of this model cannot score translations.", "model")
        if str(direction) not in bundle.engine.facts.get("calibrated", ()):
            raise bad("this model has no calibration for this direction: `dragoman evaluate` makes it.", "metadata")
        given, shown = pairs, pairs
        if bundle.screen is not None:
            with gateway.bundles.held(bundle):
                tenant = call.principal.tenant
                given, shown = await asyncio.to_thread(_screened, bundle, bundle.screen, pairs, direction, tenant)
        self._make_room()
        gateway.charge(call, characters)
        job = Job(call.principal, given, direction, characters)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._evaluate(job, bundle, shown))
        return job

    def _make_room(self) -> None:
        """Forget the oldest whose end was told, where there is no room for another one. Raises Refused where there is none."""
        limits = self._gateway.limits
        read = [job.id for job in self._jobs.values() if job.read]
        for identity in read[: max(0, len(self._jobs) + 1 - limits.documents)]:
            del self._jobs[identity]
        if len(self._jobs) < limits.documents:
            return
        self._gateway.metrics.shed.labels("evaluations").inc()
        over = min(job.since for job in self._jobs.values()) + limits.document_time
        wait = LATER if self.running else over - time.monotonic()
        raise Refused("overload", "too many evaluations are held: come back later.", retry_after=wait)

    async def _evaluate(self, job: Job, bundle: Bundle, shown: Sequence[Pair]) -> None:
        gateway = self._gateway
        options = Options(tenant=job.principal.tenant, judge=True)
        tasks = [Task(source, job.direction, options, query=target) for source, target in shown]
        try:
            with gateway.bundles.held(bundle):
                job.results = await bundle.scheduler.ask(tasks, bulk=True)
            scored = any(isinstance(one, Answer) and one.confidence is not None for one in job.results)
            job.state, job.problem = ("done", "") if scored else ("failed", "none of the segments could be scored")
        except asyncio.CancelledError:
            job.state, job.problem = "failed", "the server went down"
            raise
        except Exception as error:
            logs.fault(job.id[:8], error)
            job.state, job.problem = "failed", "the engine was away"
        finally:
            job.since = time.monotonic()
            if job.state == "failed":
                gateway.keys.refund(job.principal, job.characters)
            else:
                gateway.metrics.characters.labels("evaluations", str(job.direction)).inc(job.characters)
            logs.event("evaluation", evaluation=job.id[:8], state=job.state, model=bundle.title)

    def find(self, call: Call, identity: str) -> Job:
        """The tenant's evaluation. Raises Refused where there is none."""
        job = self._jobs.get(identity)
        if job is None or job.principal.tenant != call.principal.tenant:
            raise Refused("not_found", "there is no such evaluation, or its time is over.")
        job.read = job.state != "processing"
        return job

    def sweep(self) -> None:
        """Forget those whose time is over."""
        until = time.monotonic() - self._gateway.limits.document_time
        for identity in [one.id for one in self._jobs.values() if one.state != "processing" and one.since < until]:
            del self._jobs[identity]

    async def close(self) -> None:
        for job in self._jobs.values():
            if job.task is not None and not job.task.done():
                job.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await job.task


def _screened(
    bundle: Bundle, screen: Screen, pairs: Sequence[Pair], direction: Direction, tenant: str
) -> tuple[list[Pair], list[Pair]]:
    """The pairs as they are given back, and as the engine may see them. Raises Refused where a rule blocks one."""
    tally: Counts = Counter()
    found = screen.pairs([source for source, _ in pairs], [target for _, target in pairs], direction, tally)
    if bundle.recorder is not None:
        bundle.recorder.screened(tally, direction, tenant)
    refuse_blocked(verdict.blocked for verdict, _, _ in found)
    given = [
        (source, target if verdict.text is None else verdict.text)
        for (source, target), (verdict, _, _) in zip(pairs, found, strict=True)
    ]
    return given, [(source, target) for _, source, target in found]

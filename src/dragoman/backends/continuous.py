"""One loaded model for several lanes at once: what one of them asks joins what is being decoded for the others.

All lanes share one thread. Each is a greenlet that runs until it asks the model, and goes on once it has its answers; between
two steps of the model, a token for every row at work, those go on who have theirs. So nothing besides this file need know of
lanes, and none of them pays for locks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet

from dragoman.backends.own import Transformers
from dragoman.core.listen import SILENT, Listener
from dragoman.core.ports import Cancelled, CancelledError, Completion, Prompt, Stops, Told, never, nobody
from dragoman.core.recipe import Decoding
from dragoman.engine.decoding.drafts import Draft
from dragoman.engine.decoding.walk import Job, Walk

_COMPANY = 4  # steps that newcomers wait for more of them, for to read prompts takes as long as a step
_APART = 16  # steps that what is decoded in another way waits for more of its kind: about a sentence
_SPREAD = 2  # budgets that the rows at work may spread over, the longest of them times the most
_LOOK = 8  # steps between two looks whether an answer is still wanted


@dataclass(eq=False)
class _Question:
    """What one lane waits for. `run` makes the results where they are not decoded row by row with those of others."""

    lane: greenlet
    size: int
    told: Told
    cancelled: Cancelled
    jobs: list[Job] = field(default_factory=list)
    kind: Any = None  # those of equal kinds are run together
    given: Sequence[Any] = ()
    run: Callable[[list[Any]], list[Any]] | None = None
    made: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    left: int = 0  # jobs that are not done
    waited: int = 0  # steps


class Continuous(Transformers):
    """A backend with lanes. One is begun by `begin`; `step` takes all of them on. Outside of any lane it answers as ever. One
    thread only."""

    def __init__(self, backend: Transformers) -> None:
        super().__init__(backend.loaded, budget=backend.budget)
        self.name, self._backend = backend.name, backend
        self._fresh: list[_Question] = []
        self._apart: list[_Question] = []
        self._ready: list[_Question] = []
        self._at_work: dict[int, _Question] = {}  # by the number of the job
        self._walk: Walk | None = None
        self._stops: Stops | None = None
        self._number = 0
        self._steps, self._since = 0, 0  # in all, and since somebody joined
        self._rows = self._columns = 0  # of the walk, at most

    @property
    def description(self) -> dict[str, Any]:
        return self._backend.description

    # ---------------------------------------------------------------- lanes

    def begin(self, work: Callable[[], None]) -> None:
        """Run `work` in a lane of its own, until it first waits for the model. It may raise nothing."""
        greenlet(work).switch()

    @property
    def busy(self) -> bool:
        """Some lane waits for the model."""
        return bool(self._fresh or self._apart or self._at_work or self._ready)

    def step(self) -> None:
        """One step of the model for all who wait for it; then those go on who have their answers."""
        self._steps += 1
        if self._steps % _LOOK == 0:
            self._look()
        fresh = self._joining()
        try:
            self._advance(fresh)
        except Exception as error:
            self._walk = None
            self._fail([*fresh, *self._at_work.values()], error)
            self._at_work.clear()
        if due := self._due():
            self._run(due)
        ready, self._ready = self._ready, []
        for question in ready:
            question.lane.switch()

    # ---------------------------------------------------------------- asked by a lane

    def complete(
        self,
        prompts: Sequence[Prompt],
        stops: Stops,
        decoding: Decoding,
        *,
        told: Told = nobody,
        cancelled: Cancelled = never,
        listener: Listener = SILENT,
    ) -> list[Completion]:
        lane = getcurrent()
        if not prompts or lane.parent is None:
            return super().complete(prompts, stops, decoding, told=told, cancelled=cancelled, listener=listener)
        question = _Question(lane, len(prompts), told, cancelled)
        self._stops = self._stops or stops
        usual = decoding.beam == 1 and decoding.sample is None and decoding.mbr is None
        if usual and decoding.batch_tokens == "auto" and stops == self._stops:
            question.jobs = [Job(0, list(one.ids), one.limit, Draft(one.draft)) for one in prompts]
            question.left = len(prompts)
            self._wait(question, self._fresh)
            made = [job.done for job in question.jobs if job.done is not None]
            return [self.completion(self.shell.text(one.ids), one) for one in made]
        question.kind, question.given = (stops, decoding), prompts
        question.run = partial(super().complete, stops=stops, decoding=decoding)
        self._wait(question, self._apart)
        return question.made

    def score(self, rows: Sequence[tuple[Sequence[int], Sequence[bool]]], *, told: Told = nobody) -> list[list[float]]:
        lane = getcurrent()
        if not rows or lane.parent is None:
            return self._backend.score(rows, told=told)
        question = _Question(lane, len(rows), told, never, kind="score", given=rows, run=self._backend.score)
        self._wait(question, self._apart)
        return question.made

    @staticmethod
    def _wait(question: _Question, line: list[_Question]) -> None:
        line.append(question)
        question.lane.parent.switch()
        if question.error is not None:
            raise question.error

    # ---------------------------------------------------------------- a step

    def _look(self) -> None:
        """Give up what is not wanted any more."""
        asked = dict.fromkeys((*self._fresh, *self._apart, *self._at_work.values()))
        gone = [one for one in asked if self._gone(one)]
        if not gone:
            return
        self._fresh = [one for one in self._fresh if one.error is None]
        self._apart = [one for one in self._apart if one.error is None]
        jobs = [job for one in gone for job in one.jobs if self._at_work.pop(job.index, None)]
        if self._walk is not None and jobs:
            self._walk.drop(jobs)
        self._ready += gone

    @staticmethod
    def _gone(question: _Question) -> bool:
        try:
            question.told(question.size - question.left if question.jobs else 0)
            if question.cancelled():
                raise CancelledError
        except Exception as error:  # whatever the listener stops the work with
            question.error = error
        return question.error is not None

    def _joining(self) -> list[_Question]:
        """Who joins now: all who wait, once they are worth a pass and as far as there is room."""
        waiting, alive = self._fresh, len(self._at_work)
        jobs = [job for one in waiting for job in one.jobs]
        if not jobs:
            return []
        rows, columns = alive + len(jobs), max(job.longest for job in jobs)
        if alive:
            rows, columns = max(self._rows, rows), max(self._columns, columns)
            early = len(jobs) * _COMPANY < alive and self._since < _COMPANY
            if early or rows * columns > _SPREAD * self.budget:
                return []
        self._rows, self._columns, self._fresh = rows, columns, []
        return waiting

    def _advance(self, fresh: Sequence[_Question]) -> None:
        """One token more for all rows at work, and the first for those who join."""
        jobs = [job for one in fresh for job in one.jobs]
        for one in fresh:
            for job in one.jobs:
                self._number += 1
                job.index = self._number
                self._at_work[job.index] = one
        if jobs:
            self._since = 0
            if self._walk is not None and self._walk.alive:
                self._walk.join(jobs)
            else:
                self._walk = self._new(jobs)
        if self._walk is not None and self._at_work:
            self._walk.advance()
            self._since += 1

    def _new(self, jobs: Sequence[Job]) -> Walk:
        stops = self._stops or Stops(())
        return Walk(
            self.loaded.model,
            jobs,
            ends=stops.ends,
            not_first=stops.not_first,
            pad=self.shell.pad,
            budget=self.budget,
            draw=None,
            done=self._done,
        )

    def _done(self, job: Job) -> None:
        question = self._at_work.pop(job.index)
        question.left -= 1
        if not question.left:
            self._ready.append(question)

    def _due(self) -> list[_Question]:
        """What is run apart now: the oldest and all of its kind, when it has waited long enough or nothing else is at work."""
        for one in self._apart:
            one.waited += 1
        alive = self._at_work or self._fresh or self._ready
        if not self._apart or (alive and self._apart[0].waited < _APART):
            return []
        kind = self._apart[0].kind
        due = [one for one in self._apart if one.kind == kind]
        self._apart = [one for one in self._apart if one.kind != kind]
        return due

    def _run(self, questions: Sequence[_Question]) -> None:
        """Those of one kind in one go; the others stand still meanwhile."""
        run = questions[0].run
        assert run is not None  # noqa: S101 # for mypy
        try:
            made = iter(run([one for question in questions for one in question.given]))
            for question in questions:
                question.made = [next(made) for _ in range(question.size)]
            self._ready += questions
        except Exception as error:
            self._fail(questions, error)

    def _fail(self, questions: Sequence[_Question], error: Exception) -> None:
        for question in dict.fromkeys(questions):
            question.error = error
            self._ready.append(question)

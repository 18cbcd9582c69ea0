"""Token by token, without looking back: greedily or by drawing. A row that is done leaves, the next prompt takes its place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dragoman.engine.decoding.aligned import Together
from dragoman.engine.decoding.drafts import Draft
from dragoman.engine.decoding.ragged import Ragged, can_be_ragged, common
from dragoman.engine.decoding.repetition import Loops
from dragoman.engine.decoding.result import Generated
from dragoman.engine.decoding.sampling import Draw, drawn
from dragoman.engine.token_scores import Head, log_probabilities, without

_SHRINK = 0.75  # rows still alive, as a share, below which the batch is cut down to them
_REFILL = 0.875  # the same while others wait: prompts are read several at once
_POSITIONS = 32  # tokens that one step may read for hardly more than it costs to read one: room for drafts
_LOGITS = 32  # rows whose logits over the whole vocabulary stand in memory at a time


@dataclass(slots=True)
class Job:
    """One result to be made, and what there is of it. `numbers` [steps]: the random numbers of a sample."""

    index: int
    prompt: Sequence[int]
    limit: int
    draft: Draft
    numbers: torch.Tensor | None = None
    tokens: list[int] = field(default_factory=list)
    score: float = 0.0
    drafted: int = 0
    accepted: int = 0
    done: Generated | None = None
    _loops: Loops | None = None

    def take(self, tokens: Sequence[int], scores: Sequence[float], ends: frozenset[int]) -> None:
        """The next tokens; what comes after the end is left."""
        if self._loops is None:
            self._loops = Loops(self.prompt)
        for token, score in zip(tokens, scores, strict=True):
            self.tokens.append(token)
            self.score += score
            finished = token in ends
            looped = not finished and self._loops.add(token)
            if finished or looped or len(self.tokens) >= self.limit:
                ids = self.tokens[:-1] if finished else self.tokens
                self.done = Generated(ids, self.score, len(self.tokens), finished, looped, self.drafted, self.accepted)
                return

    @property
    def length(self) -> int:
        """Tokens that the model has read of it."""
        return len(self.prompt) + len(self.tokens) - 1

    @property
    def longest(self) -> int:
        return len(self.prompt) + self.limit


class Walk:
    """Makes jobs, the longest first, as many at once as `budget` holds (rows x (prompt + new tokens)).

    `done` hears of every job as soon as it is made."""

    def __init__(
        self,
        model: Any,
        jobs: Sequence[Job],
        *,
        ends: Sequence[int],
        not_first: Sequence[int],
        pad: int,
        budget: int,
        draw: Draw | None,
        done: Callable[[Job], None],
    ) -> None:
        self._waiting = deque(sorted(jobs, key=lambda job: job.longest, reverse=True))
        self._running: list[Job] = []
        self._head = Head(model)
        self._ends, self._not_first, self._pad = frozenset(ends), not_first, pad
        self._budget, self._draw, self._done = budget, draw, done
        prompts = [job.prompt for job in jobs]
        self._reader: Ragged | Together = (
            Ragged(model, self._head, pad, common(prompts))
            if can_be_ragged(model)
            else Together(model, self._head, pad)
        )

    def run(self) -> None:
        while self.alive:
            self.advance()

    @torch.inference_mode()
    def advance(self) -> None:
        """One token more for every job that is at work; those who wait take free places first."""
        with self._head:
            self._admit()
            self._leave()
            if self._running:
                self._step()

    def join(self, jobs: Iterable[Job]) -> None:
        """More jobs, between two steps. Where rows cannot join later, they wait until all that run are done."""
        self._waiting = deque(sorted((*self._waiting, *jobs), key=lambda job: job.longest, reverse=True))

    @torch.inference_mode()
    def drop(self, jobs: Iterable[Job]) -> None:
        """Give jobs up, between two steps: `done` does not hear of them."""
        unwanted = set(map(id, jobs))
        self._waiting = deque(job for job in self._waiting if id(job) not in unwanted)
        self._keep([row for row in self._alive() if id(self._running[row]) not in unwanted])

    @property
    def alive(self) -> int:
        """Jobs that wait or are at work."""
        return len(self._waiting) + len(self._alive())

    def _alive(self) -> list[int]:
        return [row for row, job in enumerate(self._running) if job.done is None]

    def _admit(self) -> None:
        """Let those who wait take the places of those who are done, several at once."""
        alive = self._alive()
        if not self._waiting or (alive and not self._reader.joins):
            return
        longest = max(job.longest for job in (self._waiting[0], *(self._running[row] for row in alive)))
        room = max(1, self._budget // longest)
        free = room - len(alive)
        if alive and (free < 1 or len(alive) > _REFILL * room):
            return
        new = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        self._keep(alive)
        firsts = [job for number, job in enumerate(new) if not number or job.index != new[number - 1].index]
        copies = [sum(job.index == first.index for job in new) for first in firsts]
        found = self._reader.admit([job.prompt for job in firsts], copies)
        self._running += new
        number = torch.tensor(copies, device=found.device)
        self._take(new, found.repeat_interleave(number, 0), [1] * len(new), first=True)

    def _leave(self) -> None:
        alive = self._alive()
        if len(alive) <= _SHRINK * len(self._running):
            self._keep(alive)

    def _keep(self, alive: list[int]) -> None:
        """Go on with these rows alone: the last ones fill the gaps."""
        count = len(alive)
        if count == len(self._running):
            return
        stay = set(alive)
        behind = [row for row in alive if row >= count]
        order = [row if row in stay else behind.pop() for row in range(count)]
        self._running = [self._running[row] for row in order]
        self._reader.keep(order)

    def _step(self) -> None:
        alive = self._alive()
        spare = _POSITIONS // len(alive) - 1 if self._reader.joins and self._draw is None else 0
        tokens = [[job.tokens[-1]] if job.done is None else [self._pad] for job in self._running]
        for row in alive:
            job = self._running[row]
            if job.draft and (most := min(spare, job.limit - len(job.tokens) - 1)) > 0:
                tokens[row] += job.draft.after(job.tokens, most)
        found = self._reader.step(tokens, [job.length for job in self._running], alive)
        jobs = [self._running[row] for row in alive]
        self._take(jobs, found, [len(tokens[row]) for row in alive], drafts=[tokens[row][1:] for row in alive])

    def _take(
        self,
        jobs: Sequence[Job],
        found: torch.Tensor,
        counts: Sequence[int],
        *,
        first: bool = False,
        drafts: Sequence[Sequence[int]] = (),
    ) -> None:
        """Choose the next tokens, behind each of the `counts` tokens that were read of every job; a draft counts as far as
        it says the same."""
        tokens, scores = self._chosen(found, jobs, first)
        start = 0
        for number, (job, count) in enumerate(zip(jobs, counts, strict=True)):
            stop = start + count
            new = tokens[start:stop]
            if drafts and (draft := drafts[number]):
                same = next((i for i, token in enumerate(draft) if token != new[i]), len(draft))
                new = new[: same + 1]
                job.drafted += len(draft)
                job.accepted += same
                job.draft.heard(len(draft), same)
            job.take(new, scores[start : start + len(new)], self._ends)
            if job.done is not None:
                self._done(job)
            start = stop

    def _chosen(self, found: torch.Tensor, jobs: Sequence[Job], first: bool) -> tuple[list[int], list[float]]:
        """Tokens and their log-probabilities. No result begins with a token of `not_first`."""
        barred = self._not_first if first else ()
        if self._draw is None and not barred:
            tokens, scores = self._head.best(found)
            return tokens.tolist(), scores.tolist()
        made: list[int] = []
        told: list[float] = []
        for start in range(0, len(found), _LOGITS):
            logits = self._head.logits(found[start : start + _LOGITS])
            possible = without(logits, barred)
            if self._draw is None:
                tokens = possible.argmax(-1)
            else:
                numbers = [
                    job.numbers[len(job.tokens)] for job in jobs[start : start + _LOGITS] if job.numbers is not None
                ]
                tokens = drawn(self._draw.probabilities(possible), torch.stack(numbers).to(logits.device))
            made += tokens.tolist()
            told += log_probabilities(logits, tokens).tolist()
        return made, told

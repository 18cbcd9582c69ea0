"""The batches that are going to be made: who waits stands in one of them from the beginning, so it is known when its turn is.

Texts of one kind go together, those of like length where there is a choice. Nobody who comes later is put before a batch
that stands already, so what was foretold on the way in holds as far as batches take as long as foretold.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What can stand in a batch. Identity counts, not equality."""

    @property
    def kind(self) -> Hashable:
        """Only those of equal kinds go together."""

    @property
    def size(self) -> int:
        """Characters."""


J = TypeVar("J", bound=Sized)


@dataclass(slots=True, eq=False)
class _Batch(Generic[J]):
    kind: Hashable
    jobs: list[J] = field(default_factory=list)
    longest: int = 0
    begun: bool = False  # a part of it was taken: whoever joined now would go before the batches behind


class Plan(Generic[J]):
    """Batches in the order in which they are made. Each holds `most` jobs, and jobs x the longest of them is at most
    `characters`, except for one that is alone."""

    def __init__(self, most: int, characters: int) -> None:
        self._most, self._characters = most, characters
        self._batches: list[_Batch[J]] = []
        self._at: dict[int, _Batch[J]] = {}  # by identity of the job

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, job: J) -> bool:
        return id(job) in self._at

    def __iter__(self) -> Iterator[list[J]]:
        """The batches."""
        return (batch.jobs for batch in self._batches)

    def add(self, job: J) -> None:
        """Into the batch with room whose longest text is nearest in length, else into a new one behind all others."""
        kind, size = job.kind, job.size
        having_room = [
            batch
            for batch in self._batches
            if not batch.begun
            and batch.kind == kind
            and len(batch.jobs) < self._most
            and max(size, batch.longest) * (len(batch.jobs) + 1) <= self._characters
        ]
        batch = min(having_room, key=lambda one: abs(one.longest - size), default=None)
        if batch is None:
            batch = _Batch(kind)
            self._batches.append(batch)
        batch.jobs.append(job)
        batch.longest = max(batch.longest, size)
        self._at[id(job)] = batch

    def remove(self, job: J) -> None:
        """Its place is free for another. Nothing happens to one that does not stand in the plan."""
        batch = self._at.pop(id(job), None)
        if batch is None:
            return
        batch.jobs = [one for one in batch.jobs if one is not job]
        batch.longest = max((one.size for one in batch.jobs), default=0)
        if not batch.jobs:
            self._batches.remove(batch)

    def take(self, most: int) -> list[J]:
        """The next batch, or so many of it."""
        if not self._batches:
            return []
        batch = self._batches[0]
        taken = batch.jobs[:most]
        batch.begun = batch.begun or bool(taken)
        for job in taken:
            self.remove(job)
        return taken

    def until(self, jobs: list[J]) -> list[int]:
        """How many jobs are in each batch, up to the last that holds one of these."""
        wanted = {id(self._at[id(job)]) for job in jobs}
        last = max((place for place, batch in enumerate(self._batches) if id(batch) in wanted), default=-1)
        return [len(batch.jobs) for batch in self._batches[: last + 1]]

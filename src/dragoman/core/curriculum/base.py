"""What a curriculum sees, and what all curricula share: floors, the averaged shares, the JSON state.

A phase is cut into windows of some optimiser steps. Before a window the stream is given `window` (the shares to
train on); after it, `observe` is told what was delivered and what it did, and the shares move.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from dragoman.errors import CheckpointError, RecipeError

Shares = dict[str, float]
Needed = Literal["probes", "objective", "objective_loss", "forgetting"]


@dataclass(frozen=True, slots=True)
class Observation:
    """One window of training. Losses are means per target token (nats); what a curriculum does not need may be left
    out (`Curriculum.needs`, `Curriculum.probes`).

    The losses before and after must be of the SAME batch: the difference between two batches is far larger than what
    a window teaches.
    """

    step: int  # optimiser steps done
    tokens: Mapping[str, int]  # delivered in this window, per task (prompt and target)
    probe_before: Mapping[str, float] = field(default_factory=dict)  # on a batch per task that is not trained on
    probe_after: Mapping[str, float] = field(default_factory=dict)
    objective: float | None = None  # score of the translated dev sentences, higher is better; None: not measured now
    objective_loss: tuple[float, float] | None = None  # of their references, before and after the window
    forgetting: float | None = None  # rise of the perplexity of general text since the start, 0.1 = 10 %; or None
    epochs: Mapping[str, float] = field(default_factory=dict)  # passes through each task's data since the start
    progress: float = 0.0  # share of the phase that is done


class Curriculum(Protocol):
    """Decides what a phase trains on. Deterministic: the same seed and observations give the same shares."""

    needs: frozenset[Needed]  # what `observe` cannot do without

    @property
    def shares(self) -> Shares:
        """The policy, which sums to 1: what is logged and drawn."""

    @property
    def window(self) -> Shares:
        """What to train on up to the next observation. It is `shares`, except that `objective` varies
        them a little to learn what they do."""

    @property
    def probes(self) -> tuple[str, ...]:
        """The tasks whose probe batch the coming window needs measured before and after."""

    @property
    def average(self) -> Shares:
        """The mean of all windows' shares so far: a static mixture for another run."""

    def observe(self, seen: Observation) -> None:
        """Learn from a window. Raises RecipeError when the observation lacks what the method needs."""

    def state(self) -> dict[str, Any]:
        """All that changes, as JSON values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises CheckpointError when it is another curriculum's."""


class Base:
    """The part that all methods share. A method says how `_policy` follows from what it has learned."""

    method = ""
    needs: frozenset[Needed] = frozenset()

    def __init__(self, prior: Mapping[str, float], floors: Mapping[str, float]) -> None:
        self.tasks = tuple(prior)
        self.prior = [prior[task] for task in self.tasks]
        self.floors = [floors.get(task, 0.0) for task in self.tasks]
        self._sum = [0.0] * len(self.tasks)  # of the windows' shares
        self._windows = 0

    def _policy(self) -> Sequence[float]:
        """Shares in the order of the tasks, before the floors."""
        return self.prior

    def _learn(self, seen: Observation) -> None:
        """Take in a window."""

    def _memory(self) -> dict[str, Any]:
        """What the method has learned, as JSON values: numbers, or lists in the order of the tasks."""
        return {}

    def _recall(self, memory: Mapping[str, Any]) -> None:
        """The inverse of `_memory`."""

    @property
    def shares(self) -> Shares:
        return dict(zip(self.tasks, floored(self._policy(), self.floors), strict=True))

    @property
    def window(self) -> Shares:
        return self.shares

    @property
    def probes(self) -> tuple[str, ...]:
        return self.tasks if "probes" in self.needs else ()

    @property
    def average(self) -> Shares:
        if not self._windows:
            return self.shares
        return {task: total / self._windows for task, total in zip(self.tasks, self._sum, strict=True)}

    def observe(self, seen: Observation) -> None:
        total = sum(seen.tokens.get(task, 0) for task in self.tasks)
        if total:
            self._sum = [
                old + seen.tokens.get(task, 0) / total for old, task in zip(self._sum, self.tasks, strict=True)
            ]
            self._windows += 1
        self._learn(seen)

    def state(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "tasks": list(self.tasks),
            "windows": self._windows,
            "sum": list(self._sum),
            **self._memory(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        if state.get("method") != self.method or state.get("tasks") != list(self.tasks):
            raise CheckpointError(
                f"the checkpoint holds a curriculum `{state.get('method')}` over {state.get('tasks')}, the recipe asks "
                f"for `{self.method}` over {list(self.tasks)}. Restore the recipe, or train from the start."
            )
        self._sum = [float(value) for value in state["sum"]]
        self._windows = int(state["windows"])
        self._recall(state)

    def values(self, found: Mapping[str, float], what: str, tasks: Iterable[str] | None = None) -> list[float]:
        """The tasks' values of an observation, checked."""
        wanted = list(self.tasks if tasks is None else tasks)
        if missing := [task for task in wanted if task not in found]:
            raise RecipeError(f"the curriculum `{self.method}` needs {what} of {', '.join(missing)}.")
        values = [float(found[task]) for task in wanted]
        if not all(map(math.isfinite, values)):
            raise RecipeError(f"the curriculum `{self.method}` was given {what} that is no number: {dict(found)}.")
        return values


def normalised(values: Sequence[float]) -> list[float]:
    """The values divided by their sum."""
    total = math.fsum(values)
    return [value / total for value in values]


def floored(shares: Sequence[float], floors: Sequence[float]) -> list[float]:
    """The shares with every one at its floor or above it, the others in their old proportion. Sums to 1.

    Shares that are above their floors already are left as they are.
    """
    low: set[int] = set()
    while True:
        rest = 1.0 - math.fsum(floors[i] for i in low)
        free = math.fsum(share for i, share in enumerate(shares) if i not in low)
        scale = rest / free if free > 0 else 0.0
        found = [floors[i] if i in low else share * scale for i, share in enumerate(shares)]
        below = {i for i, share in enumerate(found) if i not in low and share < floors[i]}
        if not below:
            return found if free > 0 else normalised(found)
        low |= below


def softmax(logits: Sequence[float], prior: Sequence[float]) -> list[float]:
    """prior * exp(logits), normalised; the prior may hold zeros."""
    top = max(logits)
    return normalised([p * math.exp(value - top) for p, value in zip(prior, logits, strict=True)])

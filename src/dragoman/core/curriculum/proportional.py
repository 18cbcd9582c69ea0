"""Curricula that give shares in proportion to a moving average: FAIR (of gains), ODM (of perplexities); and DoReMi."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.curriculum.base import Base, Observation, normalised, softmax
from dragoman.core.curriculum.gains import SIGNALS, Gain, Per, Signal
from dragoman.errors import RecipeError


class _Averaged(Base):
    """Moving averages R of the tasks' values; without any yet, all are alike."""

    def __init__(self, prior: Mapping[str, float], floors: Mapping[str, float], memory: float) -> None:
        super().__init__(prior, floors)
        if not 0 <= memory < 1:
            raise RecipeError(f"`memory` is {memory}; it must be at least 0 and below 1.")
        self.memory = memory
        self._averages: list[float] | None = None

    def _absorb(self, values: Sequence[float | None]) -> None:
        """R <- b R + (1 - b) value. All R start at the mean of the first values, so that one window decides nothing."""
        known = [value for value in values if value is not None]
        if not known:
            return
        if self._averages is None:
            self._averages = [math.fsum(known) / len(known)] * len(self.tasks)
        self._averages = [
            old if value is None else self.memory * old + (1 - self.memory) * value
            for old, value in zip(self._averages, values, strict=True)
        ]

    def _proportional(self) -> list[float]:
        weights = [p * r for p, r in zip(self.prior, self._averages or [0.0] * len(self.tasks), strict=True)]
        return normalised(weights) if sum(weights) > 0 else list(self.prior)

    def _memory(self) -> dict[str, Any]:
        return {"averages": self._averages}

    def _recall(self, memory: Mapping[str, Any]) -> None:
        self._averages = None if memory["averages"] is None else [float(value) for value in memory["averages"]]


class Fair(_Averaged):
    """share ~ weight * moving average of max(gain, 0) (FAIR, Schioppa et al. 2023, arXiv 2305.11778).

    The paper's constants are not known to us; `memory` is ours. A window trains all tasks at once, and by default its
    gain is taken as it is (`per: window`): a task that helps while it is trained gets more, so shares move far from
    equal. `per: share` divides the gain by the share that earned it: proportional to what a window of that task alone
    would gain, but a small share divides noise and what others taught as well.
    """

    method = "fair"

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        memory: float = 0.9,
        signal: Signal = "self",
        relative: bool = True,
        per: Per = "window",
    ) -> None:
        super().__init__(prior, floors, memory)
        self.gain = Gain(signal, relative, per)
        self.gain.check(self.tasks, "mixed")
        self.needs = frozenset({SIGNALS[signal]})

    def _learn(self, seen: Observation) -> None:
        self._absorb([None if gain is None else max(gain, 0.0) for gain in self.gain.of(seen, self)])

    def _policy(self) -> Sequence[float]:
        return self._proportional()


class Odm(_Averaged):
    """share = (1 - K e_t) * R / sum R + e_t with R a moving average of exp(training loss) and
    e_t = min(1/K, sqrt(ln K / (K t))) (Albalak et al. 2023, arXiv 2312.02406, as its code has it).

    It favours the task of the highest loss for ever, learnable or not. For comparison.
    """

    method = "odm"

    def __init__(self, prior: Mapping[str, float], floors: Mapping[str, float], *, memory: float = 0.9) -> None:
        super().__init__(prior, floors, memory)
        self._time = 0

    def _learn(self, seen: Observation) -> None:
        delivered = [task for task in self.tasks if seen.tokens.get(task, 0)]
        losses = dict(zip(delivered, self.values(seen.train_loss, "the training loss", delivered), strict=True))
        self._absorb([math.exp(min(losses[task], 50.0)) if task in losses else None for task in self.tasks])
        self._time += 1

    def _policy(self) -> Sequence[float]:
        if not self._time:
            return self.prior
        tasks = len(self.tasks)
        explore = tasks * min(1 / tasks, math.sqrt(math.log(tasks) / (tasks * self._time)))
        return [(1 - explore) * r + explore * p for r, p in zip(self._proportional(), self.prior, strict=True)]

    def _memory(self) -> dict[str, Any]:
        return {**super()._memory(), "time": self._time}

    def _recall(self, memory: Mapping[str, Any]) -> None:
        super()._recall(memory)
        self._time = int(memory["time"])


class Doremi(Base):
    """log share += rate * excess loss over a reference model, then smoothed with `smoothing` of the starting shares
    (DoReMi, Xie et al. 2023, arXiv 2305.10429). Its result is `average`, the mean of the shares over the training.
    """

    method = "doremi"
    needs = frozenset({"reference"})

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        rate: float = 1.0,
        smoothing: float = 1e-3,
    ) -> None:
        super().__init__(prior, floors)
        self.rate = rate
        self.smoothing = smoothing
        self._shares = list(self.prior)

    def _learn(self, seen: Observation) -> None:
        excess = [max(value, 0.0) for value in self.values(seen.reference, "the excess loss over the reference")]
        moved = softmax([self.rate * value for value in excess], self._shares)
        self._shares = [(1 - self.smoothing) * a + self.smoothing * p for a, p in zip(moved, self.prior, strict=True)]

    def _policy(self) -> Sequence[float]:
        return self._shares

    def _memory(self) -> dict[str, Any]:
        return {"shares": list(self._shares)}

    def _recall(self, memory: Mapping[str, Any]) -> None:
        self._shares = [float(value) for value in memory["shares"]]

"""FAIR: shares in proportion to a moving average of the tasks' gains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.curriculum.base import Base, Observation, normalised
from dragoman.core.curriculum.gains import Gain, Per
from dragoman.errors import RecipeError


class Fair(Base):
    """share ~ weight * moving average of max(gain, 0) (FAIR, Schioppa et al. 2023, arXiv 2305.11778).

    The paper's constants are not known to us; `memory` is ours. A window trains all tasks at once, and by default its
    gain is taken as it is (`per: window`): a task that helps while it is trained gets more, so shares move far from
    equal. `per: share` divides the gain by the share that earned it: proportional to what a window of that task alone
    would gain, but a small share divides noise and what others taught as well.
    """

    method = "fair"
    needs = frozenset({"probes"})

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        memory: float = 0.9,
        relative: bool = True,
        per: Per = "window",
    ) -> None:
        super().__init__(prior, floors)
        if not 0 <= memory < 1:
            raise RecipeError(f"`memory` is {memory}; it must be at least 0 and below 1.")
        self.memory = memory
        self.gain = Gain(relative, per)
        self._averages: list[float] | None = None  # without any yet, all tasks are alike

    def _learn(self, seen: Observation) -> None:
        """R <- b R + (1 - b) gain. All R start at the mean of the first gains, so that one window decides nothing."""
        gains = [None if gain is None else max(gain, 0.0) for gain in self.gain.of(seen, self)]
        known = [gain for gain in gains if gain is not None]
        if not known:
            return
        if self._averages is None:
            self._averages = [math.fsum(known) / len(known)] * len(self.tasks)
        self._averages = [
            old if gain is None else self.memory * old + (1 - self.memory) * gain
            for old, gain in zip(self._averages, gains, strict=True)
        ]

    def _policy(self) -> Sequence[float]:
        weights = [p * r for p, r in zip(self.prior, self._averages or [0.0] * len(self.tasks), strict=True)]
        return normalised(weights) if sum(weights) > 0 else list(self.prior)

    def _memory(self) -> dict[str, Any]:
        return {"averages": self._averages}

    def _recall(self, memory: Mapping[str, Any]) -> None:
        self._averages = None if memory["averages"] is None else [float(value) for value in memory["averages"]]

"""EXP3.S: an adversarial bandit over the tasks, with rewards scaled by quantiles of their history.

The textbook gives a whole window to the one task that was drawn and divides its reward by its probability. Here a window
trains all tasks in their shares, every reward is known, and the division is that of the gain by the share (`per: share`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.core.curriculum.base import Base, Observation, softmax
from dragoman.core.curriculum.gains import Gain, Per
from dragoman.errors import RecipeError

_QUANTILES = (20, 80)  # percent (Graves et al. 2017)


class Exp3s(Base):
    """w_i <- log[(1 - a_t) exp(w_i + rate * r_i) + a_t / (K - 1) * sum_{j != i} exp(w_j + rate * r_j)], a_t = 1/t,
    share = (1 - explore) softmax(w) + explore / K (EXP3.S as Graves et al. 2017 use it, arXiv 1704.03003).

    The weights are relative to the starting shares, and `explore` is the share that goes to them whatever was learned.
    Mixing in the others' weights (a_t) lets it follow rewards that change; `share_least` keeps a_t from vanishing in long
    runs (0: the paper's).
    """

    method = "exp3s"
    needs = frozenset({"probes"})

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        explore: float = 0.05,
        rate: float = 0.1,
        share_least: float = 0.0,
        relative: bool = True,
        per: Per = "share",
        history: int = 200,
    ) -> None:
        super().__init__(prior, floors)
        if not 0 <= explore <= 1:
            raise RecipeError(f"`explore` is {explore}; it must lie between 0 and 1.")
        self.gain = Gain(relative, per)
        self.explore = explore
        self.rate = rate
        self.share_least = share_least
        self.history = history
        self._logits = [0.0] * len(self.tasks)  # relative to the starting shares
        self._rewards: list[float] = []  # the last ones, unscaled
        self._time = 0

    def _policy(self) -> Sequence[float]:
        learned = softmax(self._logits, self.prior)
        return [(1 - self.explore) * q + self.explore * p for q, p in zip(learned, self.prior, strict=True)]

    def _learn(self, seen: Observation) -> None:
        gains = self.gain.of(seen, self)
        rewards = [0.0 if gain is None else self._scaled(gain) for gain in gains]
        self._rewards = [*self._rewards, *(gain for gain in gains if gain is not None)][-self.history :]
        self._time += 1
        if len(self.tasks) == 1:
            return
        raised = [old + self.rate * value for old, value in zip(self._logits, rewards, strict=True)]
        top = max(raised)
        weights = [math.exp(value - top) for value in raised]
        mixed = max(self.share_least, 1 / self._time)
        total = math.fsum(weights)
        others = len(self.tasks) - 1
        self._logits = [math.log((1 - mixed) * w + mixed / others * (total - w)) + top for w in weights]

    def _scaled(self, gain: float) -> float:
        """-1 at the 20th percentile of the rewards so far or below, 1 at the 80th or above, linear between."""
        if not self._rewards:
            return 0.0
        low, high = np.percentile(self._rewards, _QUANTILES)
        if high - low <= 1e-12 * max(abs(high), abs(low)):
            return 0.0
        return float(min(1.0, max(-1.0, 2 * (gain - low) / (high - low) - 1)))

    def _memory(self) -> dict[str, Any]:
        return {"logits": list(self._logits), "rewards": list(self._rewards), "time": self._time}

    def _recall(self, memory: Mapping[str, Any]) -> None:
        self._logits = [float(value) for value in memory["logits"]]
        self._rewards = [float(value) for value in memory["rewards"]]
        self._time = int(memory["time"])

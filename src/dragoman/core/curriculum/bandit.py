"""EXP3 and EXP3.S: adversarial bandits over the tasks, with rewards scaled by quantiles of their history.

`windows: arm` is the textbook: a whole window trains the one task that was drawn, and only that task's reward is
known, divided by its probability. `windows: mixed` trains all tasks in their shares; every reward is known then, and
the division by the probability is that of the gain by the share (`per: share`).
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.core.curriculum.base import Base, Observation, Shares, softmax
from dragoman.core.curriculum.gains import SIGNALS, Gain, Per, Signal, Windows
from dragoman.errors import RecipeError

_QUANTILES = (20, 80)  # percent (Graves et al. 2017)


class _Bandit(Base, ABC):
    """The options that both share; `explore` is the share that goes to the starting shares whatever was learned."""

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        explore: float,
        seed: int = 7,
        windows: Windows = "mixed",
        signal: Signal = "self",
        relative: bool = True,
        per: Per = "share",
        target: str | None = None,
        history: int = 200,
    ) -> None:
        super().__init__(prior, floors)
        if not 0 <= explore <= 1:
            raise RecipeError(f"`explore` is {explore}; it must lie between 0 and 1.")
        self.gain = Gain(signal, relative, per, target)
        self.gain.check(self.tasks, windows)
        self.seed = seed
        self.explore = explore
        self.windows = windows
        self.history = history
        self.needs = frozenset({SIGNALS[signal]})
        self._logits = [0.0] * len(self.tasks)  # relative to the starting shares
        self._rewards: list[float] = []  # the last ones, unscaled
        self._time = 0

    def _policy(self) -> Sequence[float]:
        learned = softmax(self._logits, self.prior)
        return [(1 - self.explore) * q + self.explore * p for q, p in zip(learned, self.prior, strict=True)]

    @property
    def arm(self) -> str | None:
        """The task that the coming window trains alone."""
        if self.windows == "mixed":
            return None
        draw = random.Random(f"{self.seed} {self._time}").random()
        shares = self.shares
        for task, share in shares.items():
            draw -= share
            if draw < 0:
                return task
        return max(shares, key=lambda task: shares[task])  # rounding

    @property
    def window(self) -> Shares:
        return self.shares if self.arm is None else {task: float(task == self.arm) for task in self.tasks}

    @property
    def probes(self) -> tuple[str, ...]:
        if self.gain.target is not None:
            return (self.gain.target,)
        return self.tasks if self.arm is None else (self.arm,)

    def _learn(self, seen: Observation) -> None:
        gains = self.gain.of(seen, self)
        shares = list(self.shares.values())
        estimates = []
        for gain, share in zip(gains, shares, strict=True):
            reward = 0.0 if gain is None else self._scaled(gain)
            estimates.append(reward / share if self.windows == "arm" and gain is not None else reward)
        self._rewards = [*self._rewards, *(gain for gain in gains if gain is not None)][-self.history :]
        self._time += 1
        self._move(estimates)

    def _scaled(self, gain: float) -> float:
        """-1 at the 20th percentile of the rewards so far or below, 1 at the 80th or above, linear between."""
        if not self._rewards:
            return 0.0
        low, high = np.percentile(self._rewards, _QUANTILES)
        if high - low <= 1e-12 * max(abs(high), abs(low)):
            return 0.0
        return float(min(1.0, max(-1.0, 2 * (gain - low) / (high - low) - 1)))

    @abstractmethod
    def _move(self, estimates: Sequence[float]) -> None:
        """Update the logits from the estimated rewards of all tasks."""

    def _memory(self) -> dict[str, Any]:
        return {"logits": list(self._logits), "rewards": list(self._rewards), "time": self._time}

    def _recall(self, memory: Mapping[str, Any]) -> None:
        self._logits = [float(value) for value in memory["logits"]]
        self._rewards = [float(value) for value in memory["rewards"]]
        self._time = int(memory["time"])


class Exp3(_Bandit):
    """w_i <- w_i exp(explore * r_i / K), share = (1 - explore) w / sum w + explore / K (Auer et al. 2002, EXP3).

    Rewards are scaled into [0, 1] by quantiles; with starting shares p_i, w starts at them and `explore` returns to
    them instead of 1/K.
    """

    method = "exp3"

    def __init__(
        self, prior: Mapping[str, float], floors: Mapping[str, float], *, explore: float = 0.1, **options: Any
    ) -> None:
        super().__init__(prior, floors, explore=explore, **options)

    def _scaled(self, gain: float) -> float:
        return (super()._scaled(gain) + 1) / 2

    def _move(self, estimates: Sequence[float]) -> None:
        step = self.explore / len(self.tasks)
        self._logits = [old + step * value for old, value in zip(self._logits, estimates, strict=True)]


class Exp3s(_Bandit):
    """w_i <- log[(1 - a_t) exp(w_i + rate * r_i) + a_t / (K - 1) * sum_{j != i} exp(w_j + rate * r_j)], a_t = 1/t,
    share = (1 - explore) softmax(w) + explore / K (EXP3.S as Graves et al. 2017 use it, arXiv 1704.03003).

    The weights are relative to the starting shares. Mixing in the others' weights (a_t) lets it follow rewards that
    change; `share_least` keeps a_t from vanishing in long runs (0: the paper's).
    """

    method = "exp3s"

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        explore: float = 0.05,
        rate: float = 0.1,
        share_least: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(prior, floors, explore=explore, **options)
        self.rate = rate
        self.share_least = share_least

    def _move(self, estimates: Sequence[float]) -> None:
        if len(self.tasks) == 1:
            return
        raised = [old + self.rate * value for old, value in zip(self._logits, estimates, strict=True)]
        top = max(raised)
        weights = [math.exp(value - top) for value in raised]
        mixed = max(self.share_least, 1 / self._time)
        total = math.fsum(weights)
        others = len(self.tasks) - 1
        self._logits = [math.log((1 - mixed) * w + mixed / others * (total - w)) + top for w in weights]

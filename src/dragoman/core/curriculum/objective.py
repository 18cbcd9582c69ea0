"""`objective`: shares steered by what the run is for, the translation of the dev sentences, under a limit on forgetting.

How it works. The shares are varied around the policy, what each variation did to the development set is attributed to
the tasks by regression, and each task gets a share in proportion to a power of its effect:

1. Pairs. Of two stretches of training in a row, one gets the shares of the effects d + e, the other those of d - e. e
   has a random direction drawn from the posterior of step 2, and the posterior's own length: wide at the start, hardly
   anything where the effects are known. (Thompson sampling draws the length too; a short one teaches nothing, and the
   start is where every window counts.) Which comes first follows the Thue-Morse sequence (+- -+ -+ +- ...), which
   cancels trends such as the flattening of the learning curve or a falling learning rate.
2. Attribution. y = (a - b) / g, the difference of the two gains per token relative to the usual size g of a gain (a
   moving average of |a| and |b|), is regressed on x, the difference of the delivered shares: y = x d + noise, d ~ N(0, 1)
   for every task, older pairs discounted by `memory`, the noise estimated from the residuals. d is the effect of a task
   relative to the mixture's: 0 is as good as the mixture, -1 useless. Differencing removes what both stretches share;
   being relative, late pairs count as much as early ones, whose gains are far larger. (Relative to the pair's own gains,
   two that are nearly 0 and have other signs would count the most, and they are noise.)
3. Shares. share ~ weight * max(0, 1 + d - mean d) ** sharpness, the mean being that of the mixture. Without evidence
   all d are 0 and the starting shares stay.

Two measurements serve, each with pairs of its own length and noise of its own, in one regression: the loss on the
reference translations of the dev sentences (a forward pass; every window is a stretch; little noise) and the score of
their translations (a stretch is from one measurement to the next; few and noisy). Forgetting, the rise of the perplexity
of general text, is attributed in the same way; its effects are subtracted from d with a multiplier that grows while
forgetting is above `limit` and shrinks below it (dual ascent). Tasks in `guard` are believed to undo forgetting
until measured otherwise.

Where gains diminish per task and add up, it is best to train always what helps most now; a large `sharpness` does that,
a small one trusts the estimates less. It cannot see a task whose help comes much later, and must not be asked while the
learning rate rises (a new model then learns which words are frequent, which any text with the loss on all tokens teaches
fastest, and an old one is thrown back) or falls towards 0: that is what the loss then tells of. See engine.curriculum_loop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dragoman.core.curriculum.base import Base, Needed, Observation, Shares, floored, normalised
from dragoman.errors import RecipeError

Evidence = Literal["loss", "score", "both"]
Floats = NDArray[np.float64]
_DUAL = 0.5  # how fast the multiplier of forgetting follows the excess over the limit
_MOST = 10.0  # its largest value
_VARIANCE = {"objective_loss": 4.0, "objective": 1.0, "forgetting": 1.0}  # of the variation: how it is divided


class Experiment:
    """Pairs of stretches with opposite variations under one measurement: their discounted sums."""

    def __init__(self, name: str, tasks: int, seed: int, memory: float) -> None:
        self.name = name
        self.tasks = tasks
        self.seed = seed
        self.memory = memory
        self.stretches = 0  # finished ones
        self.tokens = np.zeros(tasks)  # delivered in the present stretch
        self.gain = 0.0  # in the present stretch
        self.first: list[float] | None = None  # shares and, last, the gain per token of a pair's first half
        self.products = np.zeros((tasks, tasks))  # sum of x x'
        self.answers = np.zeros(tasks)  # sum of x y
        self.squares = 0.0  # sum of y y
        self.sizes = 0.0  # sum of the sizes of the gains
        self.pairs = 0.0

    @property
    def sign(self) -> float:
        """Of the present stretch: Thue-Morse, which is + - or - + in every pair."""
        return -1.0 if self.stretches.bit_count() % 2 else 1.0

    @property
    def draw(self) -> Floats:
        """Standard normal numbers [tasks] of the present pair."""
        name = [ord(letter) for letter in self.name]
        return np.random.default_rng([self.seed, self.stretches // 2, *name]).standard_normal(self.tasks)

    def add(self, tokens: Sequence[float], gain: float = 0.0) -> None:
        self.tokens = self.tokens + np.array(tokens)
        self.gain += gain

    def drop(self) -> None:
        """Forget the present stretch, whose gain is not known."""
        self.tokens, self.gain = np.zeros(self.tasks), 0.0

    def finish(self) -> bool:
        """End the present stretch. True when it was a pair's second, and there is something new to learn from."""
        total = float(self.tokens.sum())
        if total <= 0:
            return False
        found = [*(self.tokens / total).tolist(), self.gain / total]
        self.drop()
        self.stretches += 1
        if self.stretches % 2 or self.first is None:
            self.first = found
            return False
        x = np.array(self.first[:-1]) - np.array(found[:-1])
        self.sizes = self.memory * self.sizes + (abs(self.first[-1]) + abs(found[-1])) / 2
        self.pairs = self.memory * self.pairs + 1
        y = (self.first[-1] - found[-1]) * self.pairs / self.sizes if self.sizes > 0 else 0.0
        self.first = None
        self.products = self.memory * self.products + np.outer(x, x)
        self.answers = self.memory * self.answers + y * x
        self.squares = self.memory * self.squares + y * y
        return True

    def noise(self, effects: Floats) -> float:
        """Variance of y around the effects, one pair's worth of prior belief (1) included."""
        left = self.squares - 2 * effects @ self.answers + effects @ self.products @ effects
        return (1.0 + max(float(left), 0.0)) / (1.0 + self.pairs)

    def state(self) -> dict[str, Any]:
        return {
            "stretches": self.stretches,
            "tokens": self.tokens.tolist(),
            "gain": self.gain,
            "first": self.first,
            "products": self.products.tolist(),
            "answers": self.answers.tolist(),
            "squares": self.squares,
            "sizes": self.sizes,
            "pairs": self.pairs,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.stretches = int(state["stretches"])
        self.tokens = np.array(state["tokens"], dtype=np.float64)
        self.gain = float(state["gain"])
        self.first = None if state["first"] is None else [float(value) for value in state["first"]]
        self.products = np.array(state["products"], dtype=np.float64)
        self.answers = np.array(state["answers"], dtype=np.float64)
        self.squares = float(state["squares"])
        self.sizes = float(state["sizes"])
        self.pairs = float(state["pairs"])


def posterior(experiments: Sequence[Experiment], believed: Floats) -> tuple[Floats, Floats]:
    """Mean [tasks] and covariance [tasks, tasks] of the effects, the prior being N(believed, 1)."""
    tasks = len(believed)
    mean = believed
    spread: Floats = np.eye(tasks)
    for _ in range(4):  # the noise depends on the effects and they on it; this settles quickly
        precision: Floats = np.eye(tasks)
        answers = believed.copy()
        for experiment in experiments:
            noise = experiment.noise(mean)
            precision += experiment.products / noise
            answers += experiment.answers / noise
        spread = np.asarray(np.linalg.inv(precision), dtype=np.float64)
        mean = spread @ answers
    return mean, spread


class Objective(Base):
    """See the head of this file. `limit`: the forgetting (rise of the perplexity of general text) that is tolerated."""

    method = "objective"

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        seed: int = 7,
        evidence: Evidence = "loss",
        limit: float | None = None,
        guard: Sequence[str] = (),
        sharpness: float = 3.0,
        explore: float = 0.5,
        memory: float = 0.95,
    ) -> None:
        super().__init__(prior, floors)
        if not (0 < memory <= 1 and sharpness > 0 and explore > 0):
            raise RecipeError("the curriculum `objective` needs 0 < memory <= 1, sharpness > 0 and explore > 0.")
        if unknown := [task for task in guard if task not in self.tasks]:
            raise RecipeError(f"`guard` names {', '.join(unknown)}, but the tasks are {', '.join(self.tasks)}.")
        needs: dict[Needed, bool] = {
            "objective_loss": evidence != "score",
            "objective": evidence != "loss",
            "forgetting": limit is not None,
        }
        self.needs = frozenset(need for need, wanted in needs.items() if wanted)
        self.limit = limit
        self.guard = np.array([-1.0 if task in guard else 0.0 for task in self.tasks])
        self.sharpness = sharpness
        self.explore = explore
        self._experiments: dict[str, Experiment] = {
            need: Experiment(need, len(self.tasks), seed, memory) for need in sorted(self.needs)
        }
        self._effects, self._spread = self._posterior()
        self._mixture = list(self.prior)  # the shares to which the effects are relative
        self._last: dict[str, float | None] = dict.fromkeys(self._experiments)  # the latest measurements
        self._multiplier = 0.0

    def _posterior(self) -> tuple[Floats, Floats]:
        return posterior([e for n, e in self._experiments.items() if n != "forgetting"], np.zeros(len(self.tasks)))

    def _chosen(self, effects: Floats) -> list[float]:
        relative = np.maximum(0.0, 1 + effects - effects @ np.array(self._mixture)) ** self.sharpness
        weights = (np.array(self.prior) * relative).tolist()
        return normalised(weights) if sum(weights) > 0 else list(self.prior)

    def _policy(self) -> Sequence[float]:
        return self._chosen(self._effects)

    @property
    def window(self) -> Shares:
        count = len(self.tasks)
        centre: Floats = np.eye(count) - 1 / count  # what raises all effects alike changes no share
        root = centre @ np.linalg.cholesky(self._spread)
        parts = {name: _VARIANCE[name] for name in self._experiments}
        varied = self._effects.copy()
        for name, experiment in self._experiments.items():
            direction = root @ experiment.draw
            length = np.linalg.norm(root) / max(float(np.linalg.norm(direction)), 1e-12)
            size = self.explore * math.sqrt(parts[name] / sum(parts.values()))
            varied += size * experiment.sign * length * direction
        return dict(zip(self.tasks, floored(self._chosen(varied), self.floors), strict=True))

    def _learn(self, seen: Observation) -> None:
        tokens = [float(seen.tokens.get(task, 0)) for task in self.tasks]
        news = [self._take(name, seen, tokens) for name in self._experiments]
        if self.limit is not None and seen.forgetting is not None:
            over = (seen.forgetting - self.limit) / max(self.limit, 0.01)
            self._multiplier = min(_MOST, max(0.0, self._multiplier + _DUAL * min(1.0, over)))
        if any(news):
            self._move()

    def _take(self, name: str, seen: Observation, tokens: Sequence[float]) -> bool:
        """Give a window to one of the experiments. True when that ended a pair."""
        experiment = self._experiments[name]
        if name == "objective_loss":
            if seen.objective_loss is None:
                raise RecipeError("the curriculum `objective` needs the dev loss before and after every window.")
            before, after = seen.objective_loss
            experiment.add(tokens, before - after)
            return experiment.finish()
        experiment.add(tokens)
        value, last = (seen.objective if name == "objective" else seen.forgetting), self._last[name]
        if value is None:
            return False
        self._last[name] = float(value)
        if last is None:  # no measurement yet to compare with
            experiment.drop()
            return False
        experiment.add([0.0] * len(tokens), value - last)
        return experiment.finish()

    def _move(self) -> None:
        self._effects, self._spread = self._posterior()
        if "forgetting" in self._experiments:
            harm, _ = posterior([self._experiments["forgetting"]], self.guard)
            self._effects = self._effects - self._multiplier * harm
        self._mixture = list(self.shares.values())

    def _memory(self) -> dict[str, Any]:
        return {
            "effects": self._effects.tolist(),
            "spread": self._spread.tolist(),
            "mixture": list(self._mixture),
            "last": dict(self._last),
            "multiplier": self._multiplier,
            "experiments": {name: experiment.state() for name, experiment in self._experiments.items()},
        }

    def _recall(self, memory: Mapping[str, Any]) -> None:
        self._effects = np.array(memory["effects"], dtype=np.float64)
        self._spread = np.array(memory["spread"], dtype=np.float64)
        self._mixture = [float(value) for value in memory["mixture"]]
        self._last = {name: None if value is None else float(value) for name, value in memory["last"].items()}
        self._multiplier = float(memory["multiplier"])
        for name, experiment in self._experiments.items():
            experiment.restore(memory["experiments"][name])

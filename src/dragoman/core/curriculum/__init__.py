"""Curricula: (shares, what a window of training did) -> the next shares. Seeded, serialisable, no torch.

curriculum = make("fair", {"lm": 0.5, "mt": 0.5}, seed=7)
stream.weights = curriculum.window          # train `every` steps on it, then
curriculum.observe(Observation(...))        # and so on
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from dragoman.core.curriculum.bandit import Exp3s
from dragoman.core.curriculum.base import Base, Curriculum, Needed, Observation, Shares, normalised
from dragoman.core.curriculum.fair import Fair
from dragoman.core.curriculum.fixed import Static, Temperature
from dragoman.core.curriculum.objective import Objective
from dragoman.core.curriculum.schedule import Schedule, opustrainer
from dragoman.errors import RecipeError

__all__ = ["METHODS", "Curriculum", "Needed", "Observation", "Shares", "default_floor", "make", "opustrainer"]

_ALL: tuple[type[Base], ...] = (Static, Temperature, Schedule, Exp3s, Fair, Objective)
METHODS: dict[str, Callable[..., Base]] = {method.method: method for method in _ALL}
_FIXED = frozenset({"static", "temperature", "schedule"})
_FLOOR = 0.02  # of the methods that learn


def make(
    method: str,
    prior: Mapping[str, float],
    *,
    floor: float | Mapping[str, float] | None = None,
    seed: int = 7,
    **options: Any,
) -> Curriculum:
    """A curriculum over the tasks of `prior` (weights of any sum; the starting shares).

    `floor`: least share of every task, or of those named; by default 0.02 for methods that learn and 0 for others.
    `options`: those of the method. Raises RecipeError for weights, floors or options that cannot be.
    """
    if method not in METHODS:
        raise RecipeError(f"no such curriculum: {method}. There are {', '.join(METHODS)}.")
    shares = _checked(prior)
    least = floor if floor is not None else default_floor(method, len(shares))
    floors = dict(least) if isinstance(least, Mapping) else dict.fromkeys(shares, least)
    if unknown := [task for task in floors if task not in shares]:
        raise RecipeError(f"a floor is set for {', '.join(unknown)}, but the tasks are {', '.join(shares)}.")
    if any(value < 0 for value in floors.values()) or sum(floors.values()) > 1:
        told = ", ".join(f"{task} {value:g}" for task, value in floors.items())
        raise RecipeError(f"floors must lie between 0 and 1 and sum to 1 at most; these are {told}. Lower `floor`.")
    if method == "objective":
        options["seed"] = seed
    return METHODS[method](shares, floors, **options)


def default_floor(method: str, tasks: int) -> float:
    """The least share of each of so many tasks where the recipe says nothing."""
    return 0.0 if method in _FIXED else min(_FLOOR, 0.5 / tasks)


def _checked(prior: Mapping[str, float]) -> dict[str, float]:
    if not prior:
        raise RecipeError("a mixture needs at least one task.")
    wrong = {task: weight for task, weight in prior.items() if not math.isfinite(weight) or weight < 0}
    if wrong:
        raise RecipeError(f"weights of tasks must be numbers from 0 up: {wrong}.")
    if sum(prior.values()) <= 0:
        raise RecipeError("all tasks have weight 0: give at least one a share.")
    return dict(zip(prior, normalised(list(prior.values())), strict=True))

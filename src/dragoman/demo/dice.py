"""Seeded chance, fast enough for a hundred million throws."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Dice:
    """Throws that depend on the seed alone."""

    __slots__ = ("random",)

    def __init__(self, seed: int | str) -> None:
        self.random = Random(seed).random

    def pick(self, things: Sequence[T]) -> T:
        return things[int(self.random() * len(things))]

    def chance(self, share: float) -> bool:
        return self.random() < share

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self.random() * (high - low + 1))


class Weighted(Generic[T]):
    """Things with weights."""

    __slots__ = ("_bounds", "things")

    def __init__(self, pairs: Sequence[tuple[T, float]]) -> None:
        self.things = [thing for thing, _ in pairs]
        self._bounds = list(accumulate(weight for _, weight in pairs))

    def pick(self, dice: Dice) -> T:
        return self.things[bisect_right(self._bounds, dice.random() * self._bounds[-1])]

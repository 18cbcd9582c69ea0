"""What the queue foretells: how long a batch takes, and when those who are refused find a place."""

from __future__ import annotations

import bisect
import math
from collections.abc import Hashable, Sequence

_FORGET = 0.9  # of what earlier batches said of their time, at each further one
_LATEST = 60.0  # seconds after which somebody is told to come back at most, and for which a place is kept from then on


class Pace:
    """How long a batch takes, by the number of its texts: a line through those of late, the older the less it counts."""

    def __init__(self) -> None:
        self._weight = self._texts = self._seconds = self._squares = self._products = self._largest = 0.0

    def add(self, texts: int, seconds: float) -> None:
        self._largest = max(texts, _FORGET * self._largest)
        new = (1.0, texts, seconds, texts * texts, texts * seconds)
        old = (self._weight, self._texts, self._seconds, self._squares, self._products)
        self._weight, self._texts, self._seconds, self._squares, self._products = (
            _FORGET * before + now for before, now in zip(old, new, strict=True)
        )

    def of(self, texts: int) -> float:
        """Seconds; 0 before the first batch. For more texts than any of late as for so many: nothing is known of them."""
        if not self._weight:
            return 0.0
        mean, time = self._texts / self._weight, self._seconds / self._weight
        spread = self._squares / self._weight - mean * mean
        slope = (self._products / self._weight - mean * time) / spread if spread > 0.5 else 0.0
        return time + min(max(slope, 0.0), time / mean) * (min(texts, self._largest) - mean)


class Refused:
    """Those who were refused for the wait, by what they asked, and when each was told to come back: then they are let in. Times
    in seconds, of one clock."""

    def __init__(self, most: int) -> None:
        """`most`: how many are remembered; others are told a time without a promise."""
        self._most = most
        self._when: dict[Hashable, float] = {}
        self._times: list[float] = []  # that were told, in order

    def are_back(self, asked: Sequence[Hashable], now: float) -> bool:
        """Whether all of these were refused before, and come no sooner than they were told."""
        return all(self._when.get(one, math.inf) <= now for one in asked)

    def forget(self, asked: Sequence[Hashable]) -> None:
        """They are let in."""
        for one in asked:
            self._when.pop(one, None)

    def tell(self, asked: Sequence[Hashable], now: float, after: float, size: int, pace: float) -> float:
        """Seconds until these may come back: `after` those that are expected, no more at a time than a batch of `size`, which
        takes `pace` seconds. Who comes too soon is told what is left."""
        if self._times and self._times[0] < now - _LATEST:
            del self._times[: bisect.bisect_left(self._times, now - _LATEST)]
            self._when = {one: when for one, when in self._when.items() if when >= now - _LATEST}
        ahead = len(self._times) - bisect.bisect_right(self._times, now)
        when = now + min(max(1.0, after + pace * (ahead // size)), _LATEST)
        for one in asked:
            if one not in self._when and len(self._times) < self._most:
                self._when[one] = when
                bisect.insort(self._times, when)
        return max(1.0, max(self._when.get(one, when) for one in asked) - now)

"""A challenger beside the champion where a server runs: what both did, and whether the challenger is worse. Pure.

Three things are held against each other, by one-sided tests: texts without a translation, flagged translations (proportions,
pooled) and calibrated confidence (Welch). The challenger is looked at whenever it has twice as many texts as at the last look,
and each look may spend half of the level that the one before had, so that all looks together keep it (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

FIRST = 50  # texts of the challenger at the first look
_NORMAL = 1.96  # of the standard normal distribution, 95 %


@dataclass(slots=True)
class Mean:
    """Of figures that come one by one."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.squares += value * value

    @property
    def value(self) -> float:
        return self.total / self.count if self.count else math.nan

    @property
    def variance(self) -> float:
        """Of the mean."""
        if self.count < 2:
            return math.nan
        return max(0.0, self.squares - self.total**2 / self.count) / (self.count - 1) / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, normal."""
        reach = _NORMAL * math.sqrt(self.variance)
        return self.value - reach, self.value + reach


@dataclass(slots=True)
class Side:
    """What one model did."""

    texts: int = 0
    failed: int = 0
    flagged: int = 0
    confidence: Mean = field(default_factory=Mean)

    def add(self, *, failed: bool, flagged: bool, confidence: float | None) -> None:
        self.texts += 1
        self.failed += failed
        self.flagged += flagged and not failed
        if confidence is not None and not failed:
            self.confidence.add(confidence)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        return cls(int(told["texts"]), int(told["failed"]), int(told["flagged"]), Mean(**told["confidence"]))


@dataclass(slots=True)
class Trial:
    """`kind`: shadow (the challenger's translations are compared, and given to nobody) or canary (a share of users gets them).
    `agreement`: chrF2++ of the challenger's translation to the champion's, of a shadow."""

    kind: Literal["shadow", "canary"]
    model: str  # name@version
    share: float
    since: float  # seconds since 1970
    champion: Side = field(default_factory=Side)
    challenger: Side = field(default_factory=Side)
    agreement: Mean = field(default_factory=Mean)
    looks: int = 0
    stopped: list[str] = field(default_factory=list)  # why it was

    def look(self, level: float = 0.01) -> list[str]:
        """What the challenger is significantly worse in, where it is time for a look; it is stopped then."""
        while self.challenger.texts >= FIRST * 2 ** (self.looks + 1):  # several at once
            self.looks += 1
        if self.stopped or self.challenger.texts < FIRST * 2**self.looks or self.champion.texts < FIRST:
            return []
        self.looks += 1
        spent = level / 2**self.looks
        self.stopped = worse(self.champion, self.challenger, spent / 3)
        return self.stopped

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError and ValueError for something else."""
        sides = {name: Side.of(told[name]) for name in ("champion", "challenger")}
        return cls(**{**told, **sides, "agreement": Mean(**told["agreement"])})


def worse(champion: Side, challenger: Side, level: float) -> list[str]:
    """In words, with figures."""
    found = []
    given = [one.texts - one.failed for one in (champion, challenger)]
    for what, counts, of in (
        ("without a translation", (champion.failed, challenger.failed), (champion.texts, challenger.texts)),
        ("flagged", (champion.flagged, challenger.flagged), given),
    ):
        p = _more(counts[1], of[1], counts[0], of[0])
        if p <= level:
            shares = (count / total for count, total in zip(counts, of, strict=True))
            found.append("{}: {:.1%} against {:.1%} (p = {:.2g})".format(what, *reversed(list(shares)), p))
    old, new = champion.confidence, challenger.confidence
    spread = math.sqrt(old.variance + new.variance)  # NaN where there are too few
    if spread > 0 and (p := _tail((old.value - new.value) / spread)) <= level:
        found.append(f"confidence: {new.value:.1f} against {old.value:.1f} (p = {p:.2g})")
    return found


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if not of:
        return math.nan, math.nan
    share, square = count / of, _NORMAL**2 / of
    middle = (share + square / 2) / (1 + square)
    reach = _NORMAL / (1 + square) * math.sqrt(share * (1 - share) / of + square / of / 4)
    return middle - reach, middle + reach


def _more(count: int, of: int, base: int, base_of: int) -> float:
    """One-sided p of the first share being larger than the second."""
    if not of or not base_of:
        return 1.0
    pooled = (count + base) / (of + base_of)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / of + 1 / base_of))
    return _tail((count / of - base / base_of) / spread) if spread else 1.0


def _tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))

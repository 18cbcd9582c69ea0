"""The gate before a promotion: a challenger against the champion on the same segments, with paired tests. Pure.

It must be significantly better somewhere that counts (the newest feedback, or the frozen test set), may lose at most so much on
the frozen test set, and no slice of either (domain, length of the source) may be significantly worse by more than that. One
metric is asked, chrF2++, by approximate randomisation; slices are corrected for their number (Holm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dragoman.core.scores.metrics import segments
from dragoman.core.scores.statistics import differences, holm

FROZEN, NEWEST = "test", "feedback"
FEWEST = 50  # segments of a set that can be judged
_SLICE = 30  # segments of a slice
_LENGTHS = ("short", "medium", "long")


@dataclass(frozen=True, slots=True)
class Outputs:
    """One set in one direction: what both systems made of it."""

    set: str  # FROZEN or NEWEST
    direction: str
    language: str  # of the target
    sources: Sequence[str]
    references: Sequence[str]
    champion: Sequence[str]
    challenger: Sequence[str]
    domains: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Tested:
    """chrF2++ of both on a set or a slice of it."""

    name: str
    segments: int
    champion: float
    challenger: float
    gain: float
    low: float
    high: float
    p: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`against`: why it must not be promoted; empty where it may."""

    sets: list[Tested]
    slices: list[Tested]
    against: list[str]

    @property
    def passed(self) -> bool:
        return not self.against

    def to_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "against": self.against,
            "sets": [one.to_json() for one in self.sets],
            "slices": [one.to_json() for one in self.slices],
        }


def judge(found: Sequence[Outputs], *, forgetting: float, level: float = 0.05, samples: int = 1_000) -> Verdict:
    """`forgetting`: points of chrF2++ that may be lost on the frozen test set. `level`: of the tests."""
    against: list[str] = []
    sets = [tested(f"{one.set} {one.direction}", one, None, samples) for one in found if one.sources]
    frozen = [test for test in sets if test.name.startswith(FROZEN)]
    if sum(test.segments for test in frozen) < FEWEST:
        against.append(f"the frozen test set has fewer than {FEWEST} segments, so nobody can say what would be lost")
    for test in frozen:
        if test.gain < -forgetting:
            against.append(f"{test.name}: {-test.gain:.2f} chrF2++ lost, and {forgetting:g} are allowed")
    judged = [test for test in sets if test.segments >= FEWEST]
    fixed = dict(zip((test.name for test in judged), holm([test.p for test in judged]), strict=True))
    if not any(test.gain > 0 and fixed[test.name] <= level for test in judged):
        few = [f"{test.name} has {test.segments} segments, {FEWEST} are needed" for test in sets if test not in judged]
        against.append("; ".join(["on no set is it significantly better", *few]))
    for test in judged:
        if test.name.startswith(NEWEST) and test.gain < 0 and fixed[test.name] <= level:
            against.append(f"{test.name}: significantly worse ({test.gain:+z.2f} chrF2++)")
    slices = [
        tested(f"{one.set} {one.direction}, {name}", one, rows, samples)
        for one in found
        for name, rows in _slices(one).items()
    ]
    for test, p in zip(slices, holm([test.p for test in slices]), strict=True):
        if test.gain < -forgetting and p <= level:
            against.append(f"{test.name}: significantly worse ({test.gain:+z.2f} chrF2++)")
    return Verdict(sets, slices, against)


def tested(name: str, one: Outputs, rows: Sequence[int] | None, samples: int) -> Tested:
    """Both systems on all rows of a set, or on some."""
    chosen = range(len(one.sources)) if rows is None else rows
    references = [one.references[row] for row in chosen]
    old, new = (
        segments("chrf", [texts[row] for row in chosen], references, one.language)
        for texts in (one.champion, one.challenger)
    )
    [found] = differences([(old, new)], samples=samples)
    return Tested(
        name,
        len(references),
        old.score.value,
        new.score.value,
        found.gain,
        found.interval.low,
        found.interval.high,
        found.p_randomisation,
    )


def _slices(one: Outputs) -> dict[str, list[int]]:
    """Rows by domain, where there are several, and by thirds of the source's length."""
    found: dict[str, list[int]] = {}
    if len(set(one.domains)) > 1:
        for row, domain in enumerate(one.domains):
            found.setdefault(f"domain {domain or '(none)'}", []).append(row)
    order = np.argsort([len(text) for text in one.sources], kind="stable")
    for name, rows in zip(_LENGTHS, np.array_split(order, 3), strict=True):
        found[name] = sorted(int(row) for row in rows)
    return {name: rows for name, rows in found.items() if len(rows) >= _SLICE}

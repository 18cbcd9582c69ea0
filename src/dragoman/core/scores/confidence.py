"""Confidence: what chrF a translation may be expected to have, told from the model's own log-probability.

The mean log-probability per token ranks translations well but means nothing to a person. Isotonic regression on held-out
segments turns it into an expected chrF: the best fit that never falls when the log-probability rises (Barlow et al. 1972;
as calibration Zadrozny and Elkan 2002). How far the promise is from what comes true, `assess` tells on other segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DOUBTFUL = 60.0  # expected chrF below which a person should look at a translation, whatever the model
_USUAL_SHARE = 0.85  # of what the model usually reaches: below it one of its translations stands out
FEWEST = 50  # segments; fewer say too little
_BLOCK = 10  # segments that a step of the fit rests on, at least ...
_BLOCKS = 50  # ... and so many steps at most


@dataclass(frozen=True, slots=True)
class Calibration:
    """Mean log-probability -> expected chrF: straight lines between the centres of the fit's steps, level outside."""

    scores: tuple[float, ...]  # rising
    expected: tuple[float, ...]  # never falling; chrF, 0 to 100
    usual: float = 0.0  # mean chrF of the segments that it was fitted on

    @property
    def bound(self) -> float:
        """The expected chrF below which a translation is doubtful: also one that is middling, of a model that is good."""
        return max(DOUBTFUL, _USUAL_SHARE * self.usual)

    @classmethod
    def fit(cls, scores: Sequence[float], quality: Sequence[float]) -> Self | None:
        """From log-probabilities and the chrF of the same translations; None when they are fewer than FEWEST.

        A step of few segments, as isotonic regression has them at both ends, is joined with its neighbour.
        """
        from scipy.optimize import isotonic_regression  # here, for it takes time to load

        if len(scores) < FEWEST:
            return None
        x, where, count = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
        weights = count.astype(np.float64)
        means = np.bincount(where, weights=np.asarray(quality, np.float64)) / weights
        y = isotonic_regression(means, weights=weights).x
        least = max(_BLOCK, len(scores) // _BLOCKS)
        steps: list[tuple[float, float, float]] = []  # weight, sum of scores, sum of expected
        for value in np.unique(y):
            own = y == value
            steps.append((weights[own].sum(), (x * weights)[own].sum(), (y * weights)[own].sum()))
            while len(steps) > 1 and min(steps[-1][0], steps[-2][0]) < least:
                last, other = steps.pop(), steps.pop()
                steps.append((last[0] + other[0], last[1] + other[1], last[2] + other[2]))
        centres = [(score / weight, expected / weight) for weight, score, expected in steps]
        places, expected = (tuple(float(round(value, 4)) for value in column) for column in zip(*centres, strict=True))
        return cls(places, expected, round(float(np.mean(quality)), 4))

    def __call__(self, score: float) -> float:
        """The expected chrF of a translation with this mean log-probability."""
        return float(np.interp(score, self.scores, self.expected))

    def many(self, scores: Sequence[float]) -> Floats:
        """`__call__` for each."""
        return np.interp(np.asarray(scores, np.float64), self.scores, self.expected)

    def to_json(self) -> dict[str, Any]:
        return {"scores": list(self.scores), "expected": list(self.expected), "usual": self.usual}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        usual = float(value.get("usual", 0.0))  # not in files of earlier versions
        return cls(tuple(map(float, value["scores"])), tuple(map(float, value["expected"])), usual)


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far predictions can be trusted, on segments that they were not fitted on.

    `error`: the expected calibration error in points of chrF, the mean distance between prediction and truth over
    `bins` (mean predicted, mean true, segments) of equal size. Chance alone leaves about 0.8 x standard deviation of the
    truth / sqrt(segments of a bin): `floor`.
    """

    segments: int
    error: float
    floor: float
    pearson: float
    spearman: float
    bins: tuple[tuple[float, float, int], ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def assess(predicted: Sequence[float] | Floats, truth: Sequence[float] | Floats, bins: int = 10) -> Reliability:
    """Hold predictions against what came true (Naeini et al. 2015, with a scale instead of a class)."""
    x, y = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    order = np.argsort(x, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    rows = [(float(x[part].mean()), float(y[part].mean()), len(part)) for part in parts]
    error = sum(abs(ours - theirs) * count for ours, theirs, count in rows) / max(1, len(x))
    spread = [float(y[part].std()) / np.sqrt(len(part)) * len(part) for part in parts]
    floor = float(np.sqrt(2 / np.pi) * sum(spread) / max(1, len(x)))
    return Reliability(len(x), error, floor, pearson(x, y), spearman(x, y), tuple(rows))


def pearson(left: Sequence[float] | Floats, right: Sequence[float] | Floats) -> float:
    """Linear correlation; 0 when one side never changes."""
    x, y = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def spearman(left: Sequence[float] | Floats, right: Sequence[float] | Floats) -> float:
    """Rank correlation; equal values share the mean of their ranks, and 0 when one side never changes."""
    from scipy.stats import rankdata

    return pearson(rankdata(left), rankdata(right))

"""Is a difference real? Bootstrap intervals, paired bootstrap and approximate randomisation on sufficient statistics.

The protocols are sacreBLEU's (sacrebleu.significance): with the same seed they draw the same resamples. The p of a test
is (c + 1) / (n + 1) there and here; c counts the n trials that differ more than the systems do there, and also those
that differ as much here (`ties`). A resampled corpus is a row of weights over segments, so all scores of all resamples
are one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from dragoman.core.scores.metrics import BETTER, Floats, Segments
from dragoman.errors import DataError

SEED = 12345  # sacreBLEU's own default, so that anyone can repeat a test with its command line
_WEIGHTS = 4_000_000  # resampling weights held at once: 32 MB
_TOLERANCE = 1e-9  # of the score; closer than this, two differences are equal and rounding decided between them


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile bootstrap interval, and the mean over the resamples."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better a system is than another one under one metric; positive is better, also for TER."""

    metric: str
    gain: float
    interval: Interval  # of the gain
    p_bootstrap: float
    p_randomisation: float

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def _resamples(segments: int, samples: int, seed: int) -> Iterator[Floats]:
    """Weights [some, segments]: how often each segment was drawn; all parts together have `samples` rows."""
    rng = np.random.default_rng(seed)
    step = max(1, _WEIGHTS // segments)
    for start in range(0, samples, step):
        rows = min(step, samples - start)
        drawn = rng.choice(segments, size=(rows, segments), replace=True)
        flat = (drawn + np.arange(rows)[:, None] * segments).ravel()
        yield np.bincount(flat, minlength=rows * segments).reshape(rows, segments).astype(np.float64)


def swaps(segments: int, trials: int, seed: int) -> Iterator[Floats]:
    """Weights [some, segments] of 0 and 1: which segments of the first system stay where they are."""
    rng = np.random.default_rng(seed)
    # NumPy draws 32 booleans from one word, so parts of a multiple of 32 rows continue one another exactly
    step = max(1, _WEIGHTS // segments // 32) * 32
    for start in range(0, trials, step):
        rows = min(step, trials - start)
        yield rng.integers(2, size=(rows, segments), dtype=bool).astype(np.float64)


def resampled(systems: Sequence[Segments], samples: int, seed: int = SEED) -> Floats:
    """Scores [systems, samples] of bootstrap resamples, the same segments for every system and metric."""
    size = _one_size(systems)
    joined, cuts = _join([system.rows for system in systems])
    parts = []
    for weights in _resamples(size, samples, seed):
        sums = np.split(weights @ joined, cuts, axis=1)
        parts.append(np.stack([system.values(part) for system, part in zip(systems, sums, strict=True)]))
    return np.concatenate(parts, axis=1)


def resampled_means(rows: Floats, samples: int, seed: int = SEED) -> Floats:
    """Means [systems, samples] of bootstrap resamples of values [systems, segments], the same segments for every system."""
    size = rows.shape[1]
    return np.concatenate([rows @ weights.T / size for weights in _resamples(size, samples, seed)], axis=1)


def interval(scores: Floats, confidence: float = 0.95) -> Interval:
    """The percentile interval of resampled scores [samples], by sacreBLEU's rule for which order statistics."""
    ordered = np.sort(scores)
    tail = floor(len(ordered) * (1 - confidence) / 2 + 1e-9)
    return Interval(float(scores.mean()), float(ordered[tail]), float(ordered[-1 - tail]))


def bootstrap_p(baseline: Floats, system: Floats, difference: float, *, ties: bool = True) -> float:
    """p of the paired bootstrap test (Koehn 2004, centred as in sacreBLEU) from scores of the same resamples."""
    found = np.abs(system - baseline)
    return p_value(found - found.mean(), difference, ties=ties)


def randomisation_p(
    pairs: Sequence[tuple[Segments, Segments]], trials: int, seed: int = SEED, *, ties: bool = True
) -> list[float]:
    """p of two-sided approximate randomisation (Riezler & Maxwell 2005) for each (baseline, system) pair.

    All pairs must have the same segments; all see the same swaps.
    """
    if not pairs:
        return []
    size = _one_size([side for pair in pairs for side in pair])
    # swapping moves (baseline - system) of a segment from one pseudo-system to the other
    joined, cuts = _join([baseline.rows - system.rows for baseline, system in pairs])
    found: list[list[Floats]] = [[] for _ in pairs]
    for weights in swaps(size, trials, seed):
        for number, moved in enumerate(np.split(weights @ joined, cuts, axis=1)):
            baseline, system = pairs[number]
            left = system.values(system.rows.sum(0) + moved)
            right = system.values(baseline.rows.sum(0) - moved)
            found[number].append(np.abs(left - right))
    return [
        p_value(np.concatenate(parts), system.score.value - baseline.score.value, ties=ties)
        for parts, (baseline, system) in zip(found, pairs, strict=True)
    ]


def differences(
    pairs: Sequence[tuple[Segments, Segments]],
    *,
    samples: int = 1000,
    trials: int = 10_000,
    confidence: float = 0.95,
    seed: int = SEED,
) -> list[Difference]:
    """Both tests, and the interval of the gain, for each (baseline, system) pair over the same segments.

    The p-values are sacreBLEU's where no trial differs by exactly as much as the systems do. Where there is no difference
    at all they are 1: sacreBLEU calls a system significantly different from itself.
    """
    if not pairs:
        return []
    unique = list({id(side): side for pair in pairs for side in pair}.values())
    rows = dict(zip(map(id, unique), resampled(unique, samples, seed), strict=True))
    swapped = randomisation_p(pairs, trials, seed)
    found = []
    for (baseline, system), p in zip(pairs, swapped, strict=True):
        sign = BETTER[system.metric]
        before, after = rows[id(baseline)], rows[id(system)]
        gain = sign * (system.score.value - baseline.score.value)
        around = interval(sign * (after - before) + 0.0, confidence)  # no -0.0
        if abs(gain) <= _TOLERANCE:
            found.append(Difference(system.metric, 0.0, around, 1.0, 1.0))
        else:
            found.append(Difference(system.metric, gain, around, bootstrap_p(before, after, gain), p))
    return found


def p_value(found: Floats, difference: float, *, ties: bool = True) -> float:
    """(c + 1) / (n + 1), c = those of the trials [n] that are as far from 0 as the real difference, or farther.

    Trials that are exactly as far have to be counted, or small p come more often by chance than they say (Phipson & Smyth
    2010). It matters where trials have few values: when two systems differ in one segment, every trial is as far, and
    sacreBLEU, which leaves such trials out (`ties=False`), finds p = 1 / (n + 1).
    """
    bound = abs(difference) - _TOLERANCE if ties else abs(difference) + _TOLERANCE
    return (int(np.count_nonzero(found >= bound)) + 1) / (len(found) + 1)


def mcnemar_p(better: int, worse: int) -> float:
    """p of the exact, two-sided McNemar test (1947): a sign test on the segments that only one of two systems got right."""
    from scipy.stats import binomtest  # half a second: not for those who have no use for it

    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given: step-down, monotone, at most 1."""
    adjusted = [0.0] * len(values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def _join(matrices: Sequence[Floats]) -> tuple[Floats, NDArray[np.int64]]:
    """The matrices side by side, and where to cut the product."""
    widths = np.array([matrix.shape[1] for matrix in matrices], dtype=np.int64)
    return np.concatenate(matrices, axis=1), np.cumsum(widths)[:-1]


def _one_size(systems: Sequence[Segments]) -> int:
    sizes = {len(system) for system in systems}
    if len(sizes) != 1:
        raise DataError(f"systems over different segments cannot be compared ({sorted(sizes)} segments).")
    return sizes.pop()

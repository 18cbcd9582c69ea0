"""Several arms with several seeds: what is the score of an arm, and which arms differ?

Two things are drawn by chance in such a study: the segments of the test set, and the seeds of the runs. Intervals and
the bootstrap test resample both (hierarchical bootstrap: the same segments for all arms, the seeds of each arm on its
own). Approximate randomisation asks about the segments alone, of the very models at hand. A difference counts when both
tests, corrected for the number of pairs, find it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import lcm
from string import ascii_letters
from typing import Any

import numpy as np

from dragoman.core.scores.metrics import BETTER, Floats, Segments
from dragoman.core.scores.scoring import TestSettings
from dragoman.core.scores.statistics import Interval, holm, interval, p_value, resampled, swaps
from dragoman.errors import DataError

LEVEL = 0.05  # a corrected p-value below it is called significant

Runs = Sequence[Segments]  # of one arm, one for each seed: the same segments under the same metric


@dataclass(frozen=True, slots=True)
class Estimate:
    """An arm's score: the mean over its seeds, and the interval of that mean over seeds and segments."""

    values: tuple[float, ...]  # the corpus score with each seed
    value: float
    interval: Interval
    spread: float | None  # standard deviation over the seeds; None with one of them

    def to_json(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "low": self.interval.low,
            "high": self.interval.high,
            "spread": self.spread,
            "seeds": list(self.values),
        }


@dataclass(frozen=True, slots=True)
class Contrast:
    """How much better `second` is than `first`; positive is better, also for TER."""

    first: str
    second: str
    gain: float
    low: float
    high: float
    p_bootstrap: float  # over seeds and segments
    p_randomisation: float  # over segments
    p: float  # the larger of both, corrected for the number of pairs (Holm)

    @property
    def significant(self) -> bool:
        return self.p < LEVEL

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "significant": self.significant}


def compare(
    arms: Mapping[str, Runs], protocol: TestSettings | None = None
) -> tuple[dict[str, Estimate], list[Contrast], dict[str, str]]:
    """Estimates by arm, a contrast for each pair of arms, and the letters by arm, under the metric of the runs.

    Raises DataError when runs do not have the same segments.
    """
    protocol = protocol or TestSettings()
    drawn = dict(zip(arms, _drawn(list(arms.values()), protocol), strict=True))
    estimates = {
        name: estimate([run.score.value for run in runs], drawn[name], protocol.confidence)
        for name, runs in arms.items()
    }
    contrasts = _contrasts(arms, estimates, drawn, protocol)
    sign = BETTER[next(iter(arms.values()))[0].metric]
    ranked = sorted(arms, key=lambda name: -sign * estimates[name].value)
    return estimates, contrasts, letters(ranked, {(c.first, c.second) for c in contrasts if c.significant})


def estimate(values: Sequence[float], drawn: Floats, confidence: float) -> Estimate:
    """From an arm's scores with each seed, and its resampled mean scores [samples] (`over_seeds`)."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Estimate(tuple(values), float(np.mean(values)), interval(drawn, confidence), spread)


def _drawn(arms: Sequence[Runs], protocol: TestSettings) -> list[Floats]:
    """For each arm its mean score [samples] in every resample of segments and seeds."""
    rows = resampled([run for runs in arms for run in runs], protocol.samples, protocol.seed)
    found, start = [], 0
    for number, runs in enumerate(arms):
        found.append(over_seeds(rows[start : start + len(runs)], number, protocol))
        start += len(runs)
    return found


def over_seeds(scores: Floats, number: int, protocol: TestSettings) -> Floats:
    """The mean score [samples] of a study's arm with this number in every resample of seeds, from its scores [seeds,
    samples] in every resample of segments.

    Of S seeds S - 1 are drawn, with replacement: drawing all S would make the variance of a mean of so few too small, by
    (S - 1) / S (Rao & Wu 1988). One seed stays as it is: then nothing is known of what another would give. Resampling
    two crossed factors counts their interaction more than once (Owen 2007, the pigeonhole bootstrap): it is cautious.
    """
    seeds = len(scores)
    rng = np.random.default_rng([protocol.seed, number])
    chosen = rng.integers(seeds, size=(max(1, seeds - 1), protocol.samples))
    found: Floats = np.take_along_axis(scores, chosen, axis=0).mean(axis=0)
    return found


def _contrasts(
    arms: Mapping[str, Runs], estimates: Mapping[str, Estimate], drawn: Mapping[str, Floats], protocol: TestSettings
) -> list[Contrast]:
    couples = list(itertools.combinations(arms, 2))
    swapped = randomisation([(arms[a], arms[b]) for a, b in couples], protocol.trials, protocol.seed)
    raw = []
    for a, b in couples:
        sign = BETTER[arms[a][0].metric]
        gain = sign * (estimates[b].value - estimates[a].value)
        differences = sign * (drawn[b] - drawn[a])
        around = interval(differences, protocol.confidence)
        raw.append((gain, around, two_sided(differences, gain)))
    corrected = holm([max(bootstrap, p) for (_, _, bootstrap), p in zip(raw, swapped, strict=True)])
    return [
        Contrast(a, b, gain, around.low, around.high, bootstrap, p, whole)
        for (a, b), (gain, around, bootstrap), p, whole in zip(couples, raw, swapped, corrected, strict=True)
    ]


def two_sided(differences: Floats, found: float) -> float:
    """p of the bootstrap test from resampled differences [samples], centred: the share at least as far out, both ways.

    sacreBLEU's p (statistics.bootstrap_p) counts one way and is about half of it.
    """
    return p_value(np.abs(differences - differences.mean()), found)


def randomisation(pairs: Sequence[tuple[Runs, Runs]], trials: int, seed: int, *, ties: bool = True) -> list[float]:
    """p of two-sided approximate randomisation between the mean scores of two arms, for each pair of arms.

    In every trial each segment keeps or swaps its translations between the arms, those of all seeds together. Arms with
    different numbers of seeds are repeated to the same number, which changes no mean. With one seed each it is the test
    of Riezler & Maxwell (2005) with sacreBLEU's draws.
    """
    if not pairs:
        return []
    sizes = {len(run) for pair in pairs for runs in pair for run in runs}
    if len(sizes) != 1:
        raise DataError(f"arms over different segments cannot be compared ({sorted(sizes)} segments).")
    coupled = [_couples(*pair) for pair in pairs]
    joined = np.concatenate([a.rows - b.rows for couples in coupled for a, b in couples], axis=1)
    found: list[list[Floats]] = [[] for _ in pairs]
    for weights in swaps(sizes.pop(), trials, seed):
        moved = weights @ joined
        start = 0
        for number, couples in enumerate(coupled):
            distance = np.zeros(len(weights))
            for a, b in couples:
                part = moved[:, start : start + a.rows.shape[1]]
                start += a.rows.shape[1]
                distance += b.values(b.rows.sum(0) + part) - b.values(a.rows.sum(0) - part)
            found[number].append(np.abs(distance) / len(couples))
    real = [float(np.mean([b.score.value - a.score.value for a, b in couples])) for couples in coupled]
    return [p_value(np.concatenate(parts), gain, ties=ties) for parts, gain in zip(found, real, strict=True)]


def _couples(first: Runs, second: Runs) -> list[tuple[Segments, Segments]]:
    """Runs of both arms side by side, each arm as often as makes the numbers equal."""
    count = lcm(len(first), len(second))
    return [(first[i % len(first)], second[i % len(second)]) for i in range(count)]


def letters(ranked: Sequence[str], different: Collection[tuple[str, str]]) -> dict[str, str]:
    """Compact letter display (Piepho 2004): two names share a letter exactly when they are not `different`.

    `ranked` are the names, the best first: it has an `a`. Insert-and-absorb, then letters that say nothing are swept.
    """
    columns: list[frozenset[str]] = [frozenset(ranked)]
    for one, other in different:
        split = [part for c in columns for part in ((c - {one}, c - {other}) if {one, other} <= c else (c,))]
        columns = [c for i, c in enumerate(split) if not any(c < d or (c == d and j < i) for j, d in enumerate(split))]
    place = {name: number for number, name in enumerate(ranked)}
    columns.sort(key=lambda column: sorted(place[name] for name in column))
    for column in list(reversed(columns)):
        others = [other for other in columns if other is not column]
        if all(any({one, other} <= c for c in others) for one in column for other in column):
            columns.remove(column)
    named = {c: ascii_letters[i] if i < len(ascii_letters) else f"[{i}]" for i, c in enumerate(columns)}
    return {name: "".join(letter for column, letter in named.items() if name in column) for name in ranked}

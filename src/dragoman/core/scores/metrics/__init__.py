"""Metrics of translations against references, as scores that carry their signature.

Every metric is a function of sums over segments. `Segments` keeps one row of these sufficient statistics per segment; a
corpus score, a score of some of the segments, and ten thousand resampled scores all come from the same rows. A new metric
is a module here with a `Counter`, and a line in `METRICS` of `core.scores.table`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.core.scores.metrics.counter import Counter
from dragoman.core.scores.metrics.counter import Floats as Floats
from dragoman.core.scores.table import METRICS
from dragoman.errors import DataError

# The sign of "better": a gain is (value - baseline's value) times this.
BETTER: Mapping[str, int] = {name: metric.better for name, metric in METRICS.items()}
TITLES: Mapping[str, str] = {name: metric.title for name, metric in METRICS.items()}


@dataclass(frozen=True, slots=True)
class Score:
    """A corpus score, how it was made, and (where it was computed) its confidence interval."""

    metric: str  # as a recipe names it
    name: str  # sacreBLEU's: BLEU, chrF2++, TER
    value: float  # percent
    signature: str
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.name}|{self.signature} = {self.value:.2f}{interval}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Segments:
    """One metric's sufficient statistics of a system's translations: `rows` [segments, counts], whole numbers."""

    metric: str
    rows: Floats
    signature: str
    _counter: Counter = field(repr=False, compare=False)  # what made the rows

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, kept: NDArray[np.bool_]) -> Segments:
        """The segments where the mask [segments] is true."""
        return Segments(self.metric, self.rows[kept], self.signature, self._counter)

    @property
    def score(self) -> Score:
        """The corpus score. Raises DataError without segments."""
        if not len(self):
            raise DataError("there is nothing to score: the set has no segments.")
        return Score(self.metric, TITLES[self.metric], self._counter.total(self.rows.sum(0)), self.signature)

    def values(self, sums: Floats) -> Floats:
        """Scores [...] of many corpora at once from their summed rows [..., counts]."""
        return self._counter.formula(sums)

    @property
    def single(self) -> Floats:
        """The score [segments] of every segment on its own (for BLEU without effective order: mostly 0)."""
        return self.values(self.rows)


def segments(metric: str, hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> Segments:
    """Count what the metric needs, segment by segment. `language` is the target's tag: it chooses the tokenizer.

    Raises DataError when the two lists do not fit together.
    """
    if len(hypotheses) != len(references):
        raise DataError(f"{len(hypotheses)} translations cannot be scored against {len(references)} references.")
    if not references:
        raise DataError("there is nothing to score: the set has no segments.")
    counter = counter_of(metric, language)
    rows = counter.counts(hypotheses, references)
    return Segments(metric, rows, counter.signature, counter)


def score(metric: str, hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> Score:
    """A corpus score, equal to the `sacrebleu` command's to the last digit (see `command` for its options)."""
    return segments(metric, hypotheses, references, language).score


def counter_of(metric: str, language: str = "") -> Counter:
    """What counts for a metric, for a target language. Raises DataError for an unknown metric."""
    if metric not in METRICS:
        raise DataError(f"no such metric: {metric}. There are {', '.join(METRICS)}.")
    found: Counter = import_module(f"{__name__}.{metric}").counter(language)
    return found


def command(metric: str, language: str = "") -> list[str]:
    """The options that make the `sacrebleu` command compute this very score; none for a metric that it has not."""
    return list(counter_of(metric, language).options)


def signed(signature: str, **test: int) -> str:
    """The signature of a paired test, as sacreBLEU writes it: `signed(s, bs=1000, seed=12345)`."""
    first, rest = signature.split("|", 1)
    return "|".join([first, *(f"{key}:{value}" for key, value in test.items()), rest])

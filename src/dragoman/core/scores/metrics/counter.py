"""What every metric has, and what those of sacreBLEU share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.core.text.languages import script

Floats = NDArray[np.float64]

_EAST_ASIAN = ("Hans", "Hant", "Hani", "Jpan")


class Counter(ABC):
    """A metric for one target language."""

    options: Sequence[str] = ()  # of the `sacrebleu` command

    @property
    @abstractmethod
    def signature(self) -> str:
        """How it was computed: all that a score depends on. It is asked for once something was counted."""

    @abstractmethod
    def counts(self, hypotheses: Sequence[str], references: Sequence[str]) -> Floats:
        """The sufficient statistics [segments, counts] of translations and their references, whole numbers."""

    @abstractmethod
    def formula(self, sums: Floats) -> Floats:
        """Scores [...] of many corpora at once from their summed rows [..., counts]."""

    def total(self, sums: Floats) -> float:
        """The score that is reported, from the sums [counts] of a corpus."""
        return float(self.formula(sums))


class SacreBleu(Counter):
    """The reported value is sacreBLEU's own; the vectorised formula serves resampling and single segments only."""

    def __init__(self, metric: Any, options: Sequence[str]) -> None:
        self.metric, self.options = metric, options

    @property
    def signature(self) -> str:
        return str(self.metric.get_signature())

    def counts(self, hypotheses: Sequence[str], references: Sequence[str]) -> Floats:
        # The sums over segments are no public part of sacreBLEU; tests/core/test_metrics.py pins them to its public scores.
        return np.array(self.metric._extract_corpus_statistics(hypotheses, [references]), dtype=np.float64)

    def total(self, sums: Floats) -> float:
        whole = [int(value) if value.is_integer() else value for value in sums.tolist()]
        return float(self.metric._compute_score_from_stats(whole).score)


def east_asian(language: str) -> bool:
    """Whether a language is written without blanks in Chinese characters or kana."""
    return bool(language) and script(language) in _EAST_ASIAN

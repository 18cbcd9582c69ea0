"""TER (Snover et al. 2006), by sacreBLEU."""

from __future__ import annotations

import numpy as np

from dragoman.core.scores.metrics.counter import Counter, Floats, SacreBleu, east_asian


def counter(language: str) -> Counter:
    from sacrebleu.metrics import TER

    asian = east_asian(language)
    options = ["--ter-normalized", "--ter-asian-support"] if asian else []
    return Ter(TER(normalized=asian, asian_support=asian), ["-m", "ter", *options])


class Ter(SacreBleu):
    def formula(self, sums: Floats) -> Floats:
        """TER (Snover et al. 2006): edits per reference word; 100 for edits without any reference word."""
        edits, words = sums[..., 0], sums[..., 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = np.where(words > 0, 100.0 * edits / words, np.where(edits > 0, 100.0, 0.0))
        return found

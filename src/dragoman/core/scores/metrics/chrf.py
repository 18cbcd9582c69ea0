"""chrF++ (Popović 2017), by sacreBLEU."""

from __future__ import annotations

import numpy as np

from dragoman.core.scores.metrics.counter import Counter, Floats, SacreBleu

_BETA = 2


def counter(language: str) -> Counter:
    from sacrebleu.metrics import CHRF

    del language
    return Chrf(CHRF(word_order=2), ["-m", "chrf", "--chrf-word-order", "2"])


class Chrf(SacreBleu):
    def formula(self, sums: Floats) -> Floats:
        """chrF++ (Popović 2017): F2 of the precisions and recalls averaged over the orders that both sides have."""
        hypothesis, reference, match = (sums[..., part::3] for part in range(3))
        both = (hypothesis > 0) & (reference > 0)
        orders = np.maximum(both.sum(-1), 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(both, match / hypothesis, 0.0).sum(-1) / orders
            recall = np.where(both, match / reference, 0.0).sum(-1) / orders
            factor = _BETA**2
            value = 100.0 * (1 + factor) * precision * recall / (factor * precision + recall)
            found: Floats = np.where(precision + recall > 0, value, 0.0)
        return found

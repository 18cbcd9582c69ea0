"""The score that a window of translations may have, estimated without references from their calibrated confidence.

As Guillory et al. (2021) and Garg et al. (2022) estimate accuracy from a classifier's confidence: the mean confidence of the
window, corrected by how far it was off on the held-out set. The interval covers chance, in the window and in the held-out set;
that another domain may be calibrated differently it cannot know, so `usual_error` tells how far such estimates were off on
windows of the held-out set itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

_WINDOWS = 200
_NORMAL = 1.96  # of the standard normal distribution, 95 %


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean chrF of a window, 0 to 100; `normal` is that of the held-out set. Without `trusted` the texts are not like those:
    the confidence was never tried on their kind, and is mostly far too high."""

    value: float
    low: float
    high: float
    normal: float
    segments: int
    usual_error: float
    trusted: bool = True

    def doubted(self) -> Estimate:
        """What can be said of texts that are not like the held-out ones: no more than this, for the confidence is mostly too
        high then."""
        return replace(self, low=0.0, trusted=False)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(expected: Sequence[float], held_out: Sequence[tuple[float, float]], seed: int = 0) -> Estimate | None:
    """From the confidences of a window and (confidence, true chrF) of the held-out set; None where either is empty."""
    if not len(expected) or len(held_out) < 2:
        return None
    pairs = np.asarray(held_out, np.float64)
    missed = pairs[:, 1] - pairs[:, 0]
    value = float(np.mean(expected)) + float(missed.mean())
    spread = float(missed.std(ddof=1)) * np.sqrt(1 / len(expected) + 1 / len(missed))
    random = np.random.default_rng(seed)
    size = min(len(expected), len(pairs) // 2) or 1
    errors = []
    for _ in range(_WINDOWS):
        order = random.permutation(len(pairs))
        window, rest = missed[order[:size]], missed[order[size:]]
        errors.append(abs(window.mean() - rest.mean()))
    return Estimate(
        value,
        max(0.0, value - _NORMAL * spread),
        min(100.0, value + _NORMAL * spread),
        float(pairs[:, 1].mean()),
        len(expected),
        float(np.mean(errors)),
    )

"""How close single translations are to their reference, in points: what samples and candidates are compared by."""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.core.scores.metrics import BETTER, segments
from dragoman.core.scores.metrics.bleu import sentence_bleu


def closeness(metric: str, texts: Sequence[str], reference: str, language: str) -> list[float]:
    """0 (nothing in common) to 100 [texts]: the metric of each sentence, BLEU smoothed, and of TER what it leaves of 100."""
    references = [reference] * len(texts)
    if metric == "bleu":
        return [float(value) for value in sentence_bleu(texts, references, language)]
    found = segments(metric, texts, references, language).single
    return [float(value) if BETTER[metric] > 0 else max(0.0, 100.0 - float(value)) for value in found]

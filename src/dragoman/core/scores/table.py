"""The metrics, one table: what is said of each. How one is computed is in the module of its name in `core.scores.metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


@dataclass(frozen=True)
class Metric:
    """What a reader is told of a metric. `better` is the sign of a gain: 1 where higher is better, -1 where lower is."""

    title: str
    explained: str  # what a reader who does not know it must know
    better: int = 1


METRICS: Mapping[str, Metric] = {
    "bleu": Metric("BLEU", "overlap with the reference in stretches of up to four words, 0 to 100."),
    "chrf": Metric(
        "chrF2++",
        "overlap with the reference in characters (stretches of up to six) and words (up to two), recall counted double, "
        "0 to 100; it punishes a wrong ending less than a wrong word.",
    ),
    "ter": Metric("TER", "edits needed to reach the reference, per 100 of its words; lower is better.", better=-1),
}

if TYPE_CHECKING:
    MetricName = str
    RisingMetric = str
else:
    MetricName = Literal[tuple(METRICS)]
    RisingMetric = Literal[tuple(name for name, metric in METRICS.items() if metric.better > 0)]

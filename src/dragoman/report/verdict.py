"""What a difference comes to, in words: better and worse are said only where a paired test says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.scores.metrics import TITLES
from dragoman.core.scores.table import METRICS

LEVEL = 0.05  # a p-value below it is called significant

EXPLAINED = {name: f"{metric.title}: {metric.explained}" for name, metric in METRICS.items()}


def p_text(p: float) -> str:
    """`p=0.0312`, `p<0.0001`."""
    return "p<0.0001" if p < 0.0001 else f"p={p:.4f}".rstrip("0").rstrip(".")


def way_of(gain: Mapping[str, Any]) -> str:
    """`better`, `worse`, or `no difference shown`, of a gain in scores.json: by approximate randomisation."""
    if gain["p_randomisation"] >= LEVEL:
        return "no difference shown"
    return "better" if gain["gain"] > 0 else "worse"


def disagreement(gain: Mapping[str, Any]) -> str:
    """A remark where the interval leaves zero out and the test sees no difference, or the other way round; else empty."""
    around = gain["interval"]
    outside = around["low"] > 0 or around["high"] < 0
    if outside == (gain["p_randomisation"] < LEVEL):
        return ""
    return "interval and test disagree: take it as undecided"


def told(gain: Mapping[str, Any]) -> str:
    """`1.25 better`, `0.31 higher, no difference shown`: the size, and what may be said of it."""
    way = way_of(gain)
    size = f"{abs(gain['gain']):.2f}"
    if way != "no difference shown":
        return f"{size} {way}"
    return f"{gain['gain']:+z.2f}, {way}"


def verdict(entry: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """One sentence on a set of scores.json: the last system against the first, by chrF or else the first metric.

    Empty where there is only one system.
    """
    metric = "chrf" if "chrf" in metrics else metrics[0]
    last = entry["results"][-1]["system"]
    line = next(line for line in entry["results"] if line["system"] == last)
    part = line.get("clean") or line
    gain = part["gains"].get(metric)
    if gain is None:
        return ""
    base = "a copy of the source" if entry["results"][0]["kind"] == "copy" else "the untouched model"
    sizes = f"{TITLES[metric]} {gain['gain']:+z.1f}, {p_text(gain['p_randomisation'])}"
    where = f"{entry['set']} {entry['direction']}"
    if disagreement(gain):
        return f"{where}: undecided whether the model is better or worse than {base} ({sizes}; interval and test disagree)."
    way = way_of(gain)
    if way == "no difference shown":
        return f"{where}: no difference from {base} is shown ({sizes})."
    return f"{where}: {way} than {base} ({sizes})."

"""Scores of several systems on one set: values, intervals, paired tests against a baseline, telling segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.core.scores.metrics import Floats, Segments, signed
from dragoman.core.scores.statistics import SEED, differences, interval, resampled

SHOWN = 5  # segments of each kind that a report shows


@dataclass(frozen=True, slots=True)
class TestSettings:
    """How differences are tested; part of every signature."""

    samples: int = 1000  # of the bootstrap
    trials: int = 10_000  # of approximate randomisation
    confidence: float = 0.95
    seed: int = SEED


System = Mapping[str, Segments]  # a system's statistics by metric


def results(
    systems: Mapping[str, System],
    baselines: Mapping[str, str],
    protocol: TestSettings,
    kept: NDArray[np.bool_] | None = None,
) -> dict[str, dict[str, Any]]:
    """For each system `scores` (with intervals) and, where it has a baseline, `gains` by metric, as JSON values.

    All systems must have the same segments; `kept` [segments] limits the scores to some of them.
    """
    if kept is not None:
        systems = {name: {m: part.of(kept) for m, part in system.items()} for name, system in systems.items()}
    flat = [(name, part) for name, system in systems.items() for part in system.values()]
    scores: dict[str, dict[str, Any]] = {name: {} for name in systems}
    drawn = resampled([part for _, part in flat], protocol.samples, protocol.seed)
    for (name, part), row in zip(flat, drawn, strict=True):
        around = interval(row, protocol.confidence)
        scored = replace(part.score, low=around.low, high=around.high)
        scores[name][part.metric] = {**scored.to_json(), "mean": around.mean}
    pairs = [
        (name, systems[base][metric], part)
        for name, base in baselines.items()
        if base in systems
        for metric, part in systems[name].items()
    ]
    gains: dict[str, dict[str, Any]] = {}
    tested = differences(
        [(before, after) for _, before, after in pairs],
        samples=protocol.samples,
        trials=protocol.trials,
        confidence=protocol.confidence,
        seed=protocol.seed,
    )
    for (name, _, part), difference in zip(pairs, tested, strict=True):
        gains.setdefault(name, {})[part.metric] = {
            **difference.to_json(),
            "signature_bootstrap": signed(part.signature, bs=protocol.samples, seed=protocol.seed),
            "signature_randomisation": signed(part.signature, ar=protocol.trials, seed=protocol.seed),
        }
    return {
        name: {
            "scores": scores[name],
            "against": baselines.get(name) if name in gains else None,
            "gains": gains.get(name, {}),
        }
        for name in systems
    }


def by_part(
    before: System, after: System, protocol: TestSettings, parts: Mapping[str, NDArray[np.bool_]]
) -> list[dict[str, Any]]:
    """How much `after` gains over `before` in each part of the segments (a mask [segments] each), as JSON values:
    `part`, `segments`, and by metric the `before` and `after` values and the `gains` with their tests."""
    found = []
    for name, mask in parts.items():
        both = results({"before": before, "after": after}, {"after": "before"}, protocol, kept=mask)
        values = {side: {m: s["value"] for m, s in both[side]["scores"].items()} for side in both}
        found.append({"part": name, "segments": int(mask.sum()), **values, "gains": both["after"]["gains"]})
    return found


def telling(system: Floats, baseline: Floats | None, seed: int) -> dict[str, list[int]]:
    """Numbers of segments worth reading, from sentence scores [segments], higher is better.

    `best` and `worst` of the system, those that `gained` and `lost` most over the baseline, and some at `random`.
    """
    count = len(system)
    order = np.argsort(-system, kind="stable")
    chosen: dict[str, list[int]] = {}
    if baseline is not None:
        gain = system - baseline
        by_gain = np.argsort(-gain, kind="stable")
        chosen["gained"] = [i for i in _few(by_gain) if gain[i] > 0]
        chosen["lost"] = [i for i in _few(by_gain[::-1]) if gain[i] < 0]
    chosen |= {"worst": _few(order[::-1]), "best": _few(order)}
    rng = np.random.default_rng(seed)
    chosen["random"] = sorted(_few(rng.permutation(count)))
    return chosen


def _few(order: NDArray[np.int64] | Sequence[int]) -> list[int]:
    return [int(index) for index in order[:SHOWN]]


def unmet(wanted: Mapping[str, float], gains: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The gains, by metric, that are smaller than wanted."""
    return {m: float(gains[m]["gain"]) for m, least in wanted.items() if not float(gains[m]["gain"]) >= least}

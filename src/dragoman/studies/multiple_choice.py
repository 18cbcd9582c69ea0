"""Closed generation of a study's arms: each arm's accuracy over its seeds, beside chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dragoman.core.scores.multiple import Estimate, estimate, over_seeds
from dragoman.core.scores.scoring import TestSettings
from dragoman.core.scores.statistics import resampled_means
from dragoman.errors import DataError
from dragoman.report.folders import RunFolder


def compare(
    entries: Mapping[tuple[str, int], Mapping[str, Any]],
    runs: Mapping[str, Mapping[int, RunFolder]],
    protocol: TestSettings,
) -> dict[str, Any] | None:
    """Of one set: for each kind of prompt that all runs have, every arm's accuracy in per cent, with the interval over
    seeds and segments; None where runs have none, or were asked otherwise.

    entries: the set's record in scores.json by arm and seed. Every seed draws candidates of its own.
    """
    found = [entry.get("closed") for entry in entries.values()]
    if not all(found) or len({(one["candidates"], one["segments"]) for one in found if one}) > 1:
        return None
    by_run = {key: _last(entry["closed"]) for key, entry in entries.items()}
    ways = [way for way in next(iter(by_run.values())) if all(way in lines for lines in by_run.values())]
    accuracy = {}
    for way in ways:
        right = {arm: [_right(seeds[s], by_run[arm, s][way]) for s in seeds] for arm, seeds in runs.items()}
        accuracy[way] = {arm: one.to_json() for arm, one in _estimates(right, protocol).items()}
    first = next(iter(entries.values()))["closed"]
    return {key: first[key] for key in ("candidates", "chance", "segments")} | {"accuracy": accuracy}


def _last(closed: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The lines of a run's last system by the kind of prompt."""
    last = closed["results"][-1]["system"]
    return {line["way"]: line for line in closed["results"] if line["system"] == last}


def _right(run: RunFolder, line: Mapping[str, Any]) -> list[float]:
    """[segments] of 0 and 100."""
    found = [100.0 * row["right"] for row in run.outputs(line["file"])]
    if not found:
        raise DataError(f"{run.folder}: evaluate/{line['file']} is missing. Run the study again.")
    return found


def _estimates(right: Mapping[str, list[list[float]]], protocol: TestSettings) -> dict[str, Estimate]:
    """By arm, from whether each of its seeds' runs chose rightly [seeds, segments]; the same resamples for all of them."""
    found = {}
    for number, (arm, seeds) in enumerate(right.items()):
        rows = np.array(seeds)
        drawn = over_seeds(resampled_means(rows, protocol.samples, protocol.seed), number, protocol)
        found[arm] = estimate(rows.mean(axis=1).tolist(), drawn, protocol.confidence)
    return found

"""Several evaluated runs side by side: on the sets that all of them translated, with paired tests between all systems."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.core.scores.metrics import BETTER, TITLES, Segments, segments
from dragoman.core.scores.scoring import TestSettings
from dragoman.core.scores.statistics import differences, holm, interval, resampled
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.report.folders import RunFolder
from dragoman.report.tables import grid
from dragoman.report.verdict import LEVEL


@dataclass(frozen=True, slots=True)
class Row:
    """One system on one set: value and interval (mean, low, high) by metric."""

    system: str
    run: str
    decoding: str
    scores: Mapping[str, Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return {"system": self.system, "run": self.run, "decoding": self.decoding, "scores": dict(self.scores)}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems under one metric. `gain` is of `second` over `first`; positive is better, also for TER.

    The corrected p-values (Holm) count all pairs of the same set and metric as one family.
    """

    first: str
    second: str
    metric: str
    gain: float
    low: float
    high: float
    p_bootstrap: float
    p_randomisation: float
    corrected_bootstrap: float
    corrected_randomisation: float

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def significant(self) -> bool:
        return self.corrected_randomisation < LEVEL


@dataclass(frozen=True, slots=True)
class Table:
    """One set in one direction: all systems on exactly the same segments."""

    name: str
    direction: str
    segments: int
    rows: Sequence[Row]
    pairs: Sequence[Pair]

    def to_json(self) -> dict[str, Any]:
        return {
            "set": self.name,
            "direction": self.direction,
            "segments": self.segments,
            "systems": [row.to_json() for row in self.rows],
            "pairs": [pair.to_json() for pair in self.pairs],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result; `str` is a table for a terminal."""

    tables: Sequence[Table]
    left_out: Sequence[str]  # sets that could not be compared, and why
    protocol: TestSettings

    def to_json(self) -> dict[str, Any]:
        return {
            "protocol": {
                "samples": self.protocol.samples,
                "trials": self.protocol.trials,
                "confidence": self.protocol.confidence,
                "seed": self.protocol.seed,
            },
            "sets": [table.to_json() for table in self.tables],
            "left_out": list(self.left_out),
        }

    def __str__(self) -> str:
        parts = [_text(table) for table in self.tables]
        note = (
            f"[low, high]: {self.protocol.confidence:.0%} interval ({self.protocol.samples} bootstrap resamples). "
            f"p: approximate randomisation ({self.protocol.trials} trials, seed {self.protocol.seed}), corrected for the "
            f"number of pairs (Holm); * below {LEVEL}. A gain above 0 is an improvement, also of TER."
        )
        return "\n\n".join([*parts, note, *(["\n".join(self.left_out)] if self.left_out else [])])


def compare(folders: Sequence[Path], protocol: TestSettings | None = None) -> Comparison:
    """Compare the final systems of evaluated runs, and their baselines, on every set that all runs have.

    A set is the same when its sources and references are. Raises DataError when two runs have different references
    for the same sources, when they have no set in common, or when a run is not evaluated.
    """
    protocol = protocol or TestSettings()
    if len(folders) < 2:
        raise DataError("a comparison needs at least two evaluated runs.")
    runs = dict(zip(_labels(folders), map(_evaluated, folders), strict=True))
    sets = {
        label: {(e["set"], e["direction"]): e for e in run.scores["sets"]} for label, run in runs.items() if run.scores
    }
    keys = list(dict.fromkeys(key for entries in sets.values() for key in entries))
    tables, left_out = [], []
    for key in keys:
        entries = {label: found[key] for label, found in sets.items() if key in found}
        reason = _unlike(key, entries, len(runs))
        if reason:
            left_out.append(f"{key[0]} {key[1]} is left out: {reason}.")
        else:
            tables.append(_table(key, entries, runs, protocol))
    if not tables:
        raise DataError("the runs have no test set in common.\n" + "\n".join(left_out))
    return Comparison(tables, left_out, protocol)


def _evaluated(folder: Path) -> RunFolder:
    run = RunFolder.read(folder)
    if run.scores is None:
        raise DataError(f"{folder}: is not evaluated (evaluate/scores.json is missing). Run `dragoman evaluate` first.")
    return run


def _labels(folders: Sequence[Path]) -> list[str]:
    """As short as can be told apart: the last parts of the paths. Raises DataError when a run is named twice."""
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) != len(paths):
        raise DataError("the same run is named twice.")
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        labels = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]


def _unlike(key: tuple[str, str], entries: Mapping[str, Mapping[str, Any]], runs: int) -> str:
    """Why a set cannot be compared, or nothing. Raises DataError for one with different references."""
    sources: dict[str, list[str]] = {}
    references: dict[str, list[str]] = {}
    for label, entry in entries.items():
        sources.setdefault(entry["source_digest"], []).append(label)
        references.setdefault(entry["source_digest"] + entry["reference_digest"], []).append(label)
    if len(references) > len(sources):
        groups = " and ".join(", ".join(labels) for labels in references.values())
        raise DataError(
            f"{key[0]} {key[1]}: the same sources have different references in {groups}, so their scores cannot be "
            "compared. Evaluate the runs with the same test file."
        )
    if len(entries) < runs:
        return f"only {', '.join(entries)} {'has' if len(entries) == 1 else 'have'} it"
    if len(sources) > 1:
        return "its segments differ between " + " and ".join(", ".join(labels) for labels in sources.values())
    return ""


def _table(
    key: tuple[str, str],
    entries: Mapping[str, Mapping[str, Any]],
    runs: Mapping[str, RunFolder],
    protocol: TestSettings,
) -> Table:
    language = Direction.parse(key[1]).target
    metrics = [m for m in BETTER if all(m in entry["results"][0]["scores"] for entry in entries.values())]
    systems: dict[str, dict[str, Segments]] = {}
    about: dict[str, tuple[str, str]] = {}
    for name, label, line in _chosen(entries, runs):
        texts = [row["hypothesis"] for row in runs[label].outputs(line["file"])]
        references = [row["reference"] for row in runs[label].outputs(line["file"])]
        if len(texts) != entries[label]["segments"]:
            raise DataError(f"{label}: {line['file']} is missing or incomplete. Run `dragoman evaluate` again.")
        systems[name] = {m: segments(m, texts, references, language) for m in metrics}
        about[name] = (label, line["decoding"])
    flat = [part for system in systems.values() for part in system.values()]
    drawn = iter(resampled(flat, protocol.samples, protocol.seed))
    rows = []
    for name, system in systems.items():
        scores = {
            m: {**part.score.to_json(), **interval(next(drawn), protocol.confidence).to_json()}
            for m, part in system.items()
        }
        rows.append(Row(name, *about[name], scores))
    return Table(key[0], key[1], len(flat[0]), rows, _pairs(systems, metrics, protocol))


def _chosen(
    entries: Mapping[str, Mapping[str, Any]], runs: Mapping[str, RunFolder]
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(name, run, line of scores.json) of the systems: each distinct baseline once, then each run's last system."""
    found: list[tuple[str, str, Mapping[str, Any]]] = []
    seen: list[list[str]] = []
    for label, entry in entries.items():
        line = entry["results"][0]
        texts = [row["hypothesis"] for row in runs[label].outputs(line["file"])]
        alone = all(other["system"] == "baseline" for other in entry["results"])
        if not alone and texts not in seen:
            seen.append(texts)
            name = "copy of the source" if line["kind"] == "copy" else f"{label} untouched"
            found.append((name, label, line))
    for label, entry in entries.items():
        last = entry["results"][-1]["system"]
        found.append((label, label, next(line for line in entry["results"] if line["system"] == last)))
    return found


def _pairs(systems: Mapping[str, Mapping[str, Segments]], metrics: Sequence[str], protocol: TestSettings) -> list[Pair]:
    found = []
    couples = list(itertools.combinations(systems, 2))
    for metric in metrics:
        tested = differences(
            [(systems[first][metric], systems[second][metric]) for first, second in couples],
            samples=protocol.samples,
            trials=protocol.trials,
            confidence=protocol.confidence,
            seed=protocol.seed,
        )
        bootstrap = holm([difference.p_bootstrap for difference in tested])
        randomisation = holm([difference.p_randomisation for difference in tested])
        for (first, second), d, b, r in zip(couples, tested, bootstrap, randomisation, strict=True):
            low, high = d.interval.low, d.interval.high
            found.append(Pair(first, second, metric, d.gain, low, high, d.p_bootstrap, d.p_randomisation, b, r))
    return found


def _text(table: Table) -> str:
    metrics = list(table.rows[0].scores)
    rows = [["", "decoding", *(TITLES[m] for m in metrics)]]
    for row in table.rows:
        cells = [f"{s['value']:.2f} [{s['low']:.2f}, {s['high']:.2f}]" for s in (row.scores[m] for m in metrics)]
        rows.append([row.system, row.decoding, *cells])
    by_couple: dict[tuple[str, str], list[Pair]] = {}
    for pair in table.pairs:
        by_couple.setdefault((pair.first, pair.second), []).append(pair)
    tests = [["second over first", *(TITLES[m] for m in metrics)]]
    for (first, second), pairs in by_couple.items():
        cells = [f"{p.gain:+z.2f} p={p.corrected_randomisation:.4f}{'*' if p.significant else ' '}" for p in pairs]
        tests.append([f"{second} over {first}", *cells])
    head = f"{table.name} {table.direction}, {table.segments} segments"
    signatures = [f"{TITLES[m]}|{table.rows[0].scores[m]['signature']}" for m in metrics]
    return "\n\n".join([head + "\n" + grid(rows, left=2), grid(tests), "\n".join(signatures)])

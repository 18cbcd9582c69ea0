"""The record of iterations: what was changed from run to run, why, what it gained by which test, what it cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dragoman.core.recipe import Recipe
from dragoman.core.recipe.changes import changes
from dragoman.core.scores.metrics import TITLES
from dragoman.errors import DataError, RecipeError
from dragoman.report.comparison import Pair, compare
from dragoman.report.folders import RunFolder
from dragoman.report.tables import figure, grid
from dragoman.report.verdict import p_text
from dragoman.store.run import iterations
from dragoman.store.run.artifact import write_json
from dragoman.store.run.costs import Cost

_GAINS = "gains.json"  # against the iteration before, kept beside the iteration


@dataclass(frozen=True, slots=True)
class Iteration:
    """One iteration of a run. `quality` is the mean of its last system's main metric over the test sets (of dev, which chose
    the checkpoint, only where there is nothing else); `best`: none of those on the same sets is as good for less, or better
    for as much."""

    number: int
    run: str
    date: str
    note: str
    changes: Sequence[dict[str, str]]  # of the recipe, against the one before in the record, of whatever run
    metric: str
    quality: float
    gains: Sequence[dict[str, Any]]  # by set and direction, against the one before in its run
    cost: Cost
    sets: str  # digests of the test sets
    chosen: bool = False
    why: str = ""
    best: bool = False

    def to_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in self.__slots__ if name not in ("cost", "sets")}
        return {**found, "cost": self.cost.to_json()}


@dataclass(frozen=True, slots=True)
class Record:
    """All iterations; `str` is a text for a terminal."""

    iterations: Sequence[Iteration]

    def to_json(self) -> dict[str, Any]:
        return {"iterations": [one.to_json() for one in self.iterations]}

    def __str__(self) -> str:
        several = len({one.run for one in self.iterations}) > 1
        return "\n\n".join([*(_told(one, several) for one in self.iterations), _front(self.iterations, several)])


def log(runs: Sequence[Path]) -> Record:
    """The iterations of one run or more, each run's in order. Raises DataError where a run has none."""
    found: list[Iteration] = []
    newest: Path | None = None
    for run in runs:
        folders = iterations.folders(run)
        if not folders:
            raise DataError(f"{run}: has no iterations. `dragoman run` writes one down each time that it evaluates.")
        marked = iterations.chosen(run)
        for number, folder in enumerate(folders):
            one = _read(run, folder, folders[number - 1] if number else None, newest)
            if marked is not None and marked[0] == one.number:
                one = replace(one, chosen=True, why=marked[1])
            found.append(one)
            newest = folder
    return Record([replace(one, best=_best(one, found)) for one in found])


def _best(one: Iteration, among: Sequence[Iteration]) -> bool:
    """On the front of quality for seconds, among those on the same test sets."""
    return not any(
        other.quality >= one.quality
        and other.cost.seconds <= one.cost.seconds
        and (other.quality, -other.cost.seconds) != (one.quality, -one.cost.seconds)
        for other in among
        if (other.sets, other.metric) == (one.sets, one.metric)
    )


def _read(run: Path, folder: Path, before: Path | None, other: Path | None) -> Iteration:
    """`before`: the iteration before it in its run; `other`: the one before it in the record, of whatever run."""
    about = iterations.read(folder)
    scores = RunFolder.read(folder).scores
    if scores is None or not scores["sets"]:
        raise DataError(f"{folder}: has no scores. Delete this iteration's folder.")
    metric = "chrf" if "chrf" in scores["metrics"] else scores["metrics"][0]
    sets = [entry for entry in scores["sets"] if entry["set"] != "dev"] or scores["sets"]
    last = [entry["results"][-1]["system"] for entry in sets]
    lines = [
        next(line for line in entry["results"] if line["system"] == name)
        for entry, name in zip(sets, last, strict=True)
    ]
    values = [float(line["scores"][metric]["value"]) for line in lines]
    return Iteration(
        about["number"],
        run.resolve().name,
        about["date"],
        about["note"],
        _changes(other, folder) if other is not None else [],
        metric,
        sum(values) / len(values),
        _gains(before, folder) if before is not None else [],
        Cost(**about["cost"]),
        " ".join(sorted(entry["source_digest"] + entry["reference_digest"] for entry in sets)),
    )


def _changes(before: Path, folder: Path) -> list[dict[str, str]]:
    try:
        return changes(*(Recipe.load(place / "recipe.lock.yaml") for place in (before, folder)))
    except RecipeError:  # of another version: what it said then cannot be read now
        return [{"key": "(a recipe of another version, which cannot be read)", "first": "", "second": ""}]


def _gains(before: Path, folder: Path) -> list[dict[str, Any]]:
    """Tested once, and kept."""
    path = folder / _GAINS
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["before"] == before.name:
            return list(kept["gains"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        tables = compare([before, folder]).tables
    except DataError:  # no test set in common
        tables = []
    found = [
        {"set": table.name, "direction": table.direction, "segments": table.segments, **_gain(pair)}
        for table in tables
        for pair in table.pairs
        if (pair.first, pair.second) == (before.name, folder.name)
    ]
    write_json(path, {"before": before.name, "gains": found})
    return found


def _gain(pair: Pair) -> dict[str, Any]:
    return {
        "metric": pair.metric,
        "gain": pair.gain,
        "low": pair.low,
        "high": pair.high,
        "p_randomisation": pair.corrected_randomisation,
        "significant": pair.significant,
    }


def _told(one: Iteration, several: bool) -> str:
    head = (
        f"{f'{one.run} ' if several else ''}{one.number}  {one.date[:16].replace('T', ' ')}  {one.note or '(no note)'}"
    )
    lines = [head + ("  <- chosen" + (f": {one.why}" if one.why else "") if one.chosen else "")]
    for change in one.changes:
        first, second = change["first"] or "(default)", change["second"] or "(default)"
        lines.append(f"  changed: {change['key']}: {first} -> {second}")
    for gain in one.gains:
        if gain["metric"] == one.metric:
            verdict = ("better" if gain["gain"] > 0 else "worse") if gain["significant"] else "no difference shown"
            lines.append(
                f"  {gain['set']} {gain['direction']}: {TITLES[gain['metric']]} {gain['gain']:+z.2f} "
                f"[{gain['low']:+z.2f}, {gain['high']:+z.2f}], {p_text(gain['p_randomisation'])}, {verdict} "
                f"({gain['segments']} segments, paired approximate randomisation)"
            )
    lines.append(f"  cost: {_cost(one.cost)}")
    return "\n".join(lines)


def _cost(cost: Cost) -> str:
    price = "" if cost.price is None else f", {figure(cost.price, 2)} {cost.currency}"
    return f"{figure(cost.seconds / 60, 1)} min, {figure(cost.kwh * 1000, 1)} Wh {cost.how}{price}"


def _front(found: Sequence[Iteration], several: bool) -> str:
    rows = [["", "quality", "minutes", "Wh", ""]]
    for one in found:
        name = f"{one.run} {one.number}" if several else str(one.number)
        marks = [*(["best quality for its cost"] if one.best else []), *(["chosen"] if one.chosen else [])]
        quality = f"{TITLES[one.metric]} {one.quality:.2f}"
        rows.append([name, quality, figure(one.cost.seconds / 60, 1), figure(one.cost.kwh * 1000, 1), ", ".join(marks)])
    text = grid(rows)
    if len({one.sets for one in found}) > 1:
        text += "\nThe iterations have different test sets; each is held against those that share its own."
    return text

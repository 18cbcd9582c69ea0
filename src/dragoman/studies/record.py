"""What a study has found, from the folders of its runs: one record, from which every table and figure is made."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.changes import changes
from dragoman.core.scores import curves, multiple
from dragoman.core.scores.metrics import BETTER, TITLES, segments
from dragoman.core.scores.scoring import TestSettings
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.report.folders import Phase, RunFolder
from dragoman.store.run.artifact import versions, write_atomic, write_json
from dragoman.studies import multiple_choice
from dragoman.studies.arms import COST, Arm, Outcome

RECORD, SCORES, CONTRASTS = "study.json", "scores.csv", "contrasts.csv"
_TELLING, _RANDOM = 5, 3  # segments that are shown: those on which the arms differ most, and some drawn
_POINTS = 300  # of a curve

Runs = Mapping[str, Mapping[int, RunFolder]]  # by arm and seed: those that are finished


def make(
    base: Recipe, arms: Sequence[Arm], outcomes: Sequence[Outcome], out: Path, listener: Listener
) -> dict[str, Any]:
    """Compare the arms, write study.json and its tables as CSV, and return the record (docs/study.md).

    Raises DataError when no arm is finished, with what became of each.
    """
    runs: dict[str, dict[int, RunFolder]] = {}
    for outcome in outcomes:
        if not outcome.failed:
            runs.setdefault(outcome.arm, {})[outcome.seed] = RunFolder.read(outcome.folder)
    if not runs:
        told = "\n".join(f"  {o.arm} seed {o.seed}: {o.failed}" for o in outcomes)
        raise DataError(f"no arm of the study is finished:\n{told}")
    settings = base.evaluate
    protocol = (
        TestSettings(settings.bootstrap, settings.randomisation, settings.confidence) if settings else TestSettings()
    )
    sets, left_out = _sets(runs, protocol, base.seed, listener)
    found = {
        "format": 1,
        "name": base.name,
        "protocol": {**asdict(protocol), "level": multiple.LEVEL},
        "seeds": sorted({outcome.seed for outcome in outcomes}),
        "arms": [_arm(arm, base, [o for o in outcomes if o.arm == arm.name], runs, out) for arm in arms],
        "sets": sets,
        "left_out": left_out,
        "ablations": [
            {"first": a.name, "second": b.name, "changes": changes(a.recipe, b.recipe)}
            for a, b in itertools.combinations(arms, 2)
        ],
        "curves": [_curves(arm, seed, run) for arm, found in runs.items() for seed, run in found.items() if run.phases],
        "versions": versions(),
    }
    write_json(out / RECORD, found)
    write_atomic(out / SCORES, _scores_csv(found).encode())
    write_atomic(out / CONTRASTS, _contrasts_csv(found).encode())
    return found


# ---------------------------------------------------------------- scores


def _sets(runs: Runs, protocol: TestSettings, seed: int, listener: Listener) -> tuple[list[dict[str, Any]], list[str]]:
    """Every set that all runs have, with the same sources and references; of the others, why not."""
    entries: dict[tuple[str, str], dict[tuple[str, int], Mapping[str, Any]]] = {}
    for arm, found in runs.items():
        for number, run in found.items():
            for entry in (run.scores or {})["sets"]:
                entries.setdefault((entry["set"], entry["direction"]), {})[arm, number] = entry
    total = sum(len(found) for found in runs.values())
    sets, left_out = [], []
    for done, ((name, direction), here) in enumerate(entries.items(), start=1):
        texts = {(entry["source_digest"], entry["reference_digest"]) for entry in here.values()}
        if len(here) < total:
            missing = [f"{a} seed {s}" for a, found in runs.items() for s in found if (a, s) not in here]
            left_out.append(f"{name} {direction} is left out: not in {', '.join(missing)}")
        elif len(texts) > 1:
            left_out.append(f"{name} {direction} is left out: its segments are not the same in all arms")
        else:
            sets.append(_set(name, direction, here, runs, protocol, seed))
        listener.progress("study: tests", done, len(entries))
    return sets, left_out


def _set(
    name: str,
    direction: str,
    entries: Mapping[tuple[str, int], Mapping[str, Any]],
    runs: Runs,
    protocol: TestSettings,
    seed: int,
) -> dict[str, Any]:
    """One set: scores with letters and contrasts by metric, and samples."""
    rows = {key: _outputs(entry, runs[key[0]][key[1]], key) for key, entry in entries.items()}
    first = next(iter(entries.values()))
    language = Direction.parse(direction).target
    metrics = [m for m in BETTER if all(m in entry["results"][0]["scores"] for entry in entries.values())]
    scores, contrasts, signatures = {}, {}, {}
    for metric in metrics:
        counted = {
            arm: [
                segments(
                    metric, [r["hypothesis"] for r in rows[arm, s]], [r["reference"] for r in rows[arm, s]], language
                )
                for s in found
            ]
            for arm, found in runs.items()
        }
        estimates, tested, letters = multiple.compare(counted, protocol)
        scores[metric] = {arm: {**e.to_json(), "letters": letters[arm]} for arm, e in estimates.items()}
        contrasts[metric] = [contrast.to_json() for contrast in tested]
        signatures[metric] = next(iter(counted.values()))[0].signature
    return {
        "set": name,
        "direction": direction,
        "segments": first["segments"],
        "overlap": {f"{arm} seed {s}": entry["overlap"]["segments"] for (arm, s), entry in entries.items()},
        "scores": scores,
        "untouched": _untouched(entries, metrics),
        "contrasts": contrasts,
        "signatures": signatures,
        "closed": multiple_choice.compare(entries, runs, protocol),
        "samples": _samples({arm: rows[arm, next(iter(found))] for arm, found in runs.items()}, seed),
    }


def _untouched(entries: Mapping[tuple[str, int], Mapping[str, Any]], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """The base of every arm before its training, where no arm is that base itself: arms whose bases translate alike share a
    row. Each has its arms, its scores, and each arm's gain over it by the paired test of that arm's first seed."""
    found: dict[str, dict[str, Any]] = {}
    alone: set[str] = set()  # what the untrained arms translate like
    seen: set[str] = set()
    for (arm, _), entry in entries.items():
        first, last = entry["results"][0], entry["results"][-1]
        if arm in seen or first["kind"] != "model":
            continue
        seen.add(arm)
        values = {metric: first["scores"][metric] for metric in metrics}
        key = json.dumps({metric: score["value"] for metric, score in values.items()})
        if first["system"] == last["system"]:
            alone.add(key)
            continue
        own = next(line for line in entry["results"] if line["system"] == last["system"])
        row = found.setdefault(key, {"arms": [], "scores": {}, "gains": {}})
        row["arms"].append(arm)
        row["scores"] = {m: {part: score[part] for part in ("value", "low", "high")} for m, score in values.items()}
        row["gains"][arm] = {
            metric: {"gain": gain["gain"], "p": gain["p_randomisation"]}
            for metric, gain in own["gains"].items()
            if metric in metrics
        }
    return [row for key, row in found.items() if key not in alone]


def _outputs(entry: Mapping[str, Any], run: RunFolder, key: tuple[str, int]) -> list[dict[str, Any]]:
    """The translations of the run's last system with its first decoding."""
    last = entry["results"][-1]["system"]
    line = next(line for line in entry["results"] if line["system"] == last)
    rows = run.outputs(line["file"])
    if len(rows) != entry["segments"]:
        raise DataError(
            f"{run.folder}: evaluate/{line['file']} of {key[0]} is incomplete. Delete it and run the study again."
        )
    return rows


def _samples(rows: Mapping[str, Sequence[Mapping[str, Any]]], seed: int) -> list[dict[str, Any]]:
    """Segments side by side, of each arm's first seed."""
    chrf = np.array([[row["chrf"] for row in found] for found in rows.values()])
    telling = np.argsort(-(chrf.max(axis=0) - chrf.min(axis=0)), kind="stable")[:_TELLING].tolist()
    drawn = [int(i) for i in np.random.default_rng(seed).permutation(chrf.shape[1]) if i not in telling][:_RANDOM]
    first = next(iter(rows.values()))
    return [
        {
            "number": number,
            "chosen": "telling" if number in telling else "random",
            "source": first[number]["source"],
            "reference": first[number]["reference"],
            "arms": {
                arm: {"text": found[number]["hypothesis"], "chrf": found[number]["chrf"]} for arm, found in rows.items()
            },
        }
        for number in [*telling, *sorted(drawn)]
    ]


# ---------------------------------------------------------------- arms


def _arm(arm: Arm, base: Recipe, outcomes: Sequence[Outcome], runs: Runs, out: Path) -> dict[str, Any]:
    finished = runs.get(arm.name, {})
    return {
        "name": arm.name,
        "changes": changes(base, arm.recipe),
        "runs": [
            {"seed": o.seed, "folder": o.folder.relative_to(out).as_posix(), "failed": o.failed or None}
            for o in outcomes
        ],
        "rows": next((dict(run.prepare["rows"]) for run in finished.values() if run.prepare), {}),
        "parameters": next((run.facts("model").get("parameters") for run in finished.values()), None),
        "cost": _cost(list(finished.values())),
    }


def _cost(runs: Sequence[RunFolder]) -> dict[str, float | None]:
    """Means over the seeds. What all arms share (texts, base) is in none of them."""
    costs = [json.loads(path.read_text(encoding="utf-8")) for run in runs if (path := run.folder / COST).is_file()]
    phases = [[p for p in run.facts("train").get("phases", []) if "operation" not in p] for run in runs]
    joules = [cost["joules"] for cost in costs]

    def mean(values: Sequence[float]) -> float | None:
        return round(float(np.mean(values)), 1) if values else None

    return {
        "seconds": mean([cost["seconds"] for cost in costs]),
        "train_seconds": mean([sum(phase["seconds"] for phase in found) for found in phases]),
        "tokens": mean([sum(phase["tokens"] for phase in found) for found in phases]),
        "target_tokens": mean([sum(phase["target_tokens"] for phase in found) for found in phases]),
        "trainable": mean([max((phase["trainable"] for phase in found), default=0) for found in phases]),
        "joules": mean(joules) if joules and None not in joules else None,
    }


def _curves(arm: str, seed: int, run: RunFolder) -> dict[str, Any]:
    """The run's curves, thinned, phases one after another, and what each phase's curve says."""
    train: list[list[float]] = []
    dev: list[list[float | None]] = []
    readings, start = [], 0.0
    for phase in run.phases:
        curve = curves.Curve.read(phase.steps, phase.evaluations)
        readings += [{"phase": phase.name, **reading.to_json()} for reading in curves.read(curve)]
        train += [[start + step, loss] for step, loss in curve.train.tolist()]
        dev += [[start + step, loss, None if isnan(chrf) else chrf] for step, loss, chrf in curve.dev.tolist()]
        start += _length(phase)
    every = max(1, len(train) // _POINTS)
    return {"arm": arm, "seed": seed, "train": train[::every], "dev": dev, "readings": readings}


def _length(phase: Phase) -> float:
    return max((float(event["step"]) for event in phase.steps), default=0.0)


# ---------------------------------------------------------------- tables


def _scores_csv(found: Mapping[str, Any]) -> str:
    rows = [["set", "direction", "metric", "arm", "value", "low", "high", "spread", "letters", "seeds"]]
    for entry in found["sets"]:
        by_title = {TITLES[metric]: arms for metric, arms in entry["scores"].items()}
        for row in entry["untouched"]:
            for metric, score in row["scores"].items():
                figures = [f"{score[key]:.4f}" for key in ("value", "low", "high")]
                name = f"untouched base of {', '.join(row['arms'])}"
                rows.append([entry["set"], entry["direction"], TITLES[metric], name, *figures, "", "", ""])
        if entry["closed"]:
            by_title |= {f"accuracy {way}": arms for way, arms in entry["closed"]["accuracy"].items()}
        for title, arms in by_title.items():
            for arm, score in arms.items():
                values = " ".join(f"{value:.4f}" for value in score["seeds"])
                spread = "" if score["spread"] is None else f"{score['spread']:.4f}"
                figures = [f"{score[key]:.4f}" for key in ("value", "low", "high")]
                letters = score.get("letters", "")  # arms are not tested by accuracy
                rows.append([entry["set"], entry["direction"], title, arm, *figures, spread, letters, values])
    return _csv(rows)


def _contrasts_csv(found: Mapping[str, Any]) -> str:
    names = ("gain", "low", "high", "p_bootstrap", "p_randomisation", "p")
    rows = [["set", "direction", "metric", "first", "second", *names, "significant"]]
    for entry in found["sets"]:
        for metric, contrasts in entry["contrasts"].items():
            for c in contrasts:
                figures = [f"{c[name]:.6f}" for name in names]
                verdict = "yes" if c["significant"] else "no"
                rows.append(
                    [entry["set"], entry["direction"], TITLES[metric], c["first"], c["second"], *figures, verdict]
                )
    return _csv(rows)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()

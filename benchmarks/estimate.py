"""The expected score without references: `python benchmarks/estimate.py --circle OUT`, after `benchmarks/circle.py --out OUT`.

50 windows are drawn from what that run translated, Tatoeba (its own kind) and medical text (another) in shares from 0 to 100 %.
Of each: the score that the monitor would expect, the true one, what "as on the held-out set" would say, and whether the monitor
stands by its number. The record goes to benchmarks/results/estimate.json.

The score is the mean chrF2++ of segments. The true one is of greedy translations; where those went round in circles the ledger
has the confidence of a second attempt.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sql

from dragoman.core.scores.metrics import segments
from dragoman.core.watch.drift import Sample, compare
from dragoman.core.watch.estimate import estimate
from dragoman.store.ledger import Ledger
from dragoman.store.run.artifact import versions
from dragoman.store.run.baseline import Baseline
from dragoman.store.run.watch import trusted

RESULTS = Path(__file__).parent / "results"
WAY, WINDOW = "en-fr", 250


@dataclass(frozen=True, slots=True)
class Domain:
    """Segments that have a confidence: features, confidence, true score."""

    sample: Sample
    confidence: np.ndarray
    score: np.ndarray


def domain(run: Path, pairs: Sequence[tuple[str, str]], outputs: Sequence[str]) -> Domain:
    """What the run's ledger has of these sources, which were translated in this order."""
    with Ledger.open(run / "ledger.sqlite", create=False) as ledger, ledger.engine.connect() as connection:
        events = connection.execute(sql.text("SELECT id, characters, confidence FROM events ORDER BY id")).all()
        window = ledger.window(Baseline.read(run).model, WAY, most=len(events))
    held = {number: place for place, number in enumerate(window.ids)}
    texts = iter(enumerate(pairs))
    rows: list[tuple[int, int, float]] = []  # place in the window, in the pairs, confidence
    for event in events:
        number = next((number for number, (source, _) in texts if len(source) == event.characters), None)
        if number is not None and event.confidence is not None and event.id in held:
            rows.append((held[event.id], number, event.confidence))
    places, numbers = [row[0] for row in rows], [row[1] for row in rows]
    found = window.sample
    score = segments("chrf", [outputs[one] for one in numbers], [pairs[one][1] for one in numbers], "fr").single
    sample = Sample(found.features[places], found.sketches[places], [found.unknown[place] for place in places])
    return Domain(sample, np.array([row[2] for row in rows]), np.asarray(score))


def mixed(parts: Sequence[Domain], counts: Sequence[int], random: np.random.Generator) -> Domain:
    drawn = [random.choice(len(one.score), count, replace=False) for one, count in zip(parts, counts, strict=True)]
    samples = [one.sample for one in parts]
    return Domain(
        Sample(
            np.concatenate([one.features[rows] for one, rows in zip(samples, drawn, strict=True)]),
            np.concatenate([one.sketches[rows] for one, rows in zip(samples, drawn, strict=True)]),
            [one.unknown[row] for one, rows in zip(samples, drawn, strict=True) for row in rows],
        ),
        np.concatenate([one.confidence[rows] for one, rows in zip(parts, drawn, strict=True)]),
        np.concatenate([one.score[rows] for one, rows in zip(parts, drawn, strict=True)]),
    )


def told(rows: Sequence[dict[str, float | bool]]) -> dict[str, float | int]:
    if not rows:
        return {"windows": 0}
    error = {
        name: float(np.mean([abs(one[name] - one["true"]) for one in rows])) for name in ("estimated", "unchanged")
    }
    inside = float(np.mean([one["low"] <= one["true"] <= one["high"] for one in rows]))
    return {
        "windows": len(rows),
        **{f"{name} off by": round(value, 2) for name, value in error.items()},
        "in interval": inside,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--circle", type=Path, required=True)
    arguments.add_argument("--windows", type=int, default=50)
    given = arguments.parse_args()
    steps = given.circle / "steps"
    outputs = json.loads((steps / "before.json").read_text(encoding="utf-8"))["outputs"]
    sets = json.loads((steps / "sets.json").read_text(encoding="utf-8"))
    parts = [
        domain(given.circle / run, [tuple(pair) for pair in sets[name]], outputs[name])
        for name, run in (("Tatoeba", "peace"), ("medical", "used"))
    ]
    baseline = Baseline.read(given.circle / "base")
    normal, pairs = baseline.sample(WAY), [(float(a), float(b)) for a, b in baseline.facts[WAY]["held_out"]]
    random = np.random.default_rng(7)
    rows = []
    for number in range(given.windows):
        share = round(10 * number / max(1, given.windows - 1)) / 10
        foreign = round(WINDOW * share)
        window = mixed(parts, [WINDOW - foreign, foreign], random)
        found = compare(normal, window.sample, seed=number)
        made = estimate(window.confidence.tolist(), pairs)
        assert made is not None
        made = made if trusted(found) else made.doubted()
        true = float(window.score.mean())
        about = {"estimated": made.value, "low": made.low, "high": made.high, "true": true, "unchanged": made.normal}
        rows.append({"medical": share, **{k: round(v, 2) for k, v in about.items()}, "trusted": trusted(found)})
        print(rows[-1], flush=True)
    record = {
        "command": "python benchmarks/estimate.py --circle OUT",
        "versions": versions(),
        "segments": {"window": WINDOW, "Tatoeba": len(parts[0].score), "medical": len(parts[1].score)},
        "all": told(rows),
        "trusted": told([one for one in rows if one["trusted"]]),
        "refused": told([one for one in rows if not one["trusted"]]),
        "by share of medical text": {
            str(share): {**told(held), "refused": sum(not one["trusted"] for one in held)}
            for share in sorted({one["medical"] for one in rows})
            if (held := [one for one in rows if one["medical"] == share])
        },
        "rows": rows,
    }
    (RESULTS / "estimate.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(
        json.dumps({name: record[name] for name in ("all", "trusted", "refused", "by share of medical text")}, indent=1)
    )


if __name__ == "__main__":
    main()

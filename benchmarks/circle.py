"""The whole circle on real text: `python benchmarks/circle.py --data ../shared/data --out OUT`.

A small run on Tatoeba en-fr meets medical text (EMEA). Does the monitor see it? 500 post-edits (the references) come back, of
segments that `pick` chose and of segments drawn at random; each arm is refreshed. chrF2++ before and after on medical text that
nobody has seen and on Tatoeba's test set, with paired tests; what the gate says; time and energy.
The record goes to benchmarks/results/circle.json.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dragoman import pick, pipeline, refresh
from dragoman.assistant import Assistant
from dragoman.cli.terminal import screen
from dragoman.core.recipe import Recipe
from dragoman.core.scores.metrics import segments
from dragoman.core.scores.statistics import differences
from dragoman.core.text.languages import Direction
from dragoman.core.watch.feedback import Edit
from dragoman.store.run import promotion
from dragoman.store.run.artifact import versions, write_json
from dragoman.store.run.costs import read, total
from dragoman.store.run.feedback import Desk
from dragoman.store.run.watch import watch
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"
WAY = Direction("en", "fr")
RECIPE = """
name: base
pairs: [en-fr]
seed: 7
prepare:
  parallel:
    - {path: DATA/tatoeba/train.en-fr.tsv.gz, quoting: none, limit: 40000}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev, limit: 300}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test, limit: 500}
model: {new: {hidden: 128, layers: 4, heads: 4, feed_forward: 384, vocabulary: 8000, context: 256}}
plan: {threads: 1}
train:
  - sft: {tokens: 1M, optimiser: muon, learning_rate: 6e-3, dropout: 0.1, label_smoothing: 0.1, batch_tokens: 2048, evaluate_sentences: 50, evaluate_every: 200}
evaluate: {sets: [dev, test]}
monitor: {feedback: {trusted: [people]}}
"""
Pair = tuple[str, str]


def medical(path: Path) -> list[Pair]:
    """Pairs that fit the small model's context, each source once."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return list({row["source"]: row["target"] for row in rows if 15 <= len(row["source"]) <= 200}.items())


def scored(before: list[str], after: list[str], references: list[str]) -> dict[str, float]:
    old, new = (segments("chrf", texts, references, "fr") for texts in (before, after))
    [found] = differences([(old, new)])
    return {
        "before": round(old.score.value, 2),
        "after": round(new.score.value, 2),
        "gain": round(found.gain, 2),
        "low": round(found.interval.low, 2),
        "high": round(found.interval.high, 2),
        "p": found.p_randomisation,
    }


def translated(run: Path, sources: list[str]) -> list[str]:
    return [one.text for one in Translator.load(run, threads=1).translate(sources, WAY)]


def copied(base: Path, arm: Path) -> Path:
    """The run once more, for an arm of its own."""
    shutil.rmtree(arm, ignore_errors=True)
    shutil.copytree(base, arm, ignore=shutil.ignore_patterns("ledger.sqlite*", "memory", "refreshes", "audit.jsonl"))
    return arm


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--edits", type=int, default=500)
    arguments.add_argument("--pool", type=int, default=1_000)
    arguments.add_argument("--test", type=int, default=300)
    given = arguments.parse_args()
    show = screen(sys.stderr, as_json=False, quiet=False)
    base = given.out / "base"
    base.mkdir(parents=True, exist_ok=True)
    (base / "recipe.yaml").write_text(RECIPE.replace("DATA", str(given.data.resolve())).lstrip(), encoding="utf-8")
    pipeline.run(Recipe.load(base / "recipe.yaml"), base, listener=show)
    rows = medical(given.data / "medical" / "emea_en-fr_train.tsv.gz")
    order = np.random.default_rng(7).permutation(len(rows)).tolist()
    test = [rows[number] for number in order[: given.test]]
    pool = dict(rows[number] for number in order[given.test : given.test + given.pool])
    with gzip.open(given.data / "tatoeba" / "test.en-fr.tsv.gz", "rt", encoding="utf-8") as stream:
        general = [(a, b) for a, b, *_ in (line.rstrip("\n").split("\t") for line in list(stream)[1:301])]
    sets = {"medical": test, "Tatoeba": general}
    found: dict[str, Any] = {
        "command": "python benchmarks/circle.py",
        "machine": platform.processor() or platform.machine(),
        "versions": versions(),
        "training": total(read(base)).to_json(),
    }

    used = copied(base, given.out / "used")
    with Assistant.load(used, threads=1) as helper:
        helper.translate([a for a, _ in test], WAY, listener=show)
    [seen] = watch(used).directions
    found["drift"] = {
        "drifted": [one.name for one in seen.drifted],
        "expected_chrf": seen.estimate.to_json() if seen.estimate else None,
    }
    before = {name: translated(base, [a for a, _ in pairs]) for name, pairs in sets.items()}

    chooser = copied(base, given.out / "chooser")
    begun = time.perf_counter()
    picks = pick.pick(chooser, [(text, "") for text in pool], WAY, given.edits, samples=2, listener=show)
    found["choice"] = {"seconds": round(time.perf_counter() - begun, 1), "of": len(pool)}
    drawn = list(pool)[: given.edits]
    arms = {"pick": {one.source: one.machine for one in picks.rows}}
    arms["random"] = dict(zip(drawn, translated(base, drawn), strict=True))
    for name, shown in arms.items():
        arm = copied(base, given.out / name)
        edits = [Edit(source, pool[source], WAY, machine, user="people") for source, machine in shown.items()]
        with Desk.open(arm) as desk:
            taken = desk.take(edits)
            said = desk.store.summary(WAY)
        planned = refresh.plan(arm)
        begun = time.perf_counter()
        made = refresh.refresh(arm, anyway=True, listener=show)
        assert made is not None
        after = {kind: translated(made.folder, [a for a, _ in pairs]) for kind, pairs in sets.items()}
        found[name] = {
            "feedback": {**taken.to_json(), "said": said.to_json() if said else None},
            "dry_run": planned.to_json(),
            "seconds": round(time.perf_counter() - begun, 1),
            "cost": total(read(made.folder)).to_json(),
            "gate": made.verdict.to_json(),
            "chrf": {kind: scored(before[kind], after[kind], [b for _, b in pairs]) for kind, pairs in sets.items()},
            "outputs": after,
        }
        try:
            found[name]["promoted"] = promotion.promote(arm)[0].name
        except Exception as error:
            found[name]["promoted"] = f"no: {error}".replace(str(given.out), "OUT")
        print(json.dumps({key: value for key, value in found[name].items() if key != "outputs"}, indent=1), flush=True)
    first, second = found["random"].pop("outputs"), found["pick"].pop("outputs")
    found["pick against random"] = {
        kind: scored(first[kind], second[kind], [b for _, b in pairs]) for kind, pairs in sets.items()
    }
    write_json(RESULTS / "circle.json", found)
    print(json.dumps(found["pick against random"], indent=1))


if __name__ == "__main__":
    main()

"""The whole circle on real text: `python benchmarks/circle.py --data ../shared/data --out OUT`.

A small run on Tatoeba en-fr meets medical text (EMEA). Does the monitor see it? 500 post-edits (the references) come back through
`feedback import`, of segments that `pick` chose and of segments drawn at random; each arm is refreshed by its command. chrF2++ and
BLEU before and after on medical text that nobody has seen and on Tatoeba, with paired tests; what the gate says; time and energy.
`--arm NAME=OVERRIDES` refreshes the edits of `pick` once more by another rule: `--arm 'replay 8={replay: 8}'`.
A step that is finished stands in OUT/steps and is not done again. The record goes to benchmarks/results/circle.json.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dragoman import pipeline
from dragoman.assistant import Assistant
from dragoman.cli.terminal import screen
from dragoman.core.recipe import Recipe
from dragoman.core.scores.metrics import segments
from dragoman.core.scores.statistics import differences
from dragoman.core.text.languages import Direction
from dragoman.store.run.artifact import versions, write_json
from dragoman.store.run.costs import read, total
from dragoman.store.run.watch import watch
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"
WAY = Direction("en", "fr")
DOCUMENT = 20  # segments; a share of documents is kept for testing
RECIPE = """
name: base
pairs: [en-fr]
seed: 7
prepare:
  parallel:
    - {path: DATA/tatoeba/train.en-fr.tsv.gz, quoting: none, limit: 100000}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev, limit: 300}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test, limit: 500}
  deduplicate: {exact: true, near: null}
  holdout: {near: null}
model: {new: {hidden: 128, layers: 4, heads: 4, feed_forward: 384, vocabulary: 8000, context: 256}}
plan: {threads: 1}
train:
  - sft: {tokens: 1200k, optimiser: muon, learning_rate: 7e-3, schedule: linear, compile: true, dropout: 0.1, label_smoothing: 0.1, batch_tokens: 1024, accumulation: 3, evaluate_sentences: 50, evaluate_every: 400}
evaluate: {sets: [dev, test]}
log: {kwh: 0.3, currency: EUR}
monitor: {feedback: {trusted: [people]}}
"""
Pair = tuple[str, str]


class Steps:
    """What is done stands in a file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        if not path.is_file():
            begun = processor_seconds()
            made = work()
            write_json(path, {**made, "processor_seconds": round(processor_seconds() - begun, 1)})
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        print(name, json.dumps(shown(found), ensure_ascii=False), flush=True)
        return found


def shown(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "outputs"}


def processor_seconds() -> float:
    """Of this process and its ended children."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def command(*words: object, allowed: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """What `dragoman ... --json` says last."""
    done = subprocess.run(
        [sys.executable, "-m", "dragoman", *map(str, words), "--json"],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode not in allowed:
        raise SystemExit(f"dragoman {' '.join(map(str, words))}: {done.returncode}\n{done.stderr[-3000:]}")
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {**said[-1], "code": done.returncode} if said else {"code": done.returncode}


def rows_of(path: Path, longest: int = 10_000) -> list[Pair]:
    """Pairs, each source once; a row is a line, and one with a quotation mark that nothing closes is left out."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        head, *rows = (next(csv.reader([line], delimiter="\t")) for line in stream)
    source, target = head.index("source"), head.index("target")
    whole = (row for row in rows if len(row) == len(head))
    return list({row[source]: row[target] for row in whole if 15 <= len(row[source]) <= longest}.items())


def scored(before: list[str], after: list[str], references: list[str]) -> dict[str, dict[str, float]]:
    found = {}
    for metric in ("chrf", "bleu"):
        old, new = (segments(metric, texts, references, "fr") for texts in (before, after))
        [test] = differences([(old, new)])
        found[metric] = {
            "before": round(old.score.value, 2),
            "after": round(new.score.value, 2),
            "gain": round(test.gain, 2),
            "low": round(test.interval.low, 2),
            "high": round(test.interval.high, 2),
            "p": test.p_randomisation,
        }
    return found


def translated(run: Path, sets: dict[str, list[Pair]]) -> dict[str, list[str]]:
    model = Translator.load(run, threads=1)
    return {name: [one.text for one in model.translate([a for a, _ in held], WAY)] for name, held in sets.items()}


def copied(base: Path, arm: Path, rules: dict[str, Any] | None = None) -> Path:
    """The run once more, for an arm of its own, with other rules of its refresh."""
    shutil.rmtree(arm, ignore_errors=True)
    shutil.copytree(base, arm, ignore=shutil.ignore_patterns("memory", "refreshes", "audit.jsonl", "*.lock"))
    for name in ("recipe.yaml", "recipe.lock.yaml"):
        if rules and (arm / name).is_file():
            recipe = yaml.safe_load((arm / name).read_text(encoding="utf-8"))
            recipe["monitor"]["refresh"] = {**recipe["monitor"].get("refresh", {}), **rules}
            (arm / name).write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return arm


def drift(run: Path, sources: Sequence[str]) -> dict[str, Any]:
    """What the monitor finds once these were translated."""
    with Assistant.load(run, threads=1) as helper:
        helper.translate(sources, WAY)
    [seen] = watch(run).directions
    return {
        "segments": seen.segments,
        "drifted": [one.name for one in seen.drifted],
        "expected": seen.estimate.to_json() if seen.estimate else None,
    }


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(rows)


def refreshed(arm: Path, sets: dict[str, list[Pair]], before: dict[str, list[str]]) -> dict[str, Any]:
    """What the command made of the arm's edits, and its translations."""
    planned = command("refresh", arm, "--dry-run")
    made = command("refresh", arm)
    after = translated(Path(made["folder"]), sets)
    promoted = command("promote", arm, allowed=(0, 7))
    cost = total(read(Path(made["folder"])))
    return {
        "dry_run": {name: planned[name] for name in ("due", "why", "edits", "tests", "replay")},
        "gate": {name: made[name] for name in ("passed", "against", "sets")},
        "promoted": promoted["code"] == 0,
        "cost": cost.to_json(),
        "scores": {kind: scored(before[kind], after[kind], [b for _, b in pairs]) for kind, pairs in sets.items()},
        "outputs": after,
    }


class Circle:
    """The steps, each from what the earlier ones left."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.out, self.given = given.out, given
        self.step = Steps(given.out / "steps")
        rows = rows_of(given.data / "medical" / "emea_en-fr_train.tsv.gz", 200)
        order = np.random.default_rng(7).permutation(len(rows)).tolist()
        general = rows_of(given.data / "tatoeba" / "test.en-fr.tsv.gz")
        self.sets = {"medical": [rows[number] for number in order[: given.test]], "Tatoeba": general[-given.test :]}
        self.pool = dict(rows[number] for number in order[given.test : given.test + given.pool])
        write_json(given.out / "steps" / "sets.json", self.sets)  # for estimate.py
        self.base, self.used = self.out / "base", self.out / "used"

    def train(self) -> dict[str, Any]:
        recipe = RECIPE.replace("DATA", str(self.given.data.resolve())).lstrip()
        self.base.mkdir(parents=True, exist_ok=True)
        (self.base / "recipe.yaml").write_text(recipe, encoding="utf-8")
        show = screen(sys.stderr, as_json=False, quiet=False)
        pipeline.run(Recipe.load(self.base / "recipe.yaml"), self.base, listener=show)
        return {"cost": total(read(self.base)).to_json()}

    def watch(self) -> dict[str, Any]:
        peace = copied(self.base, self.out / "peace")
        control = drift(peace, [a for a, _ in self.sets["Tatoeba"]])
        return {
            "Tatoeba": control,
            "medical": drift(copied(self.base, self.used), [a for a, _ in self.sets["medical"]]),
        }

    def pick(self) -> dict[str, Any]:
        """The pool in documents; what `pick` chose, with the references in the place of a person's edits."""
        folder, chooser = self.out / "new", copied(self.used, self.out / "chooser")
        folder.mkdir(exist_ok=True)
        texts = list(self.pool)
        for start in range(0, len(texts), DOCUMENT):
            write_table(folder / f"{start:05}.tsv", [["source"], *([text] for text in texts[start : start + DOCUMENT])])
        picked = self.out / "picked.tsv"
        told = command("pick", chooser, folder, "--rows", self.given.edits, "--samples", 2, "--out", picked)
        with picked.open(encoding="utf-8", newline="") as stream:
            head, *rows = list(csv.reader(stream, delimiter="\t"))
        plain = {" ".join(source.split()): target for source, target in self.pool.items()}
        write_table(self.out / "pick.tsv", [head, *([row[0], plain[row[0]], *row[2:]] for row in rows)])
        return {"of": told["read"], "left_out": told["left_out"], "rows": len(rows)}

    def draw(self) -> dict[str, Any]:
        drawn = list(self.pool.items())[: self.given.edits]
        [machine] = translated(self.base, {"drawn": drawn}).values()
        rows = [
            [a, b, said, f"{number // DOCUMENT:05}"]
            for number, ((a, b), said) in enumerate(zip(drawn, machine, strict=True))
        ]
        write_table(self.out / "random.tsv", [["source", "target", "machine", "document"], *rows])
        return {"rows": len(rows)}

    def arm(self, name: str, edits: str, rules: dict[str, Any] | None, before: dict[str, list[str]]) -> dict[str, Any]:
        arm = copied(self.used, self.out / "arms" / name.replace(" ", "-"), rules)
        taken = command("feedback", "import", arm, self.out / f"{edits}.tsv", "--user", "people")
        taken = {key: taken[key] for key in ("accepted", "waiting", "parts", "rejected", "without_machine")}
        return {"rules": rules or {}, "feedback": taken, **refreshed(arm, self.sets, before)}

    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "command": "python benchmarks/circle.py " + " ".join(f"--arm '{one}'" for one in self.given.arm),
            "machine": platform.processor() or platform.machine(),
            "versions": versions(),
            "training": self.step("train", self.train),
            "drift": self.step("drift", self.watch),
        }
        before = self.step("before", lambda: {"outputs": translated(self.base, self.sets)})["outputs"]
        found["choice"] = self.step("pick", self.pick)
        self.step("draw", self.draw)
        arms = {"pick": ("pick", None), "random": ("random", None)}
        for one in self.given.arm:
            name, _, rules = one.partition("=")
            arms[name] = ("pick", yaml.safe_load(rules))
        made = {
            name: self.step(
                f"arm {name}", lambda name=name, edits=edits, rules=rules: self.arm(name, edits, rules, before)
            )
            for name, (edits, rules) in arms.items()
        }
        found["arms"] = {name: shown(one) for name, one in made.items()}
        found["pick against random"] = {
            kind: scored(made["random"]["outputs"][kind], made["pick"]["outputs"][kind], [b for _, b in pairs])
            for kind, pairs in self.sets.items()
        }
        return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--edits", type=int, default=500)
    arguments.add_argument("--pool", type=int, default=1_500)
    arguments.add_argument("--test", type=int, default=500)
    arguments.add_argument("--arm", action="append", default=[], metavar="NAME=RULES")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = Circle(given).run()
    told = json.dumps(found, indent=1, ensure_ascii=False).replace(str(given.out), "OUT")
    (RESULTS / "circle.json").write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

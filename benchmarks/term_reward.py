"""Does reinforcement with a reward for terms raise the terms that are produced, and what does it cost?

    python benchmarks/term_reward.py --data DIR --base runs/preferences/base --out runs/terms

The base is that of preferences.py (Multi30k en-de, 1.88 million parameters; made when it is not there). The glossary is mined from its
training sentences as in adaptive.py; no prompt has a term, so the model has to learn them. Scored on test_2016_flickr, greedily: how
many of the terms that the reference has are in the translation (as they stand or inflected), and chrF2++, BLEU, TER, with paired
bootstraps over sentences (two-sided, 2,000 resamples). The record goes to benchmarks/results/term-reward.json, an entry
for each reward that may stand beside that for terms.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from adaptive import mined
from preferences import AFTER, EN_DE, METRICS, RESULTS, bootstrap, prepared_base, recipe

from dragoman import Translator, pipeline
from dragoman.cli.terminal import screen
from dragoman.core.prompt.terms import Term, obeyed
from dragoman.core.records import Example, Hypothesis
from dragoman.core.scores.flags import Flagger
from dragoman.core.scores.metrics import segments
from dragoman.engine.device import detect
from dragoman.store.corpus import records
from dragoman.store.memory.glossary import Glossary
from dragoman.store.memory.retrieval import Retriever
from dragoman.store.run.artifact import Artifact, versions

PHASE = (
    "reinforce: {method: grpo, steps: STEPS, prompts: 8, group: 8, batch_tokens: 4096, learning_rate: RATE, optimiser: adamw, "
    "rewards: {terms: 1, BESIDE, language: gate, length: gate}, FOCUSglossary: {path: GLOSSARY, terms: 8}, evaluate_every: 100000, "
    "evaluate_sentences: 100, select: last}"
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--base", type=Path, required=True, help="run of the base; trained when it is not there")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=80)
    arguments.add_argument(
        "--beside", choices=("chrf", "bleu", "both"), default="chrf", help="the reward beside that for terms"
    )
    arguments.add_argument("--focus", action="store_true", help="prompts with terms that are now and then unmet")
    arguments.add_argument("--rate", default="2e-4", help="learning rate")
    given = arguments.parse_args()
    listener = screen(sys.stderr, as_json=False, quiet=False)
    texts = prepared_base(given.data, given.base, listener)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "terms.csv"
    terms = mined(list(records.read(texts.folder / "train", Example)), target="de")
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("source", "target"), *((term.source, term.target) for term in terms)])
    phase = (
        PHASE.replace("STEPS", str(given.steps))
        .replace("GLOSSARY", str(path.resolve()))
        .replace("BESIDE", "chrf: 0.5, bleu: 0.5" if given.beside == "both" else f"{given.beside}: 1")
        .replace("FOCUS", "focus: terms, " if given.focus else "")
        .replace("RATE", given.rate)
    )
    rest = AFTER.replace("BASE", str(given.base.resolve())).replace("PHASE", phase)
    begun = time.process_time()
    pipeline.run(
        recipe(given, "rewarded", rest),
        given.out / "rewarded",
        stages=["train"],
        given={"prepare": texts},
        listener=listener,
    )
    note = given.out / "seconds.json"
    if not note.is_file():
        note.write_text(json.dumps(round(time.process_time() - begun, 1)), encoding="utf-8")
    write(given, texts, terms)


def write(given: argparse.Namespace, texts: Artifact, terms: list[Term]) -> None:
    test = list(records.read(texts.folder / "test", Example))
    retriever = Retriever(glossary=Glossary(terms))
    wanted = [retriever.terms(row.source, EN_DE, row.target) for row in test]
    runs = {"base": given.base, "rewarded": given.out / "rewarded"}
    found = {
        name: Translator.load(run, threads=1).translate([row.source for row in test], EN_DE)
        for name, run in runs.items()
    }
    counted = {
        name: np.array([[sum(obeyed(one.text, each)), len(each)] for one, each in zip(made, wanted, strict=True)])
        for name, made in found.items()
    }
    scored = {
        name: {
            metric: segments(metric, [one.text for one in made], [row.target for row in test], "de")
            for metric in METRICS
        }
        for name, made in found.items()
    }
    systems = {name: told(test, made, counted[name], scored[name]) for name, made in found.items()}
    share = {name: 100 * float(rows[:, 0].sum() / rows[:, 1].sum()) for name, rows in counted.items()}
    after = Artifact.load(runs["rewarded"] / "train").facts["phases"][-1]
    record = {
        "command": f"python benchmarks/term_reward.py --steps {given.steps} --beside {given.beside} --rate {given.rate}"
        f"{' --focus' if given.focus else ''}",
        "machine": {"processor": detect().name, "threads": 1},
        "versions": versions(),
        "phase": PHASE,
        "segments": len(test),
        "glossary": len(terms),
        "wanted": {
            "terms": "+5 points",
            "chrf": "no significant loss",
        },
        "terms": {
            "base": round(share["base"], 2),
            "rewarded": round(share["rewarded"], 2),
            "gain": round(share["rewarded"] - share["base"], 2),
            **shares_test(counted["base"], counted["rewarded"]),
        },
        "p": {metric: round(bootstrap(scored["rewarded"][metric], scored["base"][metric]), 4) for metric in METRICS},
        "systems": systems,
        "reinforced": after["reinforced"],
        "processor_seconds": json.loads((given.out / "seconds.json").read_text(encoding="utf-8")),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "term-reward.json"
    every = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    every[f"{given.beside}, focus" if given.focus else given.beside] = record
    path.write_text(json.dumps(every, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    print(record["terms"], record["p"], {name: system["scores"] for name, system in systems.items()})


def told(test: list[Example], made: list[Hypothesis], counts: Any, scored: dict[str, Any]) -> dict[str, Any]:
    flags = Counter(
        flag for row in Flagger(EN_DE, ["en", "de"]).flags([row.source for row in test], made) for flag in row
    )
    return {
        "terms": [int(counts[:, 0].sum()), int(counts[:, 1].sum())],
        "scores": {metric: round(float(found.score.value), 3) for metric, found in scored.items()},
        "length": round(sum(len(one.text) for one in made) / sum(len(row.target) for row in test), 4),
        "flags": dict(flags.most_common()),
    }


def shares_test(one: Any, other: Any, draws: int = 2000, seed: int = 12345) -> dict[str, Any]:
    """Interval (95 %) and two-sided p of the difference in the share of terms, sentences resampled in pairs."""
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(one), np.full(len(one), 1 / len(one)), size=draws)
    shares = [100 * (weights @ rows[:, 0]) / (weights @ rows[:, 1]) for rows in (one, other)]
    differences = shares[1] - shares[0]
    below, above = ((1 + int(side.sum())) / (draws + 1) for side in (differences <= 0, differences >= 0))
    interval = [round(float(value), 2) for value in np.percentile(differences, [2.5, 97.5])]
    return {"interval": interval, "p": round(min(1.0, 2 * min(below, above)), 4)}


if __name__ == "__main__":
    main()

"""Back-translation where there is little: real pairs only against real pairs and tagged back-translations.

    python benchmarks/synthetic.py --data DIR --out runs/synthetic

From tatoeba/train.en-fr.tsv.gz the first 5,000 pairs are the real ones; of all others the French side alone is monolingual
text. A model from scratch learns fr-en from the real pairs and translates the French text back; a second learns en-fr from
the real pairs; a third from the real pairs and the back-translations. The two en-fr models have the same number of
training tokens, and the best step on the dev set is taken of each. Both are scored on tatoeba/test.en-fr.tsv.gz with a
paired test. The record goes to benchmarks/results/synthetic.json.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman import pipeline, report
from dragoman.cli.terminal import screen
from dragoman.core.recipe import Recipe
from dragoman.engine.device import detect
from dragoman.store.run.artifact import versions

RESULTS = Path(__file__).parent / "results"
COMMON = """
name: NAME
pairs: [PAIR]
seed: SEED
prepare:
  parallel:
    - {path: DATA/tatoeba/train.en-fr.tsv.gz, pair: en-fr, quoting: none, limit: PAIRS}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, pair: en-fr, quoting: none, use: dev}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, pair: en-fr, quoting: none, use: test}
  monolingual: {fr: MONO}
model: {new: {hidden: 96, layers: 3, heads: 4, feed_forward: 288, vocabulary: 4000, context: 256}}
"""
SFT = (
    "tokens: TOKENS, optimiser: muon, learning_rate: 8e-3, schedule: linear, dropout: 0.2, label_smoothing: 0.1, "
    "batch_tokens: 640, accumulation: 3, compile: true, evaluate_every: 120, evaluate_sentences: 200"
)
REAL = COMMON + f"train: [{{sft: {{{SFT}}}}}]\n"
MIXED = (
    COMMON
    + """synthesise:
  teachers: {reverse: {run: REVERSE}}
  make: [{back: {teacher: reverse}}]
"""
    + f"train: [{{sft: {{{SFT}, synthetic: {{share: SHARE, tag: true}}}}}}]\n"
)
EVALUATE = "evaluate: {sets: [test]}\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--pairs", type=int, default=5000)
    arguments.add_argument("--mono", type=int, default=20_000)
    arguments.add_argument("--tokens", default="1M", help="training tokens of each model")
    arguments.add_argument("--share", type=float, default=0.7, help="of synthetic rows in the mixture")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[7])
    arguments.add_argument("--record", type=Path, default=RESULTS / "synthetic.json")
    given = arguments.parse_args()
    begun = time.perf_counter()
    given.out.mkdir(parents=True, exist_ok=True)
    mono = given.out / "mono.fr.txt"
    write_monolingual(given.data / "tatoeba" / "train.en-fr.tsv.gz", mono, given.pairs, given.mono)
    record: dict[str, Any] = {
        "command": " ".join(["python benchmarks/synthetic.py", *sys.argv[1:]]),
        "machine": {"processor": detect().name, "threads": detect().threads},
        "versions": versions(),
        "settings": {name: str(getattr(given, name)) for name in ("pairs", "mono", "tokens", "share", "seeds")},
        "recipe": MIXED + EVALUATE,
        "seeds": [],
    }
    for seed in given.seeds:
        record["seeds"].append(one_seed(given, mono, seed))
    record["minutes"] = round((time.perf_counter() - begun) / 60, 1)
    text = json.dumps(record, indent=1, default=str) + "\n"
    for folder, name in ((given.data, "DIR"), (given.out, "runs/synthetic")):
        text = text.replace(str(folder.resolve()), name).replace(str(folder), name)
    given.record.write_text(text, encoding="utf-8")


def write_monolingual(pairs: Path, out: Path, skip: int, count: int) -> None:
    """The French side of the pairs after the first `skip`."""
    with gzip.open(pairs, "rt", encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = [row["target"] for number, row in enumerate(rows) if skip <= number < skip + count]
    out.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")


def one_seed(given: argparse.Namespace, mono: Path, seed: int) -> dict[str, Any]:
    """The three runs, and the paired comparison of the last two."""
    folder = given.out / f"seed-{seed}"
    values = {
        "DATA": str(given.data.resolve()),
        "MONO": str(mono.resolve()),
        "PAIRS": str(given.pairs),
        "TOKENS": given.tokens,
        "SHARE": str(given.share),
        "SEED": str(seed),
        "REVERSE": str((folder / "reverse").resolve()),
    }
    arms = {
        "reverse": (REAL, "fr-en"),
        "real": (REAL + EVALUATE, "en-fr"),
        "mixed": (MIXED + EVALUATE, "en-fr"),
    }
    found: dict[str, Any] = {"seed": seed}
    for name, (template, pair) in arms.items():
        text = template
        for key, value in {**values, "NAME": name, "PAIR": pair}.items():
            text = re.sub(rf"\b{key}\b", value.replace("\\", r"\\"), text)
        run = folder / name
        run.mkdir(parents=True, exist_ok=True)
        (run / "recipe.yaml").write_text(text.lstrip(), encoding="utf-8")
        begun = time.perf_counter()
        recipe = Recipe.load(run / "recipe.yaml")
        done = pipeline.run(recipe, run, listener=screen(sys.stderr, as_json=False, quiet=False))
        found[name] = {"seconds": round(time.perf_counter() - begun, 1), "train": done["train"].facts["phases"]}
        if "synthesise" in done:
            found["synthesise"] = without_texts(done["synthesise"].facts)
        if "evaluate" in done:
            scores = json.loads((done["evaluate"].folder / "scores.json").read_text(encoding="utf-8"))
            found[name]["scores"] = [line["scores"] for entry in scores["sets"] for line in entry["results"]]
    compared = report.compare([folder / "real", folder / "mixed"])
    print(compared)
    found["comparison"] = compared.to_json()
    return found


def without_texts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `synthesise` tells, but for sentences of the data."""
    tasks = [{key: value for key, value in task.items() if key != "samples"} for task in facts["tasks"]]
    return {**{key: value for key, value in facts.items() if key != "examples"}, "tasks": tasks}


if __name__ == "__main__":
    main()

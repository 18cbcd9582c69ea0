"""Does a Bayesian search find more than a random one for the same money?

    python benchmarks/search.py --data DIR --out runs/search

A small recipe (Multi30k, en-de, a model of two layers, 250,000 tokens a trial) is searched over six keys, 20 trials by
Optuna's TPE and 20 at random, none ended early, so that both cost the same number of tokens. Each chooses by one half of
dev; the other half, and test at the very end, tell what the choice was worth. `--seeds 0 1 2` repeats it. The record goes
to benchmarks/results/search.json; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

from dragoman.cli.terminal import screen
from dragoman.core.recipe import Recipe
from dragoman.engine.device import detect
from dragoman.report import search as report
from dragoman.store.run.artifact import versions
from dragoman.studies import search

RESULTS = Path(__file__).parent / "results"
RECIPE = """
name: search-SAMPLER-SEED
pairs: [en-de]
prepare:
  parallel:
    - {path: train.tsv, columns: {target: target_de}, quoting: none}
    - {path: DATA/multi30k/val.tsv.gz, columns: {target: target_de}, quoting: none, use: dev}
  deduplicate: {exact: true, near: null}
  holdout: {test: 0, near: null}
model: {new: {hidden: 96, layers: 2, heads: 4, feed_forward: 256, vocabulary: 4000, context: 128}}
plan: {threads: 1}
train:
  - sft: {tokens: TOKENS, optimiser: adamw, learning_rate: 1e-3, compile: false, evaluate_sentences: 100, evaluate_every: 1000000}
evaluate:
  files:
    - {path: DATA/multi30k/test_2016_flickr.tsv.gz, columns: {target: target_de}, quoting: none}
search:
  space:
    train.0.sft.optimiser: {choice: [adamw, muon]}
    train.0.sft.learning_rate: {log: [3e-4, 5e-2]}
    train.0.sft.batch_tokens: {int: [512, 4096], step: 512}
    train.0.sft.dropout: {uniform: [0, 0.3]}
    train.0.sft.label_smoothing: {choice: [0.0, 0.1, 0.2]}
    train.0.sft.warmup: {uniform: [0, 0.3]}
  trials: TRIALS
  sampler: SAMPLER
  pruner: none
  seed: SEED
  sentences: 250
"""


def one(given: argparse.Namespace, sampler: str, seed: int) -> dict[str, Any]:
    """One search, in a folder of its own; its trials without what the recipe already says."""
    folder = given.out / f"{sampler}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    write_subset(given.data / "multi30k" / "train.tsv.gz", folder / "train.tsv", given.rows)
    text = RECIPE.replace("DATA", str(given.data.resolve())).replace("TOKENS", given.tokens)
    text = text.replace("TRIALS", str(given.trials)).replace("SAMPLER", sampler).replace("SEED", str(seed))
    path = folder / "recipe.yaml"
    path.write_text(text.lstrip(), encoding="utf-8")
    listener = screen(sys.stderr, as_json=False, quiet=False)
    found = search.run(Recipe.load(path), folder / "search", jobs=given.jobs, listener=listener)
    listener.close()
    print(report.table(found), flush=True)
    return {"sampler": sampler, "seed": seed, **{key: found[key] for key in KEPT}}


KEPT = ("best", "own", "optimism", "importance", "cost", "test", "trials")


def write_subset(source: Path, target: Path, rows: int) -> None:
    """The first rows of a file."""
    with gzip.open(source, "rt", encoding="utf-8", newline="") as lines:
        text = "".join(line for line, _ in zip(lines, range(rows + 1), strict=False))
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8", newline="")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--trials", type=int, default=20)
    arguments.add_argument("--tokens", default="250k", help="prompt and target tokens of a trial")
    arguments.add_argument("--rows", type=int, default=10_000, help="training pairs")
    arguments.add_argument("--jobs", type=int, default=1, help="trials at once, one core each")
    arguments.add_argument("--record", type=Path, default=RESULTS / "search.json")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = arguments.parse_args()
    searches = [one(given, sampler, seed) for seed in given.seeds for sampler in ("bayesian", "random")]
    record = {
        "command": f"python benchmarks/search.py --data DIR --out runs/search --trials {given.trials} --tokens {given.tokens} "
        f"--rows {given.rows} --jobs {given.jobs} --seeds {' '.join(map(str, given.seeds))}",
        "machine": {"processor": detect().name, "threads": detect().threads},
        "versions": versions(),
        "recipe": RECIPE.strip(),
        "searches": searches,
    }
    given.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for found in searches:
        best, test = found["best"], [row for row in found["test"] if row["system"] != "baseline"]
        print(
            f"{found['sampler']} {found['seed']}: selection {best['selection']['value']:.2f}, held out "
            f"{best['held_out']['value']:.2f}, optimism {found['optimism']['optimism']:+.2f}, test "
            f"{test[0]['chrf']:.2f} chrF2++; {found['cost']['tokens']:,} tokens, {found['cost']['seconds']:.0f} s"
        )


if __name__ == "__main__":
    main()

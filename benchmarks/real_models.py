"""A real language model, untouched and tuned, on a user's domain: zero-shot and one-shot, with intervals and paired tests.

    python benchmarks/real_models.py --base FOLDER --data DATA --out OUT [--pairs 200] [--tokens 40000]

`--base` is a model folder (Gemma 3 270M made the committed record); `--data` the folder of shared texts, of which
medical/emea_en-fr_train.tsv.gz is read. Prints a table and writes benchmarks/results/real-models.json with `--record`.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from dragoman.cli.terminal import screen
from dragoman.core.recipe import Recipe
from dragoman.pipeline import run

RECIPE = """
name: real
pairs: [en-fr]
seed: 7
prepare:
  parallel: [{{path: "{data}/medical/emea_en-fr_train.tsv.gz", quoting: minimal}}]
  holdout: {{dev: 60, test: {pairs}}}
model: {{base: "{base}"}}
plan: {{threads: {threads}}}
train:
  - sft: {{tokens: {tokens}, batch_tokens: 512, accumulation: 1, learning_rate: 5e-4, shots: {{0: 0.6, 1: 0.4}},
           evaluate_sentences: 16, evaluate_every: 40}}
    adapt: {{method: lora, rank: 16}}
evaluate: {{sets: [test], shots: [0, 1], precision: bf16, max_segments: {pairs}}}
"""


def figures(scores: dict[str, Any]) -> dict[str, Any]:
    """Of the one set: every system's scores, and its gains over the baseline."""
    entry = scores["sets"][0]
    bands = entry["help"]["bands"]
    return {**{key: entry[key] for key in ("set", "direction", "segments", "results")}, "match_bands": bands}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=40_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    text = RECIPE.format(
        data=given.data.resolve(), base=given.base, pairs=given.pairs, tokens=given.tokens, threads=given.threads
    )
    begun = time.perf_counter()
    run(Recipe.parse(text, "real", folder=Path()), given.out, listener=screen(sys.stderr, as_json=False, quiet=False))
    scores = json.loads((given.out / "evaluate" / "scores.json").read_text(encoding="utf-8"))
    record = {
        "base": Path(given.base).name,
        "tokens": given.tokens,
        "seconds": round(time.perf_counter() - begun),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "hardware": scores["hardware"],
        "versions": scores["versions"],
        **figures(scores),
    }
    print(json.dumps(record, indent=1))
    if given.record:
        out = Path(__file__).parent / "results" / "real-models.json"
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

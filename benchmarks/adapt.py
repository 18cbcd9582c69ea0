"""Does tuning adapt, and what is forgotten? A model trained on everyday sentences, tuned on medical text.

    python benchmarks/adapt.py --base runs/tatoeba --data DIR --out runs/adapt

`--base` is the run of benchmarks/quality.py tatoeba (en-fr). It is tuned on medical/emea_en-fr_train.tsv.gz with LoRA and
with all parameters; `evaluate` scores base and tuned model on the held-out medical pairs and on the Tatoeba test set, with
paired tests. The record goes to benchmarks/results/adapt.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from dragoman import pipeline
from dragoman.cli.terminal import screen
from dragoman.core.recipe import Recipe
from dragoman.engine.device import detect
from dragoman.store.run.artifact import versions

RESULTS = Path(__file__).parent / "results"
RECIPE = """
name: medical-METHOD
pairs: [en-fr]
prepare:
  parallel: [{path: DATA/medical/emea_en-fr_train.tsv.gz, quoting: none}]
  holdout: {dev: 300, test: 1000}
model: {base: BASE}
train:
  - sft: {epochs: 6, optimiser: adamw, learning_rate: RATE, dropout: 0.1, batch_tokens: 2048, evaluate_every: 400}
    adapt: ADAPT
evaluate:
  sets: [test]
  files: [{path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none}]
"""
METHODS = {
    "lora": ("{method: lora, rank: 16}", "4e-3"),
    "full": ("full", "1e-3"),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--base", type=Path, required=True)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    record: dict[str, Any] = {
        "command": "python benchmarks/adapt.py --base runs/tatoeba --data DIR --out runs/adapt",
        "machine": {"processor": detect().name, "threads": detect().threads},
        "versions": versions(),
        "runs": {},
    }
    for method, (adapt, rate) in METHODS.items():
        folder = given.out / method
        folder.mkdir(parents=True, exist_ok=True)
        text = RECIPE.replace("METHOD", method).replace("ADAPT", adapt).replace("RATE", rate)
        filled = text.replace("BASE", str(given.base.resolve())).replace("DATA", str(given.data.resolve()))
        (folder / "recipe.yaml").write_text(filled.lstrip(), encoding="utf-8")
        recipe = Recipe.load(folder / "recipe.yaml")
        done = pipeline.run(recipe, folder, listener=screen(sys.stderr, as_json=False, quiet=False))
        record["runs"][method] = {
            "recipe": text.strip(),
            "train": done["train"].facts["phases"],
            "scores": json.loads((done["evaluate"].folder / "scores.json").read_text(encoding="utf-8")),
        }
    RESULTS.mkdir(exist_ok=True)
    told = json.dumps(record, indent=1, default=str).replace(str(given.data.resolve()), "DIR")
    (RESULTS / "adapt.json").write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Quality per minute: a translator from scratch on two processor cores in ten minutes of training.

    python benchmarks/quality.py multi30k --data DIR --out runs/multi30k
    python benchmarks/quality.py tatoeba  --data DIR --out runs/tatoeba

DIR holds multi30k/ and tatoeba/ as tab-separated files (columns source, target_de / source, target). Multi30k is scored on
the official test_2016_flickr and test_2017_flickr, read as they are. The recipe is dragoman's own `run`, nothing special;
the record goes to benchmarks/results/quality-NAME.json with the whole recipe in it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

from dragoman import pipeline
from dragoman.cli.terminal import screen
from dragoman.core.recipe import Recipe
from dragoman.engine.device import detect
from dragoman.store.run.artifact import versions

RESULTS = Path(__file__).parent / "results"
MODEL = "{new: {hidden: 128, layers: 4, heads: 4, feed_forward: 384, vocabulary: 8000, context: 256}}"
TRAIN = """
  - sft:
      tokens: TOKENS
      optimiser: muon
      learning_rate: 7e-3
      schedule: linear
      label_smoothing: 0.1
      dropout: 0.1
      batch_tokens: 1024
      accumulation: 3
      evaluate_every: 1200
      compile: true
"""
RECIPES = {
    "multi30k": """
name: multi30k-en-de
pairs: [en-de]
prepare:
  parallel:
    - {path: DATA/multi30k/train.tsv.gz, columns: {target: target_de}, quoting: none}
    - {path: DATA/multi30k/val.tsv.gz, columns: {target: target_de}, quoting: none, use: dev}
  deduplicate: {exact: true, near: null}
  holdout: {test: 0, near: null}
model: MODEL
train: TRAIN
evaluate:
  sets: [dev]
  files:
    - {path: DATA/multi30k/test_2016_flickr.tsv.gz, columns: {target: target_de}, quoting: none}
    - {path: DATA/multi30k/test_2017_flickr.tsv.gz, columns: {target: target_de}, quoting: none}
  decode: [{beam: 1}, {beam: 4}]
""",
    "tatoeba": """
name: tatoeba-en-fr
pairs: [en-fr]
prepare:
  parallel:
    - {path: DATA/tatoeba/train.en-fr.tsv.gz, quoting: none}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev}
  deduplicate: {exact: true, near: null}
  holdout: {test: 0, near: null}
model: MODEL
train: TRAIN
evaluate:
  sets: [dev]
  files:
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none}
  decode: [{beam: 1}, {beam: 4}]
""",
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("task", choices=sorted(RECIPES))
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument(
        "--tokens", default="7700k", help="prompt and target tokens; ten minutes on two cores that multiply bf16"
    )
    arguments.add_argument("overrides", nargs="*", help="section.key=value")
    given = arguments.parse_intermixed_args()
    text = RECIPES[given.task].replace("MODEL", MODEL).replace("TRAIN", TRAIN.replace("TOKENS", given.tokens))
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "recipe.yaml"
    path.write_text(text.replace("DATA", str(given.data.resolve())).lstrip(), encoding="utf-8")
    recipe = Recipe.load(path, given.overrides)
    done = pipeline.run(recipe, given.out, listener=screen(sys.stderr, as_json=False, quiet=False))
    scores = json.loads((done["evaluate"].folder / "scores.json").read_text(encoding="utf-8"))
    record = {
        "command": f"python benchmarks/quality.py {given.task} --tokens {given.tokens} {' '.join(given.overrides)}".strip(),
        "machine": {"processor": detect().name, "threads": detect().threads, "system": platform.platform()},
        "versions": versions(),
        "recipe": text.strip(),
        "model": dict(done["model"].facts),
        "train": done["train"].facts["phases"],
        "scores": scores,
    }
    RESULTS.mkdir(exist_ok=True)
    told = json.dumps(record, indent=1, default=str).replace(str(given.data.resolve()), "DATA")
    (RESULTS / f"quality-{given.task}.json").write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The founding study on real text: A untouched, B real, C synthetic, D both (docs/study.md). English to French, three seeds.

    python benchmarks/abcd.py --data DIR --out runs/abcd

1. The base: a small model pre-trained here on news, monolingual and parallel, with the hybrid mixture. It has seen none of
   the sentences of the study.
2. The teacher: the same architecture, trained on all Tatoeba pairs but those of the study.
3. 5,000 real Tatoeba pairs, and 10,000 other English Tatoeba sentences that the teacher translates: twice as many.
4. The study on Tatoeba's test set (2,000 segments): LoRA with rank 16, alpha 64, dropout 0.1, two epochs, as the founding
   study; only the learning rate is higher (`--rate`), for a model of two million parameters learns nothing at 1e-4.

Sizes are for two processor cores. Each step is skipped when it is finished. `--base` and `--teacher` take other runs of ours
(that of quality.py tatoeba is a teacher that has seen the study's sentences). The record goes to results/abcd.json, the page
to OUT/study/study.html.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import platform
import random
import sys
import time
from pathlib import Path
from typing import Any

from dragoman import pipeline
from dragoman.cli.terminal import Screen, screen
from dragoman.core.languages import Direction
from dragoman.core.recipe import Recipe
from dragoman.engine.device import detect
from dragoman.report import study as page
from dragoman.store.artifact import versions, write_atomic
from dragoman.studies import abcd
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"
SEED = 7
MODEL = "{new: {hidden: 128, layers: 4, heads: 4, feed_forward: 384, vocabulary: 8000, context: 256}}"
OPTIONS = "optimiser: muon, learning_rate: 8e-3, dropout: 0.1, label_smoothing: 0.1, batch_tokens: 4096"
BASE = """
name: abcd-base
pairs: [en-fr]
prepare:
  parallel:
    - {path: DATA/news/newstest2008-2013.en-de-fr-cs-es.tsv.gz, columns: {target: target_fr}, quoting: none, pair: en-fr}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test}
  monolingual:
    en: [{path: DATA/mono/news.en.tsv.gz, column: source, quoting: none}]
    fr: [{path: DATA/mono/news.fr.tsv.gz, column: source, quoting: none}]
  deduplicate: {near: null}
  holdout: {near: null}
model: MODEL
train:
  - hybrid: {tokens: TOKENS, tasks: {lm: {weight: 0.3}, interlinear: {weight: 0.2}, mt: {weight: 0.5}}, OPTIONS}
"""
TEACHER = """
name: abcd-teacher
pairs: [en-fr]
prepare:
  parallel:
    - {path: teacher.tsv, quoting: none}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test}
  deduplicate: {near: null}
  holdout: {near: null}
model: MODEL
train:
  - sft: {tokens: TOKENS, OPTIONS}
evaluate: {sets: [test], metrics: [bleu, chrf]}
"""
STUDY = """
name: abcd-tatoeba
pairs: [en-fr]
prepare:
  parallel:
    - {path: real.tsv, quoting: none}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test}
  deduplicate: {near: null}
  holdout: {near: null}
model: {base: base}
evaluate: {sets: [test], metrics: [bleu, chrf]}
study:
  seeds: [1, 2, 3]
  synthetic: [{path: synthetic.tsv, quoting: none}]
"""


def split(given: argparse.Namespace) -> None:
    """Tatoeba's training pairs by English sentence: real ones, sources for the teacher, and the teacher's own."""
    pairs: dict[str, list[str]] = {}
    with gzip.open(given.data / "tatoeba" / "train.en-fr.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            pairs.setdefault(row["source"], []).append(row["target"])
    sources = sorted(pairs)
    random.Random(SEED).shuffle(sources)
    cuts = (given.real, given.real + 2 * given.real)
    parts = {"real": sources[: cuts[0]], "sources": sources[cuts[0] : cuts[1]], "teacher": sources[cuts[1] :]}
    for name, part in parts.items():
        if name == "teacher":
            lines = [f"{source}\t{target}\n" for source in part for target in pairs[source]]
        else:
            lines = [f"{source}\t{pairs[source][0]}\n" for source in part]
        write_atomic(given.out / f"{name}.tsv", ("source\ttarget\n" + "".join(lines)).encode())


def trained(name: str, recipe: str, tokens: str, given: argparse.Namespace, show: Screen) -> None:
    """A run of ours in OUT/NAME."""
    path = given.out / f"{name}.yaml"
    text = recipe.replace("MODEL", MODEL).replace("TOKENS", tokens).replace("OPTIONS", OPTIONS)
    path.write_text(text.replace("DATA", str(given.data.resolve())).lstrip(), encoding="utf-8")
    pipeline.run(Recipe.load(path, given.all), given.out / name, listener=show)


def synthesise(given: argparse.Namespace, teacher: Path, show: Screen) -> None:
    """The teacher's translations of the sources; what `prepare` thinks of them is in the report of arm C."""
    path = given.out / "synthetic.tsv"
    if path.is_file():
        return
    rows = (given.out / "sources.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
    sources = [row.split("\t")[0] for row in rows]
    made = Translator.load(teacher).translate(sources, Direction("en", "fr"), listener=show)
    lines = [f"{source}\t{found.text}\n" for source, found in zip(sources, made, strict=True)]
    write_atomic(path, ("source\ttarget\n" + "".join(lines)).encode())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--base", type=Path, help="a run to start from instead of a base of the study's own")
    arguments.add_argument("--teacher", type=Path, help="a run that translates instead of a teacher of the study's own")
    arguments.add_argument("--base-tokens", default="3500k", help="about seven minutes on two cores")
    arguments.add_argument("--teacher-tokens", default="6M", help="about twelve minutes on two cores")
    arguments.add_argument("--real", type=int, default=5000, help="real pairs; twice as many are synthetic")
    arguments.add_argument("--rate", default="2e-3", help="learning rate of the arms")
    arguments.add_argument("--jobs", type=int, default=1)
    arguments.add_argument("--all", nargs="*", default=[], help="section.key=value for every recipe")
    arguments.add_argument("overrides", nargs="*", help="section.key=value for the study")
    given = arguments.parse_intermixed_args()
    given.out.mkdir(parents=True, exist_ok=True)
    show = screen(sys.stderr, as_json=False, quiet=False)
    seconds: dict[str, float] = {}

    def timed(name: str, begun: float) -> None:
        seconds[name] = round(time.perf_counter() - begun, 1)

    begun = time.perf_counter()
    split(given)
    if given.base is None:
        trained("base", BASE, given.base_tokens, given, show)
    timed("base", begun)
    begun = time.perf_counter()
    if given.teacher is None:
        trained("teacher", TEACHER, given.teacher_tokens, given, show)
    timed("teacher", begun)
    begun = time.perf_counter()
    synthesise(given, given.teacher or given.out / "teacher", show)
    timed("synthesise", begun)
    begun = time.perf_counter()
    text = STUDY.replace("DATA", str(given.data.resolve()))
    if given.base is not None:
        text = text.replace("base: base", f"base: {given.base.resolve()}")
    (given.out / "study.yaml").write_text(text.lstrip(), encoding="utf-8")
    overrides = [f"train.0.sft.learning_rate={given.rate}", *given.all, *given.overrides]
    study = abcd.run(given.out / "study.yaml", overrides, given.out / "study", jobs=given.jobs, listener=show)
    timed("study", begun)
    print(page.table(study))
    save(given, study, seconds)


def save(given: argparse.Namespace, study: dict[str, Any], seconds: dict[str, float]) -> None:
    teacher = (given.teacher or given.out / "teacher") / "evaluate" / "scores.json"
    record = {
        "command": f"python benchmarks/abcd.py {' '.join([*given.all, *given.overrides])}".strip(),
        "machine": {"processor": detect().name, "threads": detect().threads, "system": platform.platform()},
        "versions": versions(),
        "recipes": {"base": BASE.strip(), "teacher": TEACHER.strip(), "study": STUDY.strip(), "model": MODEL},
        "options": {"training": OPTIONS, "real": given.real, "rate": given.rate},
        "own": {"base": given.base is None, "teacher": given.teacher is None},
        "seconds": seconds,
        "teacher": json.loads(teacher.read_text(encoding="utf-8")) if teacher.is_file() else None,
        "study": study,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "abcd.json").write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The founding study on real text: A untouched, B real, C synthetic, D both (docs/study.md). English to French, three seeds.

    python benchmarks/abcd.py --data DIR --out runs/abcd

1. The base: a small model pre-trained here with the hybrid mixture (monolingual news, interlinear text, translation) on news
   and 30,000 Tatoeba sentences. It has seen none of the English sentences of the study.
2. The teacher: the base, tuned on all Tatoeba pairs but those of the study (140,000).
3. 2,000 real Tatoeba pairs, and 4,000 other English Tatoeba sentences that the teacher translates: twice as many.
4. The study on Tatoeba's test set (1,000 segments): LoRA with rank 16, alpha 64, dropout 0.1, two epochs, as the founding
   study; only the learning rate is higher (`--rate`), for a model of two million parameters learns nothing at 1e-4.

Sizes are for one or two processor cores. Each step is skipped when it is finished. `--base` and `--teacher` take other runs of
ours. The record goes to results/abcd.json, tables and figures to results/abcd/, the page to OUT/study/study.html.
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
from dragoman.core.recipe import Recipe
from dragoman.core.scores.metrics import TITLES
from dragoman.core.text.languages import Direction
from dragoman.engine.device import detect
from dragoman.report import study as page
from dragoman.report import study_plots
from dragoman.store.run.artifact import versions, write_atomic
from dragoman.studies import abcd
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"
SEED = 7
MODEL = "{new: {hidden: 128, layers: 4, heads: 4, feed_forward: 384, vocabulary: 8000, context: 256}}"
OPTIONS = "optimiser: muon, learning_rate: 6e-3, dropout: 0.1, label_smoothing: 0.1, batch_tokens: 2048"
NEWS = 10_000  # monolingual lines in each language
BASE = """
name: abcd-base
pairs: [en-fr]
prepare:
  parallel:
    - path: DATA/news/newstest2008-2013.en-de-fr-cs-es.tsv.gz
      columns: {target: target_fr}
      quoting: none
      limit: 6000
    - {path: base.tsv, quoting: none}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test}
  monolingual:
    en: [{path: DATA/mono/news.en.tsv.gz, column: source, quoting: none, limit: NEWS}]
    fr: [{path: DATA/mono/news.fr.tsv.gz, column: source, quoting: none, limit: NEWS}]
  deduplicate: {near: null}
  holdout: {near: null}
model: MODEL
train:
  - hybrid: {tokens: TOKENS, tasks: {lm: {weight: 0.1}, interlinear: {weight: 0.15}, mt: {weight: 0.75}}, OPTIONS}
"""
TEACHER = """
name: abcd-teacher
pairs: [en-fr]
prepare:
  parallel:
    - {path: teacher.tsv, quoting: none}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test, limit: TEST}
  deduplicate: {near: null}
  holdout: {near: null}
model: {base: BASE}
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
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test, limit: TEST}
  deduplicate: {near: null}
  holdout: {near: null}
model: {base: BASE}
evaluate: {sets: [test], metrics: [bleu, chrf]}
study:
  seeds: [1, 2, 3]
  synthetic: [{path: synthetic.tsv, quoting: none}]
"""


def split(given: argparse.Namespace) -> None:
    """Tatoeba's training pairs by English sentence: real ones, sources for the teacher, and what base and teacher learn."""
    pairs: dict[str, list[str]] = {}
    with gzip.open(given.data / "tatoeba" / "train.en-fr.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            pairs.setdefault(row["source"], []).append(row["target"])
    sources = sorted(pairs)
    random.Random(SEED).shuffle(sources)
    ends = [given.real, 3 * given.real, 3 * given.real + given.base_pairs]
    parts = {
        "real": sources[: ends[0]],
        "sources": sources[ends[0] : ends[1]],
        "base": sources[ends[1] : ends[2]],
        "teacher": sources[ends[1] :],
    }
    for name, part in parts.items():
        wanted = None if name in ("base", "teacher") else 1  # translations of a sentence
        lines = [f"{source}\t{target}\n" for source in part for target in pairs[source][:wanted]]
        write_atomic(given.out / f"{name}.tsv", ("source\ttarget\n" + "".join(lines)).encode())


def placed(recipe: str, given: argparse.Namespace) -> str:
    """The recipe with the folders of the data and of the base."""
    base = str(given.base.resolve()) if given.base is not None else "base"
    recipe = recipe.replace("DATA", str(given.data.resolve())).replace("BASE", base)
    return recipe.replace("TEST", str(given.test)).lstrip()


def trained(name: str, recipe: str, tokens: str, given: argparse.Namespace, show: Screen) -> None:
    """A run of ours in OUT/NAME."""
    path = given.out / f"{name}.yaml"
    for key, value in {"MODEL": MODEL, "TOKENS": tokens, "OPTIONS": OPTIONS, "NEWS": str(NEWS)}.items():
        recipe = recipe.replace(key, value)
    path.write_text(placed(recipe, given), encoding="utf-8")
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
    arguments.add_argument("--base-tokens", default="1200k", help="about six minutes on one core")
    arguments.add_argument("--teacher-tokens", default="1M", help="about five minutes on one core")
    arguments.add_argument("--base-pairs", type=int, default=30_000, help="Tatoeba sentences of the base's mixture")
    arguments.add_argument("--real", type=int, default=2000, help="real pairs; twice as many are synthetic")
    arguments.add_argument("--test", type=int, default=1000, help="test segments")
    arguments.add_argument("--rate", default="2e-3", help="learning rate of the arms")
    arguments.add_argument("--jobs", type=int, default=1)
    arguments.add_argument("--record", type=Path, default=RESULTS, help="folder of the record")
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
    (given.out / "study.yaml").write_text(placed(STUDY, given), encoding="utf-8")
    overrides = [f"train.0.sft.learning_rate={given.rate}", *given.all, *given.overrides]
    study = abcd.run(given.out / "study.yaml", overrides, given.out / "study", jobs=given.jobs, listener=show)
    timed("study", begun)
    print(page.table(study))
    save(given, study, seconds)


def save(given: argparse.Namespace, study: dict[str, Any], seconds: dict[str, float]) -> None:
    """The record, its tables and its figures; without any text of the data and without the machine's folders."""
    shown = {**study, "sets": [{k: v for k, v in entry.items() if k != "samples"} for entry in study["sets"]]}
    record = {
        "command": " ".join(["python benchmarks/abcd.py", *sys.argv[1:]]),
        "machine": {"processor": detect().name, "threads": detect().threads, "system": platform.platform()},
        "versions": versions(),
        "recipes": {"base": BASE.strip(), "teacher": TEACHER.strip(), "study": STUDY.strip(), "model": MODEL},
        "options": {"training": OPTIONS, "news": NEWS, "real": given.real, "rate": given.rate},
        "seconds": seconds,
        "teacher": _scores(given.teacher or given.out / "teacher"),
        "study": shown,
    }
    text = json.dumps(record, indent=1, default=str) + "\n"
    for folder, name in ((given.data, "DIR"), (given.out, "runs/abcd")):
        text = text.replace(str(folder.resolve()), name).replace(str(folder), name)
    write_atomic(given.record / "abcd.json", text.encode())
    for name in ("scores.csv", "contrasts.csv"):
        write_atomic(given.record / "abcd" / name, (given.out / "study" / name).read_bytes())
    arms = [arm["name"] for arm in study["arms"]]
    entry = study["sets"][-1]
    figures = {m: study_plots.bars(m, TITLES[m], scores, arms) for m, scores in entry["scores"].items()}
    for name, svg in (figures | study_plots.curves(study["curves"], arms)).items():
        write_atomic(given.record / "abcd" / f"{name}.svg", alone(svg).encode())


def _scores(run: Path) -> list[dict[str, Any]]:
    """What the teacher is worth."""
    found = json.loads((run / "evaluate" / "scores.json").read_text(encoding="utf-8"))
    lines = [line for entry in found["sets"] for line in entry["results"]]
    return [{"system": line["system"], "decoding": line["decoding"], "scores": line["scores"]} for line in lines]


def alone(svg: str) -> str:
    """A figure of the page as a file of its own: the colours of the page stand in it."""
    css = (Path(page.__file__).parent / "page.css").read_text(encoding="utf-8")
    colours = " ".join(css[css.index("--page") : css.index("}")].split())
    return svg.replace(">", f' width="420"><style>svg {{{colours} background: var(--card)}}</style>', 1) + "\n"


if __name__ == "__main__":
    main()

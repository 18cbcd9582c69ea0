"""What comes after supervised tuning: preferences and rewards against the model that they start from.

    python benchmarks/preferences.py --data DIR --out runs/preferences

DIR holds multi30k/ as tab-separated files (columns source, target_de). One translator from scratch is trained as in quality.py, for
a shorter time; every method goes on from it, and all are scored on the same 500 sentences of test_2016_flickr, greedily. A row says what
its method was ranked by or rewarded for: a gain in that measure alone is no proof. `sft more` is supervised tuning for as many steps,
so that a gain is not one of more training. Paired bootstrap tests against the base (two-sided, 2,000 resamples). A run that is there is
not made again. The record goes to benchmarks/results/preferences.json, the table to preferences.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from dragoman import Translator, pipeline
from dragoman.cli.terminal import screen
from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example, Hypothesis
from dragoman.core.scores.flags import Flagger
from dragoman.core.scores.metrics import Segments, segments
from dragoman.core.text.languages import Direction
from dragoman.engine.device import detect
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, versions

RESULTS = Path(__file__).parent / "results"
EN_DE = Direction.parse("en-de")
TESTED = 500  # sentences of the test set
METRICS = ("chrf", "bleu", "ter")
PREPARE = """
pairs: [en-de]
seed: SEED
prepare:
  parallel:
    - {path: DATA/multi30k/train.tsv.gz, columns: {target: target_de}, quoting: none}
    - {path: DATA/multi30k/val.tsv.gz, columns: {target: target_de}, quoting: none, use: dev}
    - {path: DATA/multi30k/test_2016_flickr.tsv.gz, columns: {target: target_de}, quoting: none, use: test}
  deduplicate: {exact: true, near: null}
  holdout: {near: null}
  checks: {alignment: null, coverage: null}
plan: {precision: fp32, threads: 1}
"""
BASE = """
model: {new: {hidden: 128, layers: 4, heads: 4, feed_forward: 384, vocabulary: 8000, context: 256}}
train:
  - sft: {tokens: TOKENS, optimiser: muon, learning_rate: 7e-3, schedule: linear, label_smoothing: 0.1, dropout: 0.1,
          batch_tokens: 1024, accumulation: 2, evaluate_every: 400, evaluate_sentences: 100, compile: false}
"""
AFTER = """
model: {base: BASE}
train:
  - PHASE
"""
COMMON = "optimiser: adamw, evaluate_every: EVERY, evaluate_sentences: 100, select: last"
PAIRS = "sources: SOURCES, candidates: 6, epochs: 1, batch_tokens: 1024, accumulation: 1, learning_rate: 1e-4"
METHODS = {  # name -> (what it was ranked by or rewarded for, phase)
    "sft more": ("-", "sft: {tokens: 50k, batch_tokens: 1024, accumulation: 1, learning_rate: 1e-4, COMMON}"),
    "cpo": ("chrF, checks", "prefer: {method: cpo, rank_by: {chrf: 1, checks: 1}, PAIRS, COMMON}"),
    "dpo (mbr)": ("expected chrF", "prefer: {method: dpo, rank_by: {mbr: 1}, margin: 3, PAIRS, COMMON}"),
    "grpo": (
        "chrF; gates",
        "reinforce: {method: grpo, steps: STEPS, prompts: 8, group: 6, batch_tokens: 4096, learning_rate: 1e-4, "
        "rewards: {chrf: 1, language: gate, length: gate}, COMMON}",
    ),
}
QUICK = {"SOURCES": "200", "STEPS": "10", "EVERY": "100000"}
FULL = {"SOURCES": "400", "STEPS": "40", "EVERY": "100000"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--tokens", default="2200k", help="prompt and target tokens of the base")
    arguments.add_argument("--quick", action="store_true", help="few sentences and steps, to try the script")
    given = arguments.parse_args()
    listener = screen(sys.stderr, as_json=False, quiet=False)
    texts = prepared_base(given.data, given.out / "base", listener, given.tokens)
    systems = {"base": measured(given.out / "base", texts)}
    for name, (_, phase) in METHODS.items():
        wish = phase.replace("PAIRS", PAIRS).replace("COMMON", COMMON)
        for key, value in (QUICK if given.quick else FULL).items():
            wish = wish.replace(key, value)
        folder = given.out / name.split(" ", 1)[0].replace("sft", "sft-more")
        made = recipe(
            given, folder.name, AFTER.replace("BASE", str((given.out / "base").resolve())).replace("PHASE", wish)
        )
        begun = time.perf_counter()
        pipeline.run(made, folder, stages=["train"], given={"prepare": texts}, listener=listener)
        note = folder / "seconds.json"
        if not note.is_file():
            note.write_text(json.dumps(round(time.perf_counter() - begun, 1)), encoding="utf-8")
        systems[name] = measured(folder, texts)
        write(given, systems)


def prepared_base(data: Path, folder: Path, listener: Listener, tokens: str = "2200k") -> Artifact:
    """The prepared texts of the base, which is trained where it is not there."""
    made = recipe(argparse.Namespace(data=data, out=folder.parent), folder.name, BASE.replace("TOKENS", tokens))
    return pipeline.run(made, folder, stages=["train"], listener=listener)["prepare"]


def recipe(given: argparse.Namespace, name: str, rest: str) -> Recipe:
    folder = given.out / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    text = PREPARE.replace("DATA", str(given.data.resolve())).replace("SEED", "7") + rest
    path.write_text(text.lstrip(), encoding="utf-8")
    return Recipe.load(path)


def linked(run: Path, folder: Path) -> Path:
    """A folder with the model of a run, for what is measured of it: the run stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "model"):
        if not (folder / part).exists():
            (folder / part).symlink_to((run / part).resolve(), target_is_directory=True)
    return folder


def measured(folder: Path, texts: Artifact) -> dict[str, Any]:
    """Translations of the test set, made or read, with their flags and what the phase says of itself."""
    test = list(records.read(texts.folder / "test", Example))[:TESTED]
    kept = folder / "translations.json"
    if kept.is_file():
        rows = json.loads(kept.read_text(encoding="utf-8"))
        found = [Hypothesis(*row[:4], looped=row[4]) for row in rows]
    else:
        found = Translator.load(folder, threads=1).translate([row.source for row in test], EN_DE)
        plain = [[one.text, one.score, one.tokens, one.finished, one.looped] for one in found]
        kept.write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")
    flags = Counter(
        flag for row in Flagger(EN_DE, ["en", "de"]).flags([row.source for row in test], found) for flag in row
    )
    hypotheses, references = [one.text for one in found], [row.target for row in test]
    phase = Artifact.load(folder / "train").facts["phases"][-1]
    seconds = folder / "seconds.json"
    return {
        "segments": {metric: segments(metric, hypotheses, references, "de") for metric in METRICS},
        "flags": dict(flags.most_common()),
        "phase": {key: phase.get(key) for key in ("steps", "seconds", "preferred", "reinforced") if phase.get(key)},
        "seconds": json.loads(seconds.read_text(encoding="utf-8")) if seconds.is_file() else phase["seconds"],
        "length": round(sum(map(len, hypotheses)) / sum(map(len, references)), 4),
    }


def bootstrap(one: Segments, other: Segments, draws: int = 2000, seed: int = 12345) -> float:
    """The two-sided p of a difference of corpus scores under paired resampling (Koehn 2004)."""
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(one), np.full(len(one), 1 / len(one)), size=draws)
    differences = one.values(weights @ one.rows) - other.values(weights @ other.rows)
    below = (1 + int((differences <= 0).sum())) / (draws + 1)
    above = (1 + int((differences >= 0).sum())) / (draws + 1)
    return min(1.0, 2 * min(below, above))


def write(given: argparse.Namespace, systems: dict[str, dict[str, Any]]) -> None:
    base = systems["base"]["segments"]
    rows: dict[str, Any] = {}
    for name, system in systems.items():
        scores = {
            metric: {
                "value": round(float(found.score.value), 3),
                "difference": round(float(found.score.value - base[metric].score.value), 3),
                "p": None if name == "base" else round(bootstrap(found, base[metric]), 4),
                "signature": found.score.signature,
            }
            for metric, found in system["segments"].items()
        }
        by = "-" if name == "base" else METHODS[name][0]
        rows[name] = {"ranked_by": by, "scores": scores} | {k: v for k, v in system.items() if k != "segments"}
    record = {
        "command": f"python benchmarks/preferences.py --tokens {given.tokens}{' --quick' if given.quick else ''}",
        "machine": {"processor": detect().name, "threads": 1},
        "versions": versions(),
        "recipes": {"base": PREPARE + BASE, **{name: phase for name, (_, phase) in METHODS.items()}},
        "settings": {"PAIRS": PAIRS, "COMMON": COMMON, **(QUICK if given.quick else FULL)},
        "segments": len(next(iter(base.values()))),
        "systems": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    told = json.dumps(record, indent=1, ensure_ascii=False, default=str)
    (RESULTS / "preferences.json").write_text(told + "\n", encoding="utf-8")
    (RESULTS / "preferences.md").write_text(table(rows), encoding="utf-8")


def table(rows: dict[str, Any]) -> str:
    lines = [
        "| | ranked by, rewarded for | chrF2++ | BLEU | TER | length | flags | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = []
        for metric in METRICS:
            score = row["scores"][metric]
            test = "" if score["p"] is None else f" ({score['difference']:+.1f}, p={score['p']:.3g})"
            cells.append(f"{score['value']:.1f}{test}")
        flags = ", ".join(f"{flag} {count}" for flag, count in row["flags"].items()) or "none"
        lines.append(
            f"| {name} | {row['ranked_by']} | {' | '.join(cells)} | {row['length']:.3f} | {flags} | {row['seconds']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

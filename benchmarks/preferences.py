"""What comes after supervised tuning: preferences and rewards against the model that they start from.

    python benchmarks/preferences.py --data DIR --out runs/preferences

DIR holds multi30k/ as tab-separated files (columns source, target_de). For each seed one translator from scratch is trained as in
quality.py, for a shorter time; every method goes on from it, and all are scored on the 1,000 sentences of test_2016_flickr, greedily
(`base, beam` with a beam of 4, for comparison). A row says what its method was ranked by or rewarded for: a gain in that measure alone is
no proof. `sft more` is supervised tuning for as many steps, so that a gain is not one of more training. Differences from the base of the
same seed, and their mean over the seeds with the p of a paired bootstrap (two-sided, 2,000 resamples of the sentences, the same ones for
all seeds). The settings of `dpo` were chosen on the dev set, with the base of the first seed. A run that is there is not made again. The
record goes to benchmarks/results/preferences.json, the table to preferences.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragoman import Translator, pipeline
from dragoman.cli.terminal import screen
from dragoman.core.listen import Listener
from dragoman.core.recipe import Decoding, Recipe
from dragoman.core.records import Example, Hypothesis
from dragoman.core.scores.flags import Flagger
from dragoman.core.scores.metrics import Segments, segments
from dragoman.core.text.languages import Direction
from dragoman.engine.device import detect
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, versions

RESULTS = Path(__file__).parent / "results"
EN_DE = Direction.parse("en-de")
TESTED = 500  # sentences of the test set, of the benchmarks that go on from this one
SEED = 7
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
PAIRS = "sources: SOURCES, candidates: 8, pairs: 2, epochs: 1, batch_tokens: 768, accumulation: 1, learning_rate: 1e-4"
METHODS = {  # name -> (what it was ranked by or rewarded for, phase)
    "sft more": ("-", "sft: {tokens: 80k, batch_tokens: 768, accumulation: 1, learning_rate: 1e-4, COMMON}"),
    "dpo": ("chrF", "prefer: {method: dpo, rank_by: {chrf: 1}, length: 1.02, PAIRS, COMMON}"),
    "dpo, any length": ("chrF", "prefer: {method: dpo, rank_by: {chrf: 1}, length: 9, PAIRS, COMMON}"),
    "dpo (mbr)": ("expected chrF", "prefer: {method: dpo, rank_by: {mbr: 1}, length: 1.02, margin: 3, PAIRS, COMMON}"),
    "cpo": ("chrF", "prefer: {method: cpo, rank_by: {chrf: 1}, length: 1.02, PAIRS, COMMON}"),
    "grpo": (
        "chrF; gates",
        "reinforce: {method: grpo, steps: STEPS, prompts: 8, group: 6, batch_tokens: 4096, learning_rate: 1e-4, "
        "rewards: {chrf: 1, language: gate, length: gate}, COMMON}",
    ),
}
QUICK = {"SOURCES": "200", "STEPS": "10", "EVERY": "100000"}
FULL = {"SOURCES": "1200", "STEPS": "40", "EVERY": "100000"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--tokens", default="2200k", help="prompt and target tokens of the bases")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    arguments.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    arguments.add_argument("--quick", action="store_true", help="few sentences and steps, to try the script")
    given = arguments.parse_args()
    listener = screen(sys.stderr, as_json=False, quiet=False)
    bases = {seed: given.out / ("base" if seed == SEED else f"base-{seed}") for seed in given.seeds}
    texts = prepared_base(given.data, bases[given.seeds[0]], listener, given.tokens, given.seeds[0])
    systems: dict[int, dict[str, dict[str, Any]]] = {}
    for seed, base in bases.items():
        if seed != given.seeds[0]:
            prepared_base(given.data, base, listener, given.tokens, seed, texts)
        systems[seed] = {
            "base": measured(base, texts, None),
            "base, beam": measured(base, texts, None, Decoding(beam=4)),
        }
        for name in given.methods:
            folder = given.out / f"{re.sub(r'[^a-z]+', '-', name).strip('-')}-{seed}"
            after(given, texts, folder, base, METHODS[name][1], seed, listener)
            systems[seed][name] = measured(folder, texts, None)
        write(given, systems)


def after(
    given: argparse.Namespace, texts: Artifact, folder: Path, base: Path, phase: str, seed: int, listener: Listener
) -> None:
    """The run that goes on from a base by a phase."""
    wish = phase.replace("PAIRS", PAIRS).replace("COMMON", COMMON)
    for key, value in (QUICK if given.quick else FULL).items():
        wish = wish.replace(key, value)
    rest = AFTER.replace("BASE", str(base.resolve())).replace("PHASE", wish)
    made = recipe(given, folder.name, rest, seed)
    begun = time.process_time()
    pipeline.run(made, folder, stages=["train"], given={"prepare": texts}, listener=listener)
    note = folder / "seconds.json"
    if not note.is_file():
        note.write_text(json.dumps(round(time.process_time() - begun, 1)), encoding="utf-8")


def prepared_base(
    data: Path,
    folder: Path,
    listener: Listener,
    tokens: str = "2200k",
    seed: int = SEED,
    texts: Artifact | None = None,
) -> Artifact:
    """The prepared texts of the base (its own, where none are given), which is trained where it is not there."""
    rest = BASE.replace("TOKENS", tokens)
    made = recipe(argparse.Namespace(data=data, out=folder.parent), folder.name, rest, seed)
    given = None if texts is None else {"prepare": texts}
    return pipeline.run(made, folder, stages=["train"], given=given, listener=listener)["prepare"]


def recipe(given: argparse.Namespace, name: str, rest: str, seed: int = SEED) -> Recipe:
    folder = given.out / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    text = PREPARE.replace("DATA", str(given.data.resolve())).replace("SEED", str(seed)) + rest
    path.write_text(text.lstrip(), encoding="utf-8")
    return Recipe.load(path)


def linked(run: Path, folder: Path) -> Path:
    """A folder with the model of a run, for what is measured of it: the run stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "model"):
        if not (folder / part).exists():
            (folder / part).symlink_to((run / part).resolve(), target_is_directory=True)
    return folder


def measured(
    folder: Path, texts: Artifact, count: int | None = TESTED, decoding: Decoding | None = None
) -> dict[str, Any]:
    """Translations of so many test sentences (None: of all), made or read, with their flags and what the phase says of itself."""
    test = list(records.read(texts.folder / "test", Example))[:count]
    kept = folder / f"translations-{len(test)}{'' if decoding is None else f'-beam-{decoding.beam}'}.json"
    if kept.is_file():
        rows = json.loads(kept.read_text(encoding="utf-8"))
        found = [Hypothesis(*row[:4], looped=row[4]) for row in rows]
    else:
        found = Translator.load(folder, threads=1).translate([row.source for row in test], EN_DE, decoding)
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
        "phase": {
            key: phase.get(key) for key in ("steps", "tokens", "seconds", "preferred", "reinforced") if phase.get(key)
        },
        "seconds": json.loads(seconds.read_text(encoding="utf-8")) if seconds.is_file() else phase["seconds"],
        "length": round(sum(map(len, hypotheses)) / sum(map(len, references)), 4),
    }


def bootstrap(one: Segments, other: Segments, draws: int = 2000, seed: int = 12345) -> float:
    """The two-sided p of a difference of corpus scores under paired resampling (Koehn 2004)."""
    return bootstrap_of_means([(one, other)], draws, seed)


def bootstrap_of_means(pairs: Sequence[tuple[Segments, Segments]], draws: int = 2000, seed: int = 12345) -> float:
    """That of the mean difference over several pairs of systems, with the same resampled sentences for all of them."""
    random = np.random.default_rng(seed)
    size = len(pairs[0][0])
    weights = random.multinomial(size, np.full(size, 1 / size), size=draws)
    differences = np.mean([a.values(weights @ a.rows) - b.values(weights @ b.rows) for a, b in pairs], axis=0)
    below = (1 + int((differences <= 0).sum())) / (draws + 1)
    above = (1 + int((differences >= 0).sum())) / (draws + 1)
    return min(1.0, 2 * min(below, above))


def write(given: argparse.Namespace, systems: dict[int, dict[str, dict[str, Any]]]) -> None:
    first = next(iter(systems.values()))
    rows = {
        name: row(name, [of[name] for of in systems.values()], [of["base"] for of in systems.values()])
        for name in first
    }
    record = {
        "command": f"python benchmarks/preferences.py --tokens {given.tokens} --seeds {' '.join(map(str, systems))}"
        f"{' --quick' if given.quick else ''}",
        "machine": {"processor": detect().name, "threads": 1},
        "versions": versions(),
        "recipes": {"base": PREPARE + BASE, **{name: phase for name, (_, phase) in METHODS.items()}},
        "settings": {"PAIRS": PAIRS, "COMMON": COMMON, **(QUICK if given.quick else FULL)},
        "segments": len(first["base"]["segments"][METRICS[0]]),
        "seeds": list(systems),
        "systems": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    told = json.dumps(record, indent=1, ensure_ascii=False, default=str)
    (RESULTS / "preferences.json").write_text(told + "\n", encoding="utf-8")
    (RESULTS / "preferences.md").write_text(table(rows), encoding="utf-8")


def row(name: str, runs: list[dict[str, Any]], bases: list[dict[str, Any]]) -> dict[str, Any]:
    """A line of the table: means over the seeds, and each seed's own figures."""
    scores = {}
    for metric in METRICS:
        pairs = [(run["segments"][metric], base["segments"][metric]) for run, base in zip(runs, bases, strict=True)]
        values = [float(one.score.value) for one, _ in pairs]
        apart = [float(one.score.value - other.score.value) for one, other in pairs]
        scores[metric] = {
            "value": round(float(np.mean(values)), 3),
            "difference": round(float(np.mean(apart)), 3),
            "p": None if name == "base" else round(bootstrap_of_means(pairs), 4),
            "by_seed": [round(one, 3) for one in values],
            "differences": [round(one, 3) for one in apart],
            "signature": pairs[0][0].score.signature,
        }
    flags: Counter[str] = sum((Counter(run["flags"]) for run in runs), Counter())
    return {
        "ranked_by": METHODS[name][0] if name in METHODS else "-",
        "scores": scores,
        "flags": dict(flags.most_common()),
        "length": round(float(np.mean([run["length"] for run in runs])), 4),
        "processor_seconds": [run["seconds"] for run in runs] if name in METHODS else None,
        "phases": [run["phase"] for run in runs],
    }


def table(rows: dict[str, Any]) -> str:
    lines = [
        "| | ranked by, rewarded for | chrF2++ | BLEU | TER | length | flags | processor seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = []
        for metric in METRICS:
            score = row["scores"][metric]
            test = "" if score["p"] is None else f" ({score['difference']:+.1f}, p={score['p']:.3g})"
            cells.append(f"{score['value']:.1f}{test}")
        flags = ", ".join(f"{flag} {count}" for flag, count in row["flags"].items()) or "none"
        seconds = "" if row["processor_seconds"] is None else f"{np.mean(row['processor_seconds']):,.0f}"
        lines.append(
            f"| {name} | {row['ranked_by']} | {' | '.join(cells)} | {row['length']:.3f} | {flags} | {seconds} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

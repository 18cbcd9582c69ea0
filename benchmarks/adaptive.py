"""Does a translation memory in the prompt help, and does tuning on such prompts? Are terms in the prompt obeyed?

    python benchmarks/adaptive.py --data DIR --start runs/tatoeba --out runs/adaptive

The base is a translator en-fr of everyday text (`quality.py tatoeba`), which then learns to use its prompt. First the very
pair that is asked for stands in every prompt: so it learns to look for the sentence among the examples and to copy, which a
small model picks up neither from fuzzy matches alone (2 million tokens from scratch: one-shot as bad as zero-shot, 10
chrF2++, where the match itself has 71) nor from such prompts among others (1.5 million). Then most prompts have the very
pair, some a random one, some none. A part of software documentation is among its texts, so it knows markers too. Then it is
tuned on medical text (medical/emea_en-fr_train.tsv.gz) with prompts of no, one or two matches and with terms. The memory
holds the training pairs and medical/emea_en-fr_tm.tsv.gz, the glossary is mined from the training pairs alone. `evaluate`
scores base and tuned model on 1,000 held-out pairs: without examples, with the best match, with terms; no pair that equals
a held-out one but for digits, case and punctuation is ever retrieved. On one thread about 35 minutes.
The record goes to benchmarks/results/adaptive.json, its tables to adaptive.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from dragoman import pipeline
from dragoman.cli.terminal import screen
from dragoman.core.memory.matching import Kind, words
from dragoman.core.prompt.terms import Term
from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example
from dragoman.core.scores.metrics import segments
from dragoman.core.scores.scoring import TestSettings, by_part
from dragoman.engine.device import detect
from dragoman.report import read_outputs
from dragoman.report.verdict import p_text
from dragoman.store.corpus import records
from dragoman.store.formats.readers import read_parallel
from dragoman.store.memory.glossary import Glossary, glossary_file
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.artifact import versions, write_atomic

RESULTS = Path(__file__).parent / "results"
BASE = """
name: adaptive-base
pairs: [en-fr]
prepare:
  parallel:
    - {path: DATA/tatoeba/train.en-fr.tsv.gz, quoting: none, limit: 30000}
    - {path: DATA/software_docs/python-docs-fr.en-fr.tsv.gz, quoting: none, limit: 6000}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev}
  deduplicate: {exact: true, near: null}
  holdout: {test: 0, near: null}
model: {base: START}
train:
  - sft:
      tokens: COPIED
      shots: {1: 1.0}
      memory: {min_match: 0.9, leave_one_out: false, poor: 0.0}
      optimiser: muon
      learning_rate: 6e-3
      schedule: constant
      select: last
      batch_tokens: 640
      accumulation: 3
      compile: true
      evaluate_every: 200
      evaluate_sentences: 50
  - sft:
      tokens: TOKENS
      shots: {0: 0.4, 1: 0.6}
      memory: {min_match: 0.9, leave_one_out: false, poor: 0.15}
      optimiser: muon
      learning_rate: 6e-3
      schedule: linear
      label_smoothing: 0.1
      batch_tokens: 640
      accumulation: 3
      compile: true
      evaluate_every: 200
      evaluate_sentences: 50
"""
TUNED = """
name: adaptive-medical
pairs: [en-fr]
prepare:
  parallel: [{path: DATA/medical/emea_en-fr_train.tsv.gz, quoting: none}]
  holdout: {dev: 200, test: 1000}
model: {base: ../base}
train:
  - sft:
      tokens: TOKENS
      shots: {0: 0.4, 1: 0.5, 2: 0.1}
      memory: {min_match: 0.3, poor: 0.05}
      glossary: {share: 0.3, terms: 5}
      optimiser: muon
      learning_rate: 5e-3
      schedule: linear
      label_smoothing: 0.1
      batch_tokens: 640
      accumulation: 3
      compile: true
      evaluate_every: 300
      evaluate_sentences: 50
evaluate:
  sets: [dev, test]
  shots: [0, 1]
  memory: {min_match: 0.0}
  glossary: {terms: 5}
"""
GATES = (0.5, 0.7)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--start", type=Path, required=True, help="the run of `quality.py tatoeba`")
    arguments.add_argument("--copy-tokens", default="1M", help="of the base's first phase: prompt and target tokens")
    arguments.add_argument("--tokens", default="1500k", help="of its second")
    arguments.add_argument("--tune-tokens", default="2500k", help="of the tuning")
    arguments.add_argument(
        "--base-override", action="append", default=[], help="section.key=value of the base's recipe"
    )
    arguments.add_argument("overrides", nargs="*", help="section.key=value of the tuning's recipe")
    given = arguments.parse_intermixed_args()
    text = BASE.replace("COPIED", given.copy_tokens).replace("START", str(given.start.resolve()))
    base = recipe(given.out / "base", text, given.data, given.tokens, given.base_override)
    made = go(base, given.out / "base", ["train"])
    tuned = recipe(given.out / "tuned", TUNED, given.data, given.tune_tokens, given.overrides)
    prepared = go(tuned, given.out / "tuned", ["prepare"])["prepare"].folder
    held = helps(given.out / "tuned", prepared, tuned)
    done = go(tuned, given.out / "tuned", None)
    scores = json.loads((done["evaluate"].folder / "scores.json").read_text(encoding="utf-8"))
    record = {
        "command": "python benchmarks/adaptive.py --data DIR --start runs/tatoeba --out runs/adaptive "
        + " ".join(
            [
                f"--copy-tokens {given.copy_tokens} --tokens {given.tokens} --tune-tokens {given.tune_tokens}",
                *(f"--base-override {override}" for override in given.base_override),
                *given.overrides,
            ]
        ),
        "machine": {"processor": detect().name, "threads": detect().threads},
        "versions": versions(),
        "recipes": {"base": BASE.strip(), "tuned": TUNED.strip()},
        **held,
        "base": made["train"].facts["phases"],
        "tuned": done["train"].facts["phases"],
        "gated": gated(done["evaluate"].folder, tested(scores)),
        "scores": scores,
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False, default=str) + "\n"
    (RESULTS / "adaptive.json").write_text(text.replace(str(given.data.resolve()), "DIR"), encoding="utf-8")
    (RESULTS / "adaptive.md").write_text(tables(record), encoding="utf-8")


def recipe(folder: Path, text: str, data: Path, tokens: str, overrides: list[str]) -> Recipe:
    folder.mkdir(parents=True, exist_ok=True)
    filled = text.replace("DATA", str(data.resolve())).replace("TOKENS", tokens).lstrip()
    write_atomic(folder / "recipe.yaml", (filled + f"# {data.resolve()}\n").encode())
    return Recipe.load(folder / "recipe.yaml", overrides)


def go(made: Recipe, folder: Path, stages: list[str] | None) -> dict[str, Any]:
    return dict(pipeline.run(made, folder, stages=stages, listener=screen(sys.stderr, as_json=False, quiet=False)))


# ---------------------------------------------------------------- memory and glossary


def helps(run: Path, prepared: Path, tuned: Recipe) -> dict[str, int]:
    """Make the memory and the glossary of the tuned run, once."""
    train = list(records.read(prepared / "train", Example))
    assert tuned.prepare is not None
    data = Path(tuned.prepare.parallel[0].path).parent
    source = ParallelSource(path=str(data / "emea_en-fr_tm.tsv.gz"), quoting="none")
    with Memory.open(memory_file(run), create=True) as memory:
        if not memory.stats():
            memory.add(train)
            memory.add(read_parallel(source, tuned))
            memory.index()
        count = sum(holding.segments for holding in memory.stats())
    if not glossary_file(run).is_file():
        Glossary(mined(train)).save(glossary_file(run))
    return {"memory": count, "glossary": len(Glossary.load(glossary_file(run)))}


def mined(pairs: list[Example], least: int = 4, dice: float = 0.65, target: str = "fr") -> list[Term]:
    """Words and word pairs that stand for each other: the best partner of each other by Dice's coefficient.

    Numbers, what one sentence in twenty has, and what is spelt alike on both sides are left out.
    """
    sides = [[units(pair.source) for pair in pairs], [units(pair.target) for pair in pairs]]
    counts = [Counter(unit for row in side for unit in row) for side in sides]
    common = [{u for u, count in side.items() if least <= count <= len(pairs) / 20} for side in counts]
    together: Counter[tuple[str, str]] = Counter()
    for sources, targets in zip(*sides, strict=True):
        together.update((s, t) for s in sources & common[0] for t in targets & common[1])
    best: list[dict[str, tuple[float, int, str]]] = [{}, {}]
    for (s, t), count in together.items():
        value = 2 * count / (counts[0][s] + counts[1][t])
        for side, own, other in ((0, s, t), (1, t, s)):
            best[side][own] = max(best[side].get(own, (0.0, 0, "")), (value, len(other), other))
    return [
        Term(s, t, "en", target)
        for s, (value, _, t) in sorted(best[0].items())
        if value >= dice and best[1][t][2] == s and s != t
    ]


def units(text: str) -> set[str]:
    """The words and word pairs of a text that may be terms."""
    found = [plain if kind is Kind.WORD else "" for plain, kind in words(text)]
    single = {word for word in found if len(word) >= 5}
    return single | {f"{a} {b}" for a, b in itertools.pairwise(found) if min(len(a), len(b)) >= 4}


# ---------------------------------------------------------------- the answers


def tested(scores: dict[str, Any]) -> dict[str, Any]:
    """The entry of the test set; dev is there for the calibration."""
    (entry,) = (entry for entry in scores["sets"] if entry["set"] == "test")
    return entry


def gated(folder: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """One-shot where the match passes a gate, zero-shot elsewhere, against zero-shot; and all that passes it, alone."""
    matches = np.array(entry["help"]["matches"])
    texts = {
        (line["system"], line["decoding"]): [row["hypothesis"] for row in read_outputs(folder / line["file"])]
        for line in entry["results"]
    }
    first = next(line for line in entry["results"] if line["kind"] == "model")
    references = [row["reference"] for row in read_outputs(folder / first["file"])]
    protocol = TestSettings()

    def counted(found: list[str]) -> dict[str, Any]:
        return {metric: segments(metric, found, references, "fr") for metric in ("bleu", "chrf", "ter")}

    rows = []
    for system in ("baseline", "trained"):
        zero, one = texts[system, "greedy"], texts[system, "greedy-1shot"]
        for gate in GATES:
            mixed = [o if m >= gate else z for z, o, m in zip(zero, one, matches.tolist(), strict=True)]
            parts = {f"all, gate {gate:.0%}": np.ones(len(matches), dtype=bool), f"from {gate:.0%}": matches >= gate}
            parts = {name: mask for name, mask in parts.items() if mask.any()}
            rows += [{"system": system, **row} for row in by_part(counted(zero), counted(mixed), protocol, parts)]
    return rows


def tables(record: dict[str, Any]) -> str:
    entry = tested(record["scores"])
    by_line = {(line["system"], line["decoding"]): line for line in entry["results"]}
    names = {"baseline": "untuned", "trained": "tuned on the mix"}
    parts = [
        f"# A memory in the prompt\n\n`{record['command']}`\n",
        f"{entry['segments']} held-out medical pairs en-fr.\n",
    ]
    parts.append("| | zero-shot chrF2++ | one-shot | zero-shot BLEU | one-shot |\n|---|---|---|---|---|")
    for system, name in names.items():
        cells = [
            f"{by_line[system, way]['scores'][metric]['value']:.2f}"
            for metric in ("chrf", "bleu")
            for way in ("greedy", "greedy-1shot")
        ]
        parts.append(f"| {name} | {' | '.join(cells)} |")
    parts.append("\n| one-shot over zero-shot, match | segments | chrF2++ | BLEU |\n|---|---|---|---|")
    for gain in entry["help"]["gains"]:
        if gain["decoding"] == "greedy-1shot":
            parts += [row(f"{names[gain['system']]}, {part['part']}", part) for part in gain["parts"]]
    parts += [row(f"{names[part['system']]}, {part['part']}", part) for part in record["gated"]]
    parts.append("\n| terms in the prompt over none | segments | chrF2++ | BLEU |\n|---|---|---|---|")
    for gain in entry["help"]["gains"]:
        if gain["decoding"] == "greedy-terms":
            parts += [row(names[gain["system"]], part) for part in gain["parts"]]
    parts.append("\n| terms produced in the glossary's form | all | of those in the reference |\n|---|---|---|")
    for line in entry["help"]["terms"]:
        cells = [
            f"{line[g]['exact']} of {line[g]['terms']} ({line[g]['exact'] / max(1, line[g]['terms']):.1%})"
            for g in ("all", "in_reference")
        ]
        parts.append(f"| {names[line['system']]}, {line['decoding']} | {' | '.join(cells)} |")
    return "\n".join(parts) + "\n"


def row(name: str, part: dict[str, Any]) -> str:
    cells = []
    for metric in ("chrf", "bleu"):
        gain = part["gains"][metric]
        around = gain["interval"]
        cells.append(
            f"{gain['gain']:+.2f} [{around['low']:+.2f}, {around['high']:+.2f}], {p_text(gain['p_randomisation'])}"
        )
    return f"| {name} | {part['segments']} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

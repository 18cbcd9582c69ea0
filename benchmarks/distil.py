"""How much of a teacher does a student of a quarter of its size learn, and by which kind of distillation?

    python benchmarks/distil.py --data DIR --teacher runs/preferences/base --out runs/distil

The teacher is the base of preferences.py (Multi30k en-de, 1.88 million parameters; made when it is not there). Every student begins
with the same weights and sees as many tokens of the same training sentences: `plain` (references), `sequence` (the teacher's greedy
translations in their place), `token` (references, with what the teacher holds possible), `both` (its translations, with what it
holds possible) and `own` (half of the tokens as `both`, then on the student's own samples, judged by the teacher). All are scored on
500 sentences of test_2016_flickr, greedily; p of a paired bootstrap against `plain`. `closed`: the share of the gap between plain and
teacher in chrF2++. Speed is in sentences a second of processor time, taken in turns. The record goes to benchmarks/results/distil.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from preferences import AFTER, EN_DE, METRICS, RESULTS, TESTED, bootstrap, linked, measured, prepared_base, recipe

from dragoman import Translator, pipeline
from dragoman.cli.terminal import screen
from dragoman.core.records import Example
from dragoman.engine import load
from dragoman.engine.device import detect
from dragoman.engine.layers import parameters
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, model_folder, versions

STUDENT = "\nmodel: {new: {hidden: 48, layers: 3, heads: 4, feed_forward: 144, vocabulary: 8000, context: 256}}\n"
COMMON = (
    "optimiser: muon, learning_rate: RATE, schedule: linear, batch_tokens: 1024, accumulation: 2, "
    "evaluate_every: 100000, evaluate_sentences: 50, select: last, compile: false"
)
SFT = "sft: {epochs: EPOCHS, label_smoothing: 0.1, COMMON}"
SEQUENCE = "sft: {epochs: EPOCHS, COMMON}"
TOKEN = "distil: {teacher: TEACHER, epochs: EPOCHS, top_k: 16, mix: 0.7, COMMON}"
BOTH = "distil: {teacher: TEACHER, epochs: EPOCHS, top_k: 16, mix: 1, COMMON}"
OWN = "distil: {teacher: TEACHER, data: own, epochs: EPOCHS, top_k: 16, mix: 0.5, COMMON}"
ARMS: dict[str, tuple[str, list[tuple[str, float]]]] = {  # texts, phases with their share of the epochs
    "plain": ("references", [(SFT, 1)]),
    "sequence": ("teacher", [(SEQUENCE, 1)]),
    "token": ("references", [(TOKEN, 1)]),
    "both": ("teacher", [(BOTH, 1)]),
    "own": ("teacher", [(BOTH, 0.5), (OWN, 0.25)]),  # every sentence stands twice in the last
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument(
        "--teacher", type=Path, required=True, help="run of the teacher; trained when it is not there"
    )
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--tokens", default="2200k", help="prompt and target tokens of the teacher")
    arguments.add_argument("--pairs", type=int, default=11_000, help="training sentences of the students")
    arguments.add_argument("--epochs", type=float, default=2.0)
    arguments.add_argument("--rate", default="1.4e-2", help="learning rate of all arms; on own samples half of it")
    given = arguments.parse_args()
    listener = screen(sys.stderr, as_json=False, quiet=False)
    texts = prepared_base(given.data, given.teacher, listener, given.tokens)
    pipeline.run(
        recipe(given, "student", STUDENT),
        given.out / "student",
        stages=["model"],
        given={"prepare": texts},
        listener=listener,
    )
    prepared, left_out, seconds = both_texts(given, texts)
    systems = {"teacher": measured(linked(given.teacher, given.out / "teacher"), texts)}
    for name, (kind, phases) in ARMS.items():
        wish = "\n  - ".join(
            phase.replace("COMMON", COMMON)
            .replace("EPOCHS", str(given.epochs * share))
            .replace("RATE", given.rate if phase != OWN else f"{float(given.rate) / 2:g}")
            .replace("TEACHER", str(given.teacher.resolve()))
            for phase, share in phases
        )
        folder = given.out / name
        rest = AFTER.replace("BASE", str((given.out / "student").resolve())).replace("PHASE", wish)
        begun = time.process_time()
        pipeline.run(
            recipe(given, name, rest), folder, stages=["train"], given={"prepare": prepared[kind]}, listener=listener
        )
        note = folder / "seconds.json"
        if not note.is_file():
            note.write_text(json.dumps(round(time.process_time() - begun, 1)), encoding="utf-8")
        systems[name] = measured(folder, texts)
    write(given, systems, left_out, seconds, speeds(given, texts))


def both_texts(given: argparse.Namespace, texts: Artifact) -> tuple[dict[str, Artifact], int, float]:
    """The students' training sentences, with their references and with the teacher's translations; of how many it did not
    finish one (they are left out of both), and its processor seconds."""
    folders = {kind: given.out / f"texts-{kind}" for kind in ("references", "teacher")}
    if all((folder / "manifest.json").is_file() for folder in folders.values()):
        made = {kind: Artifact.load(folder) for kind, folder in folders.items()}
        return made, made["teacher"].facts["left_out"], made["teacher"].facts["seconds"]
    rows = list(records.read(texts.folder / "train", Example))[: given.pairs]
    begun = time.process_time()
    found = Translator.load(given.teacher, threads=1).translate([row.source for row in rows], EN_DE)
    seconds = round(time.process_time() - begun, 1)
    kept = [(row, one) for row, one in zip(rows, found, strict=True) if one.finished and not one.looped and one.text]
    facts = {"left_out": len(rows) - len(kept), "seconds": seconds}
    for kind, folder in folders.items():
        train = [
            row if kind == "references" else Example(row.source, one.text, "en", "de", row.origin, row.line)
            for row, one in kept
        ]
        records.write(folder / "train", train, Example)
        for split in ("dev", "test"):
            records.write(folder / split, list(records.read(texts.folder / split, Example)), Example)
        Artifact.finish(folder, "prepare", f"{texts.key}-{kind}-{given.pairs}", facts)
    return {kind: Artifact.load(folder) for kind, folder in folders.items()}, facts["left_out"], seconds


def speeds(given: argparse.Namespace, texts: Artifact) -> dict[str, float]:
    """Sentences a second of processor time, the best of three turns."""
    sources = [row.source for row in records.read(texts.folder / "test", Example)][:TESTED]
    runs = {
        "teacher": Translator.load(given.teacher, threads=1),
        "student": Translator.load(given.out / "plain", threads=1),
    }
    best = dict.fromkeys(runs, 0.0)
    for _ in range(3):
        for name, translator in runs.items():
            begun = time.process_time()
            translator.translate(sources, EN_DE)
            best[name] = max(best[name], len(sources) / (time.process_time() - begun))
    return {name: round(value, 1) for name, value in best.items()}


def write(
    given: argparse.Namespace, systems: dict[str, Any], left_out: int, seconds: float, speed: dict[str, float]
) -> None:
    plain = systems["plain"]["segments"]
    gap = systems["teacher"]["segments"]["chrf"].score.value - plain["chrf"].score.value
    rows = {}
    for name, system in systems.items():
        scores = {
            metric: {
                "value": round(float(found.score.value), 3),
                "p": None if name == "plain" else round(bootstrap(found, plain[metric]), 4),
                "signature": found.score.signature,
            }
            for metric, found in system["segments"].items()
        }
        folder = given.teacher if name == "teacher" else given.out / name
        phases = Artifact.load(folder / "train").facts["phases"]
        rows[name] = {
            "scores": scores,
            "closed": round(float(system["segments"]["chrf"].score.value - plain["chrf"].score.value) / gap, 4),
            "flags": system["flags"],
            "length": system["length"],
            "tokens": sum(phase["tokens"] for phase in phases),
            "processor_seconds": None if name == "teacher" else system["seconds"],
        }
        if taught := [phase["distil"]["divergence"] for phase in phases if "distil" in phase]:
            rows[name]["divergence"] = taught[-1]
    sizes = {
        name: parameters(load.load(model_folder(run)).model)
        for name, run in (("teacher", given.teacher), ("student", given.out / "plain"))
    }
    record = {
        "command": f"python benchmarks/distil.py --tokens {given.tokens} --pairs {given.pairs} --epochs {given.epochs:g}"
        f" --rate {given.rate}",
        "machine": {"processor": detect().name, "threads": 1},
        "versions": versions(),
        "recipes": {"student": STUDENT, "arms": ARMS, "COMMON": COMMON},
        "segments": len(plain[METRICS[0]]),
        "parameters": sizes,
        "sentences_per_processor_second": speed,
        "sequence": {"left_out": left_out, "processor_seconds_of_the_teacher": seconds},
        "systems": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    told = json.dumps(record, indent=1, ensure_ascii=False, default=str)
    (RESULTS / "distil.json").write_text(told + "\n", encoding="utf-8")
    for name, row in rows.items():
        print(name, {metric: score["value"] for metric, score in row["scores"].items()}, f"closed {row['closed']:.0%}")


if __name__ == "__main__":
    main()

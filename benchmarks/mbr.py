"""Minimum Bayes risk and beam search against greedy decoding: quality, cost, and what aggregated references change.

    python benchmarks/mbr.py --run runs/multi30k --data DIR

Translates multi30k/test_2016_flickr.tsv.gz with the run's model: greedily, with beams of 4 and 8, with one sample, and by
minimum Bayes risk over 16 and 64 samples (chrF utility, epsilon sampling); each with BLEU, chrF2++, TER, seconds, and paired
tests against greedy. Then, on the 64 samples of every segment: the choice by aggregated references against the exact one,
and the time of both against every pair scored by sacreBLEU (on `--timed` segments; it is slow) and by fastChrF (Vamvas's
exact chrF in Rust, characters only: ours then counts no words either; `pip install fastchrf`, not needed otherwise).
`--scaling` times our own two for 16 to 1,024 samples. Seconds are those of the processor, all threads together, so that a busy machine changes them
little. The record goes to benchmarks/results/mbr.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastchrf
import numpy as np
from sacrebleu.metrics import CHRF

from dragoman.core.recipe import Decoding
from dragoman.core.scores import mbr
from dragoman.core.scores.metrics import segments
from dragoman.core.scores.scoring import TestSettings, results
from dragoman.core.text.languages import Direction
from dragoman.engine.device import detect
from dragoman.store.run.artifact import versions
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"
DIRECTION = Direction("en", "de")
CANDIDATES = 64
EPSILON = 0.02
DECODINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beam 4": {"beam": 4},
    "beam 8": {"beam": 8},
    "one sample": {"sample": {"epsilon": EPSILON}},
    "MBR 16": {"mbr": {"candidates": 16, "epsilon": EPSILON}},
    "MBR 64": {"mbr": {"candidates": CANDIDATES, "epsilon": EPSILON}},
}


def decode(translator: Translator, texts: list[str], references: list[str]) -> tuple[dict[str, Any], list[list[str]]]:
    """Scores and seconds of every decoding, its paired tests against greedy; and the candidates of the last one."""
    translator.translate(texts[:32], DIRECTION)
    systems, seconds = {}, {}
    for name, options in DECODINGS.items():
        begun = time.process_time()
        with candidates() as groups:
            found = translator.translate(texts, DIRECTION, Decoding.model_validate(options))
        seconds[name] = round(time.process_time() - begun, 2)
        systems[name] = {m: segments(m, [h.text for h in found], references, "de") for m in ("bleu", "chrf", "ter")}
        print(f"{name}: {seconds[name]} s", flush=True)
    rows = results(systems, {name: "greedy" for name in systems if name != "greedy"}, TestSettings())
    return {
        name: {**row, "seconds": seconds[name], "cost": round(seconds[name] / seconds["greedy"], 2)}
        for name, row in rows.items()
    }, groups


@contextmanager
def candidates() -> Iterator[list[list[str]]]:
    """The candidates of every segment for which minimum Bayes risk chooses meanwhile."""
    groups: list[list[str]] = []
    choose = mbr.choose

    def seen(texts: Sequence[str], **options: Any) -> mbr.Choice:
        groups.append(list(texts))
        return choose(texts, **options)

    mbr.choose = seen
    try:
        yield groups
    finally:
        mbr.choose = choose


def by_sacrebleu(texts: Sequence[str]) -> int:
    """The exact choice, every pair of different candidates scored by sacreBLEU."""
    metric = CHRF(word_order=2)
    known: dict[tuple[str, str], float] = {}
    totals = []
    for text in texts:
        total = 0.0
        for other in texts:
            if (text, other) not in known:
                known[text, other] = metric.sentence_score(text, [other]).score
            total += known[text, other]
        totals.append(round(total / len(texts), 9))
    return totals.index(max(totals))


def by_fastchrf(texts: Sequence[str]) -> int:
    """The exact choice under chrF without words, every pair scored by fastChrF."""
    (matrix,) = fastchrf.pairwise_chrf([list(texts)], [list(texts)])
    return int(np.array(matrix).mean(axis=1).round(9).argmax())


def timed(work: Callable[[Sequence[str]], Any], groups: Sequence[Sequence[str]], rounds: int = 2) -> float:
    """Milliseconds of processor time for one segment: the best of several rounds over all."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        for group in groups:
            work(group)
        found.append(time.process_time() - begun)
    return round(1000 * min(found) / len(groups), 3)


WAYS: dict[str, Callable[[Sequence[str]], int]] = {
    "aggregated": lambda texts: mbr.choose(texts).index,
    "exact": lambda texts: mbr.choose(texts, aggregate=False).index,
    "exact, sacreBLEU": by_sacrebleu,
    "aggregated, characters": lambda texts: mbr.choose(texts, words=0).index,
    "exact, characters": lambda texts: mbr.choose(texts, aggregate=False, words=0).index,
    "exact, fastChrF": by_fastchrf,
}


def compare(groups: list[list[str]], references: list[str], few: int) -> dict[str, Any]:
    """Aggregated against exact on the same candidates: choices, scores, milliseconds for a segment."""
    chosen = {name: [group[WAYS[name](group)] for group in groups] for name in ("aggregated", "exact")}
    scores = {
        metric: {name: segments(metric, texts, references, "de").score.value for name, texts in chosen.items()}
        for metric in ("bleu", "chrf")
    }
    some = groups[:few]
    same = [WAYS["exact"](group) == by_sacrebleu(group) for group in some]
    alike = [WAYS["exact, characters"](group) == by_fastchrf(group) for group in groups]
    milliseconds = {name: timed(way, groups) for name, way in WAYS.items() if "sacreBLEU" not in name}
    milliseconds["exact, sacreBLEU"] = timed(by_sacrebleu, some, rounds=1)
    return {
        "segments": len(groups),
        "candidates": len(groups[0]),
        "different_candidates": round(statistics.mean(len(set(group)) for group in groups), 1),
        "same_choice": sum(a == b for a, b in zip(*chosen.values(), strict=True)) / len(groups),
        **scores,
        "exact_choice_is_sacrebleus": f"{sum(same)} of {len(same)}",
        "exact_choice_is_fastchrfs": f"{sum(alike)} of {len(alike)}",
        "milliseconds": milliseconds,
        "times_faster_than_sacrebleu": round(milliseconds["exact, sacreBLEU"] / milliseconds["aggregated"], 1),
        "times_faster_than_fastchrf": round(
            milliseconds["exact, fastChrF"] / milliseconds["aggregated, characters"], 1
        ),
        "times_faster_than_own_exact": round(milliseconds["exact"] / milliseconds["aggregated"], 1),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--run", type=Path, required=True)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--segments", type=int, default=1000)
    arguments.add_argument("--timed", type=int, default=20, help="segments on which sacreBLEU's pairs are timed")
    arguments.add_argument("--scaling", type=int, default=10, help="segments with 16 to 1,024 samples; 0 leaves it out")
    arguments.add_argument("--record", type=Path, default=RESULTS / "mbr.json")
    given = arguments.parse_args()
    with gzip.open(given.data / "multi30k" / "test_2016_flickr.tsv.gz", "rt", encoding="utf-8", newline="") as lines:
        rows = [line.split("\t") for line in lines.read().split("\n")[1:] if line][: given.segments]
    texts, references = [row[0] for row in rows], [row[1] for row in rows]
    translator = Translator.load(given.run)
    decodings, groups = decode(translator, texts, references)
    choices = compare(groups, references, given.timed)
    scaling = []
    for count in (16, 64, 256, 1024) if given.scaling else ():
        with candidates() as groups:
            wanted = Decoding.model_validate({"mbr": {"candidates": count, "epsilon": EPSILON}})
            translator.translate(texts[: given.scaling], DIRECTION, wanted)
        ways = ("aggregated", "exact")
        scaling.append({"candidates": count, **{way: timed(WAYS[way], groups) for way in ways}})
    record = {
        "command": f"python benchmarks/mbr.py --run runs/multi30k --data DIR --segments {given.segments} "
        f"--timed {given.timed} --scaling {given.scaling}",
        "machine": {"processor": detect().name, "threads": detect().threads},
        "versions": versions(),
        "segments": len(texts),
        "epsilon": EPSILON,
        "decodings": decodings,
        "aggregated_against_exact": choices,
        "milliseconds_by_candidates": scaling,
    }
    given.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, row in decodings.items():
        told = ", ".join(f"{m} {row['scores'][m]['value']:.2f}" for m in ("bleu", "chrf", "ter"))
        gain = row["gains"].get("chrf")
        print(
            f"{name}: {told}, {row['seconds']} s"
            + (f", chrF {gain['gain']:+.2f} p={gain['p_randomisation']:.4f}" if gain else "")
        )
    print(json.dumps({"aggregated_against_exact": choices, "scaling": scaling}, indent=1))


if __name__ == "__main__":
    main()

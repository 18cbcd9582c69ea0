"""False alarms and power of the drift tests on real text: `python benchmarks/drift.py --data ../shared/data`.

Baseline: Tatoeba en-fr. Windows of 500 segments are drawn from other segments of the same corpus (false alarms), and with a
planted change (power). The translations are the references: a model's own mistakes would only add noise to both sides.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from dragoman.core.records import Hypothesis
from dragoman.core.scores.flags import Flagger
from dragoman.core.text.identify import Identifier
from dragoman.core.text.languages import Direction
from dragoman.core.watch.drift import Sample, compare
from dragoman.core.watch.features import Segment, hashed, measure, words

WINDOW, BASELINE, KEY = 500, 1_000, "benchmark"
WAY = Direction("en", "fr")
Pair = tuple[str, str]


def read(path: Path) -> list[Pair]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        return [(row[0], row[1]) for row in rows]


def sample(pairs: list[Pair], known: np.ndarray) -> Sample:
    identifier = Identifier(["en", "fr"])
    flags = Flagger(WAY, ["en", "fr"]).flags([a for a, _ in pairs], [Hypothesis(b, 0.0, 1, True) for _, b in pairs])
    segments = [
        Segment(a, b, flags=doubts, other_language=identifier.stranger(a, "en", 0.9) is not None)
        for (a, b), doubts in zip(pairs, flags, strict=True)
    ]
    held = measure(segments, WAY, known=known, key=KEY)
    return Sample(
        np.stack([one.features for one in held]),
        np.stack([one.sketch for one in held]),
        [one.unknown for one in held],
    )


def pick(held: Sample, rows: np.ndarray) -> Sample:
    return Sample(held.features[rows], held.sketches[rows], [held.unknown[row] for row in rows])


def joined(left: Sample, right: Sample) -> Sample:
    return replace(
        left,
        features=np.concatenate([left.features, right.features]),
        sketches=np.concatenate([left.sketches, right.sketches]),
        unknown=[*left.unknown, *right.unknown],
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--windows", type=int, default=1_000)
    parser.add_argument("--planted", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "drift.json")
    wanted = parser.parse_args()
    random = np.random.default_rng(7)
    train = read(wanted.data / "tatoeba" / "train.en-fr.tsv.gz")
    order = random.permutation(len(train))
    rows = [train[number] for number in order]
    trained, base, pool = rows[:60_000], rows[60_000 : 60_000 + BASELINE], rows[70_000:90_000]
    medical = read(wanted.data / "medical" / "emea_en-fr_train.tsv.gz")
    known = np.sort(hashed({word for a, _ in trained for word in words(a, "en")}, KEY))
    begun = time.perf_counter()
    normal, others = sample(base, known), sample(pool, known)
    per_segment = (time.perf_counter() - begun) / (len(base) + len(pool))
    foreign = sample(medical, known)
    changes = {
        "numbers dropped in 5 %": lambda a, b: (a, re.sub(r"\d+", "", b)),
        "sources 20 % longer": lambda a, b: (
            " ".join([*a.split(), *a.split()[: max(1, round(len(a.split()) * 0.2))]]),
            b,
        ),
        "a new term in 3 %": lambda a, b: (re.sub(r"^(\S+)", r"\1 Zolpirand", a), b),
    }
    found: dict[str, object] = {
        "segments": {"baseline": BASELINE, "window": WINDOW},
        "milliseconds": round(per_segment * 1e3, 3),
    }

    begun = time.perf_counter()
    names: Counter[str] = Counter()
    alarms = 0
    for number in range(wanted.windows):
        window = pick(others, random.choice(len(pool), WINDOW, replace=False))
        drifted = [one.name for one in compare(normal, window, seed=number) if one.drifted]
        alarms += bool(drifted)
        names.update(drifted)
    found["false alarms"] = {"windows": wanted.windows, "alarmed": alarms, "by": dict(names.most_common())}
    found["seconds of a window"] = round((time.perf_counter() - begun) / max(1, wanted.windows), 3)
    print(json.dumps(found, indent=1), flush=True)

    digits = [number for number, (a, b) in enumerate(pool) if re.search(r"\d", b)]
    planted = {}
    for share in (0.1, 0.25, 0.5):
        planted[f"medical in {share:.0%}"] = lambda share=share: joined(
            pick(others, random.choice(len(pool), round(WINDOW * (1 - share)), replace=False)),
            pick(foreign, random.choice(len(medical), round(WINDOW * share), replace=False)),
        )
    for name, share in (("numbers dropped in 5 %", 0.05), ("sources 20 % longer", 1.0), ("a new term in 3 %", 0.03)):
        spoiled = digits if "numbers" in name else range(len(pool))
        changed = sample([changes[name](*pool[number]) for number in spoiled], known)
        planted[name] = lambda share=share, changed=changed: joined(
            pick(others, random.choice(len(pool), round(WINDOW * (1 - share)), replace=False)),
            pick(changed, random.choice(len(changed), round(WINDOW * share), replace=False)),
        )
    power = {}
    for name, window in planted.items():
        names, hits = Counter(), 0
        for number in range(wanted.planted):
            drifted = [one.name for one in compare(normal, window(), seed=number) if one.drifted]
            hits += bool(drifted)
            names.update(drifted)
        power[name] = {"windows": wanted.planted, "found": hits, "by": dict(names.most_common(8))}
        print(name, power[name], flush=True)
    found["power"] = power
    wanted.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

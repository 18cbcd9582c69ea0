"""How long `prepare` takes for so many pairs with so many workers, and how much memory its processes need together.

    python benchmarks/prepare_speed.py --rows 100000 300000 1000000 --workers 1 2

Each number of workers must write the same bytes. The slope is that of the processor time over the rows, both as logarithms:
1 is in proportion. The record goes to benchmarks/results/prepare_speed.json.

The pairs are made from real English-French text (everyday sentences, news, medical text, software documentation), so
that lengths, digits, markup and noise are like those of real files: each row is a real pair or two of one source
joined, with 5 % exact repetitions, 2 % near repetitions and 3 % spoilt rows mixed in. The texts come from the folder
that DRAGOMAN_DATA names (default: ../shared/data beside the repository); they are not part of it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
import platform
import random
import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from dragoman.core.recipe import Recipe
from dragoman.jobs import spread
from dragoman.stages import prepare
from dragoman.store.run.artifact import file_digest

Pair = tuple[str, str]
SOURCES = {
    "tatoeba/train.en-fr.tsv.gz": ("source", "target"),
    "news/newstest2008-2013.en-de-fr-cs-es.tsv.gz": ("source", "target_fr"),
    "medical/emea_en-fr_train.tsv.gz": ("source", "target"),
    "software_docs/python-docs-fr.en-fr.tsv.gz": ("source", "target"),
    "software_docs/gnome-help.en-fr.tsv.gz": ("source", "target"),
}
SHARES = (0.4, 0.25, 0.1, 0.2, 0.05)


def data_folder() -> Path:
    return Path(os.environ.get("DRAGOMAN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def real_pairs() -> list[list[Pair]]:
    found = []
    for name, (source, target) in SOURCES.items():
        with gzip.open(data_folder() / name, "rt", encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
            found.append([(row[source], row[target]) for row in rows if row[source] and row[target]])
    return found


def synthetic(rows: int, seed: int = 1) -> Iterator[Pair]:
    """Real pairs, joined pairs, repetitions and spoilt rows, in random order."""
    pools = real_pairs()
    chance = random.Random(seed)
    recent: list[Pair] = []
    for _ in range(rows):
        pool = chance.choices(pools, SHARES)[0]
        draw = chance.random()
        if draw < 0.05 and recent:
            pair = chance.choice(recent)
        elif draw < 0.07 and recent:
            source, target = chance.choice(recent)
            pair = (source.rstrip(".") + " now.", target.rstrip(".") + " ici.")
        else:
            first, second = chance.choice(pool), chance.choice(pool)
            pair = (
                first
                if len(first[0]) > 120 and chance.random() < 0.5
                else (f"{first[0]} {second[0]}", f"{first[1]} {second[1]}")
            )
            if draw > 0.97:
                pair = spoilt(pair, chance.choice(pool), chance)
        if len(recent) < 20_000:
            recent.append(pair)
        else:
            recent[chance.randrange(20_000)] = pair
        yield pair


def spoilt(pair: Pair, other: Pair, chance: random.Random) -> Pair:
    source, target = pair
    return chance.choice(
        [(source, ""), (source, source), (target, source), (source, other[1]), (source, target[: len(target) // 5])]
    )


class Memory(threading.Thread):
    """Peak memory of this process and its children together, sampled twice a second.

    `rss` counts pages that processes share once in each of them; `pss` counts them once.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.rss = self.pss = 0
        self.stop = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self.stop.wait(0.5):
            rss = pss = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    info = process.memory_full_info()
                    rss, pss = rss + info.rss, pss + info.pss
                except psutil.Error:
                    continue
            self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)


class Phases:
    """Seconds of each of the stage's tasks, from what it tells its listener."""

    def __init__(self) -> None:
        self.seen: dict[str, list[float]] = {}

    def say(self, text: str) -> None:
        print(text, flush=True)

    warn = say

    def progress(self, task: str, done: float, total: float | None = None, **facts: object) -> None:
        self.seen.setdefault(task, [time.perf_counter()])[1:] = [time.perf_counter()]


def used() -> float:
    """Processor seconds of this process and of its children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def measured(folder: Path, workers: int) -> dict[str, Any]:
    recipe = Recipe.parse(
        "pairs: en-fr\nprepare:\n  parallel: [{path: pairs.en-fr.tsv, quoting: none}]\n", folder=folder
    )
    memory, phases = Memory(), Phases()
    memory.start()
    before, start = used(), time.perf_counter()
    with spread(workers, None):
        artifact = prepare.run(recipe, {}, folder / f"prepare-{workers}", "benchmark", phases)
    seconds, processor = time.perf_counter() - start, used() - before
    memory.stop.set()
    memory.join()
    found = {
        "workers": workers,
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "phases": {task: round(times[-1] - times[0], 1) for task, times in phases.seen.items()},
        "peak_memory_mb": {"pss": round(memory.pss / 1e6), "rss": round(memory.rss / 1e6)},
        "rows": artifact.facts["rows"],
        "reasons": artifact.facts["reasons"],
        "digest": file_digest(artifact.folder),
    }
    shutil.rmtree(artifact.folder)
    return found


def sized(rows: int, workers: list[int]) -> dict[str, Any]:
    """All numbers of workers on one file of so many rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lengths: Counter[str] = Counter()
        with (folder / "pairs.en-fr.tsv").open("w", encoding="utf-8", newline="\n") as stream:
            stream.write("source\ttarget\n")
            for source, target in synthetic(rows):
                stream.write(f"{source}\t{target}\n")
                lengths.update(source=len(source.split()), target=len(target.split()))
        size = (folder / "pairs.en-fr.tsv").stat().st_size
        runs = [measured(folder, count) for count in workers]
    return {
        "rows": rows,
        "bytes": size,
        **{f"{k}_words_mean": round(v / rows, 1) for k, v in lengths.items()},
        "identical": len({run.pop("digest") for run in runs}) == 1,
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "prepare_speed.json")
    given = parser.parse_args()
    sizes = []
    for rows in given.rows:
        sizes.append(sized(rows, given.workers))
        logs = [(math.log(one["rows"]), math.log(one["runs"][-1]["processor_seconds"])) for one in sizes]
        result = {
            "command": f"python benchmarks/prepare_speed.py --rows {' '.join(map(str, given.rows))} "
            f"--workers {' '.join(map(str, given.workers))}",
            "machine": {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
            "note": "other work ran on the same cores, so that wall times are upper bounds; processor time counts",
            "slope": round(statistics.linear_regression(*zip(*logs, strict=True)).slope, 3) if len(logs) > 1 else None,
            "sizes": sizes,
        }
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""Figures of the translation memory: a million segments built and searched, recall of the candidates, match bands.

    python benchmarks/memory.py million recall bands kills compare --out benchmarks/results/memory.json

The million is made from the shared texts (DRAGOMAN_DATA): all real English segments but 1,000, then variants of them in
which words are replaced by words of other segments, or the halves of two segments are joined. So word frequencies and
lengths stay those of real text. Times are of one thread, by the wall clock and by its processor time (`cpu`),
which a busy machine does not distort as much; pin it to one core with `taskset -c 0`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.memory.matching import words
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.store.memory.fuzzy import Part, Query, encode_many
from dragoman.store.memory.translation_memory import Memory, twin_keys
from dragoman.store.run.artifact import versions

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DRAGOMAN_DATA", ROOT.parent / "shared" / "data"))
EN_FR = Direction("en", "fr")
FILES = {
    "medical/emea_en-fr_train.tsv.gz": "target",
    "medical/emea_en-fr_tm.tsv.gz": "target",
    "software_docs/python-docs-fr.en-fr.tsv.gz": "target",
    "software_docs/gnome-help.en-fr.tsv.gz": "target",
    "tatoeba/train.en-fr.tsv.gz": "target",
    "multi30k/train.tsv.gz": "target_fr",
    "news/newstest2008-2013.en-de-fr-cs-es.tsv.gz": "target_fr",
    "mono/news.en.tsv.gz": "source",  # no French: its own text stands in
}


def rows(name: str, *columns: str) -> Iterator[tuple[str, ...]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield tuple(row[column] for column in columns)


def real(seed: int = 7) -> list[tuple[str, str]]:
    """All real pairs, each source once, shuffled."""
    found: dict[str, str] = {}
    for name, target in FILES.items():
        for source, text in rows(name, "source", target):
            found.setdefault(source, text)
    pairs = list(found.items())
    random.Random(seed).shuffle(pairs)
    return pairs


def grown(pairs: Sequence[tuple[str, str]], count: int, seed: int = 7) -> Iterator[tuple[str, str]]:
    """`pairs`, then variants of them, `count` in all, each source once."""
    rng = random.Random(seed)
    pool = [word for source, _ in rng.sample(list(pairs), min(60_000, len(pairs))) for word in source.split()]
    seen = set()
    pending = iter(pairs)
    while len(seen) < count:
        source, target = next(pending, ("", ""))
        if not source:
            source, target = rng.choice(pairs)
            parts = source.split()
            if rng.random() < 0.35:
                other = rng.choice(pairs)[0].split()
                parts = parts[: max(1, len(parts) // 2)] + other[len(other) // 2 :]
            elif parts:
                for _ in range(rng.randint(1, max(1, len(parts) // 3))):
                    parts[rng.randrange(len(parts))] = rng.choice(pool)
            source = " ".join(parts)
        if source and source not in seen:
            seen.add(source)
            yield source, target


def edited(source: str, pool: Sequence[str], rng: random.Random) -> str:
    """One to three words replaced, left out or put in."""
    parts = source.split()
    for _ in range(rng.randint(1, 3)):
        at, kind = rng.randrange(len(parts)), rng.random()
        if kind < 0.4:
            parts[at] = rng.choice(pool)
        elif kind < 0.7 and len(parts) > 1:
            del parts[at]
        else:
            parts.insert(at, rng.choice(pool))
    return " ".join(parts)


def peak() -> float:
    """GiB that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time, which other work on the machine does not distort much, and the result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def latency(search: Callable[[str], Any], queries: Sequence[str]) -> dict[str, float]:
    """Percentiles of the time of one search, in milliseconds."""
    for query in queries[:20]:
        search(query)
    taken: dict[str, list[float]] = {"wall": [], "cpu": []}
    for query in queries:
        wall, cpu = time.perf_counter(), time.thread_time()
        search(query)
        taken["cpu"].append((time.thread_time() - cpu) * 1e3)
        taken["wall"].append((time.perf_counter() - wall) * 1e3)
    return {
        f"{clock}_p{n}_ms": round(float(np.percentile(times, n)), 2)
        for clock, times in taken.items()
        for n in (50, 95, 99)
    }


# ---------------------------------------------------------------- parts


def million(folder: Path, count: int) -> dict[str, Any]:
    pairs = real()
    held, rest = [source for source, _ in pairs[:1000]], pairs[1000:]
    path = folder / "memory.sqlite"
    with Memory.open(path, create=True) as memory:
        examples = (Example(source, target, "en", "fr") for source, target in grown(rest, count))
        base, began = peak(), time.perf_counter()
        add, added = timed(lambda: memory.add(examples))
        index, _ = timed(memory.index)
    size = sum(file.stat().st_size for file in (folder / "memory.index").rglob("*") if file.is_file())
    result = {
        "segments": added.count,
        "add_cpu_s": round(add, 1),  # the generator's own time included
        "index_both_ways_cpu_s": round(index, 1),
        "add_and_index_wall_s": round(time.perf_counter() - began, 1),
        "peak_gib": round(peak(), 2),
        "before_gib": round(base, 2),  # the texts that the generator holds
        "database_mb": round(path.stat().st_size / 1e6),
        "index_mb": round(size / 1e6),
    }
    memory = Memory.open(path)
    result["first_answer_after_open_cpu_s"] = round(timed(lambda: memory.search(held[0], EN_FR))[0], 3)
    rng = random.Random(3)
    stored = [source for source, _ in rest]
    pool = [word for source in stored[:20000] for word in source.split()]
    queries = {
        "unseen": held,
        "edited": [edited(source, pool, rng) for source in rng.sample(stored, 1000)],
        "stored": rng.sample(stored, 1000),
    }
    for name, texts in queries.items():
        result[f"search_{name}"] = latency(lambda text: memory.search(text, EN_FR), texts)
        result[f"search_{name}_min_0.5"] = latency(lambda text: memory.search(text, EN_FR, min_match=0.5), texts)
    new = [Example(f"{source} again", "x", "en", "fr") for source in held[:300]]
    found = []

    def add_and_find(number: int) -> None:
        memory.add([new[number]])
        found.append(memory.search(new[number].source, EN_FR, k=1)[0].source == new[number].source)

    taken = [timed(lambda n=number: add_and_find(n))[0] * 1e3 for number in range(len(new))]
    result["add_then_search_cpu"] = {
        "p50_ms": round(float(np.median(taken)), 2),
        "p95_ms": round(float(np.percentile(taken, 95)), 2),
    }
    result["found_at_once"] = f"{sum(found)} of {len(found)}"
    memory.close()
    return result


def recall(stored_count: int = 20_000, query_count: int = 1000) -> dict[str, Any]:
    """Is the best of all found? Real unseen queries, real segments; brute force is rapidfuzz over every segment."""
    pairs = [source for source, _ in real()]
    queries, stored = pairs[:query_count], pairs[query_count : query_count + stored_count]
    part = Part.build(np.arange(1, len(stored) + 1, dtype=np.int64), *encode_many(stored))
    everything = np.arange(len(part))
    asked = [Query.of(text) for text in queries]
    best = np.array([part._matches(query, everything).max() for query in asked])
    found = np.array([max([*part.search(query, 1)[1], 0.0]) for query in asked])
    hit = found >= best - 1e-9
    result: dict[str, Any] = {
        "segments": len(stored),
        "queries": len(queries),
        "recall_at_1": round(float(hit.mean()), 4),
    }
    for low in (0.3, 0.5, 0.7):
        result[f"best_at_least_{low}"] = {
            "queries": int((best >= low).sum()),
            "recall_at_1": round(float(hit[best >= low].mean()), 4),
        }
    result["mean_match_lost"] = round(float((best - found).mean()), 5)
    return result


BANDS = (0.0, 0.5, 0.7, 0.85, 0.95, 1.01)


def _bands(matches: Sequence[float]) -> dict[str, str]:
    counts, _ = np.histogram(matches, bins=BANDS)
    names = ["below 50", "50-70", "70-85", "85-95", "95-100"]
    return {name: f"{count} ({count / len(matches):.1%})" for name, count in zip(names, counts.tolist(), strict=True)}


def bands(folder: Path) -> dict[str, Any]:
    """The best match of each medical training source, in the published memory and in the training set itself."""
    train = [Example(*row, "en", "fr") for row in rows("medical/emea_en-fr_train.tsv.gz", "source", "target")]
    published = [Example(*row, "en", "fr") for row in rows("medical/emea_en-fr_tm.tsv.gz", "source", "target")]
    result: dict[str, Any] = {"train": len(train), "memory": len(published)}
    texts, keys = [example.source for example in train], [twin_keys(example) for example in train]
    for name, examples in (("memory", published), ("train", train)):
        with Memory.open(folder / f"{name}.sqlite", create=True) as memory:
            memory.add(examples)
            for how, excludes in (("all", None), ("leave_one_out", keys)):
                taken, found = timed(lambda e=excludes: memory.search_many(texts, EN_FR, k=1, excludes=e))
                result[f"{name}_{how}"] = _bands([m[0].match if m else 0.0 for m in found])
                result[f"{name}_{how}_cpu_ms_per_query"] = round(taken / len(texts) * 1e3, 2)
    return result


def kills(count: int) -> dict[str, Any]:
    """The test of the same name, with more kills."""
    command = [sys.executable, "-m", "pytest", "tests/store/test_memory.py", "-k", "survives_kill", "-q"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "DRAGOMAN_KILLS": str(count)}, check=False)
    return {"kills": count, "passed": done.returncode == 0}


# ---------------------------------------------------------------- other candidate steps


def compare(count: int) -> dict[str, Any]:
    """Other ways to the candidates, on the same segments and queries: 50 candidates, then the same exact match."""
    pairs = real()
    queries = [source for source, _ in pairs[:100]]
    stored = [source for source, _ in grown(pairs[1000:], count)]
    seconds, part = timed(lambda: Part.build(np.arange(len(stored), dtype=np.int64), *encode_many(stored)))
    place = np.empty(len(part), dtype=np.int64)
    place[part.ids] = np.arange(len(part))
    result: dict[str, Any] = {}

    def note(name: str, built: float, candidates: Callable[[str], Any]) -> None:
        def best(text: str) -> float:
            found = np.asarray(candidates(text), dtype=np.int64)
            return float(part._matches(Query.of(text), place[found]).max()) if len(found) else 0.0

        speed = latency(best, queries)
        matches = np.array([best(text) for text in queries])
        result[name] = {"build_cpu_s": round(built, 1), **speed, "mean_best_match": round(float(matches.mean()), 4)}

    note("posting lists in NumPy (this)", seconds, lambda text: part.search(Query.of(text), 50)[0])
    for tokenizer in ("unicode61", "trigram"):
        connection = sqlite3.connect(":memory:")
        connection.execute(f"CREATE VIRTUAL TABLE t USING fts5(x, content='', tokenize='{tokenizer}')")

        def fill(connection: sqlite3.Connection = connection) -> None:
            connection.executemany("INSERT INTO t (rowid, x) VALUES (?, ?)", enumerate(stored, 1))
            connection.commit()

        def fts(
            text: str, connection: sqlite3.Connection = connection, trigram: bool = tokenizer == "trigram"
        ) -> list[int]:
            units = {plain for plain, _ in words(text)}
            if trigram:
                units = {text[at : at + 3] for at in range(len(text) - 2)}
            query = " OR ".join('"' + unit.replace('"', '""') + '"' for unit in sorted(units))
            sql = "SELECT rowid - 1 FROM t WHERE t MATCH ? ORDER BY rank LIMIT 50"
            return [row[0] for row in connection.execute(sql, (query,))] if units else []

        note(f"SQLite FTS5, {tokenizer}", timed(fill)[0], fts)
        connection.close()
    return {"segments": len(stored), **result, "note": "trigram on 30 of the 200 queries"} | _bm25s(
        stored, note, result
    )


def _bm25s(stored: Sequence[str], note: Callable[..., None], result: dict[str, Any]) -> dict[str, Any]:
    try:
        import bm25s
    except ImportError:
        return {"bm25s": "not installed"}
    index = bm25s.BM25()

    def fill() -> None:
        index.index([[plain for plain, _ in words(text)] for text in stored], show_progress=False)

    def search(text: str) -> Any:
        found = index.retrieve([[plain for plain, _ in words(text)]], k=50, show_progress=False)
        return found[0][0]

    note("bm25s", timed(fill)[0], search)
    return {"bm25s": result["bm25s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["million", "recall", "bands", "kills", "compare"])
    parser.add_argument("--count", type=int, default=1_000_000, help="segments of `million`")
    parser.add_argument("--compare-count", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    if arguments.out and arguments.out.exists():
        results = json.loads(arguments.out.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("million", "bands"):
            (folder / part).mkdir()
        work: dict[str, Callable[[], dict[str, Any]]] = {
            "million": lambda: million(folder / "million", arguments.count),
            "recall": recall,
            "bands": lambda: bands(folder / "bands"),
            "kills": lambda: kills(arguments.kills),
            "compare": lambda: compare(arguments.compare_count),
        }
        for part in arguments.parts:
            results[part] = work[part]()
            print(json.dumps({part: results[part]}, indent=1), flush=True)
    machine = {"cores_used": len(os.sched_getaffinity(0)), "machine": platform.machine(), **versions()}
    results["environment"] = machine | {"command": " ".join(["python", "benchmarks/memory.py", *sys.argv[1:]])}
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""A file in shards: which are done, who does the next one, and what becomes of a worker's rows when it is lost."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dragoman.bulk.work import Made, Record, Row, failed
from dragoman.core.listen import SILENT, Listener
from dragoman.errors import CheckpointError, DataError
from dragoman.jobs import Pool, Runner, WorkerLostError
from dragoman.jobs.runner import TRIES
from dragoman.store.formats.readers.lines import Fault, read_lines
from dragoman.store.run.artifact import read_rows, write_atomic, write_json

_USUAL = ("source", "src", "text", "sentence", "segment", "original", "source_text", "content")
_JOB, _REPORT, _SHARDS = "job.json", "report.json", "shards"


@dataclass(frozen=True)
class Job:
    """One file to translate into the folder `out`. `made_of` says by what (model, direction, settings): a folder that was
    begun with something else is refused. `column`: the key of JSON rows that holds the text."""

    source: Path
    out: Path
    made_of: str
    rows: int = 1000  # of a shard
    column: str | None = None


@dataclass
class Report:
    """What became of the rows."""

    rows: int = 0
    translated: int = 0
    kept: int = 0  # of them, in shards that were done before
    reasons: Counter[str] = field(default_factory=Counter)  # rows without a translation
    shards: int = 0
    lost: int = 0  # workers that ended in the midst of a shard, which was done again
    seconds: float = 0.0
    worker_seconds: float = 0.0  # processor time of all workers
    workers: int = 1

    def to_json(self) -> dict[str, Any]:
        done = self.rows - self.kept
        return {
            "rows": self.rows,
            "translated": self.translated,
            "without": dict(self.reasons),
            "kept": self.kept,
            "shards": self.shards,
            "workers": self.workers,
            "workers_lost": self.lost,
            "seconds": round(self.seconds, 2),
            "worker_cpu_seconds": round(self.worker_seconds, 2),
            "rows_per_s": round(done / self.seconds, 2) if self.seconds else None,
            "rows_per_cpu_s": round(done / self.worker_seconds, 2) if self.worker_seconds else None,
        }


@dataclass
class _Shard:
    """Rows under way: in pieces where a worker was lost on them, so that the row that does it is found."""

    path: Path
    faults: list[Record]  # rows without a text
    pieces: deque[tuple[list[Row], int]] = field(default_factory=deque)  # rows, workers that they may take with them
    made: list[Record] = field(default_factory=list)
    open: int = 0  # pieces that are with a worker


def translate(job: Job, pool: Pool, listener: Listener = SILENT) -> Report:
    """Translate what is not done yet, and write `out/NAME.jsonl` when all shards are. The pool's worker is a `Spec`.

    Raises CheckpointError for a folder that holds another job, DataError for a file without texts.
    """
    begun = time.monotonic()
    report = Report(workers=pool.size)
    shards = job.out / _SHARDS
    under_way: deque[_Shard] = deque()
    busy: dict[int, _Shard] = {}
    runner: Runner[list[Row], Made] = Runner(pool, listener)
    with runner:
        _claim(job)
        total = sum(1 for _ in read_lines(str(job.source)))
        todo = _todo(job, shards, report)
        while True:
            while runner.free and (piece := _next(under_way, todo)) is not None:
                shard, rows, tries = piece
                busy[runner.give(rows, tries)] = shard
            ended = runner.next()
            if ended is None:
                break
            shard = busy.pop(ended.number)
            shard.open -= 1
            if ended.result is not None:
                shard.made += ended.result.records
                report.worker_seconds += ended.result.seconds
            elif isinstance(ended.error, WorkerLostError):
                _again(shard, ended.job, str(ended.error))
            elif ended.error is not None:
                raise ended.error
            if not shard.open and not shard.pieces:
                under_way.remove(shard)
                _write(shard, report)
                listener.progress("translate", report.rows, total)
    report.lost = runner.lost
    _join(job, shards, report)
    report.seconds = time.monotonic() - begun
    write_json(job.out / _REPORT, report.to_json())
    return report


def output(job: Job) -> Path:
    """The file with all rows."""
    name = job.source.name
    for suffix in reversed(job.source.suffixes):
        name = name.removesuffix(suffix)
    return job.out / f"{name}.jsonl"


def _claim(job: Job) -> None:
    path = job.out / _JOB
    wish = {"file": job.source.name, "made_of": job.made_of, "rows": job.rows, "column": job.column}
    if path.is_file():
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            held = None
        if held != wish:
            raise CheckpointError(
                f"{job.out}: holds the translation of another file, or by another model or with other settings. Give this "
                "one a folder of its own with --out."
            )
        return
    write_json(path, wish)


# ---------------------------------------------------------------- shards


def _todo(job: Job, shards: Path, report: Report) -> Iterator[_Shard]:
    """The shards that are not done; those that are are counted."""
    rows = _rows(job)
    wanted: set[str] = set()
    number = 0
    while some := list(islice(rows, job.rows)):
        texts = [row for row, fault in some if fault is None]
        faults = [failed(row, fault) for row, fault in some if fault is not None]
        identity = hashlib.sha256(json.dumps(some).encode()).hexdigest()[:16]
        path = shards / f"{number:06}-{identity}.jsonl"
        wanted.add(path.name)
        number += 1
        report.shards = number
        if path.is_file():
            records = read_rows(path)
            _count(records, report)
            report.kept += len(records)
            continue
        shard = _Shard(path, faults, deque([(texts, TRIES)]))
        if texts:
            yield shard
        else:
            _write(shard, report)
    if not number:
        raise DataError(f"{job.source}: has no rows.")
    for stale in shards.glob("*.jsonl"):
        if stale.name not in wanted:  # of an earlier state of the file
            stale.unlink()


def _rows(job: Job) -> Iterator[tuple[Row, str | None]]:
    """Each row, and why it cannot be translated where it cannot."""
    as_json = ".jsonl" in job.source.suffixes or ".ndjson" in job.source.suffixes
    for number, line in read_lines(str(job.source)):
        if isinstance(line, Fault):
            yield (number, line.text), line.reason
        elif not as_json:
            yield (number, line), None if line.strip() else "empty"
        else:
            yield _record(number, line, job)


def _record(number: int, line: str, job: Job) -> tuple[Row, str | None]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return (number, line[:200]), "no_json"
    if not isinstance(found, dict):
        return (number, line[:200]), "no_json"
    keys = [job.column] if job.column else [key for key in _USUAL if key in found]
    text = found.get(keys[0]) if keys else None
    if not isinstance(text, str):
        return (number, ""), "no_text"
    return (number, text), None if text.strip() else "empty"


def _next(under_way: deque[_Shard], todo: Iterator[_Shard]) -> tuple[_Shard, list[Row], int] | None:
    for shard in under_way:
        if shard.pieces:
            rows, tries = shard.pieces.popleft()
            shard.open += 1
            return shard, rows, tries
    new = next(todo, None)
    if new is None:
        return None
    under_way.append(new)
    rows, tries = new.pieces.popleft()
    new.open += 1
    return new, rows, tries


def _again(shard: _Shard, rows: list[Row], why: str) -> None:
    """Rows that have taken workers with them: in halves; one that does it alone is left out under its reason."""
    if len(rows) == 1:
        shard.made.append(failed(rows[0], f"worker_lost: {why}"))
        return
    half = len(rows) // 2
    shard.pieces.extend([(rows[:half], 1), (rows[half:], 1)])


def _write(shard: _Shard, report: Report) -> None:
    records = sorted([*shard.made, *shard.faults], key=lambda record: int(record["line"]))
    text = "".join(json.dumps(record) + "\n" for record in records)  # escaped: a lone surrogate is no UTF-8
    write_atomic(shard.path, text.encode())
    _count(records, report)


def _count(records: Sequence[Record], report: Report) -> None:
    report.rows += len(records)
    for record in records:
        if record["translation"] is None:
            report.reasons[str(record["error"]).partition(":")[0]] += 1
        else:
            report.translated += 1


def _join(job: Job, shards: Path, report: Report) -> None:
    """All shards as one file, complete or not at all."""
    path = output(job)
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(_lines(sorted(shards.glob("*.jsonl"))))
    unfinished.replace(path)


def _lines(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        for record in read_rows(path):
            try:
                text = json.dumps(record, ensure_ascii=False)
                text.encode()
            except UnicodeEncodeError:
                text = json.dumps(record)
            yield text + "\n"

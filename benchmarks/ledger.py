"""The ledger under load and under kills: `python benchmarks/ledger.py --texts FILE [--kills 100]`.

1. Events a second and the latency of a group that is acknowledged (on the disk), in groups of 1, 32 and 500.
2. What an event costs on the side: measuring and queueing, as `translate` does it, in processor time.
3. A writer that is killed at random, again and again: acknowledged events that are missing afterwards.
4. With `--run RUN --texts FILE` alone: a run's translations with and without its ledger by turns, in processor time. Two
   processes, so that neither is warmed by the other, translate the same blocks of fresh texts one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dragoman.core.answers import Answer
from dragoman.core.recipe import Monitor, Normalise
from dragoman.core.records import Hypothesis
from dragoman.core.scores.flags import Flagger
from dragoman.core.text.languages import Direction
from dragoman.core.watch.features import Segment, hashed, measure, words
from dragoman.store.ledger import Ledger
from dragoman.store.ledger_events import Event
from dragoman.store.run.baseline import Baseline
from dragoman.store.run.observer import Observer

WAY = Direction("en", "fr")
SOURCE = "Take two tablets every six hours with a glass of water, and do not drive."
WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from ledger import event, Ledger
ledger = Ledger.open({file!r})
number = {start}
while True:
    assert ledger.write([event(number + one) for one in range(8)])
    number += 8
    print(number, flush=True)
"""


def event(number: int) -> Event:
    (made,) = measure([Segment(SOURCE, SOURCE, score=-1.0)], WAY, known=np.zeros(0, np.uint64), key="k")
    return Event(1e9 + number, "model", "en-fr", "default", "model", len(SOURCE), 20, 0.1, 70.0, (), made)


def speed(group: int, seconds: float = 6.0) -> dict[str, float]:
    events = [event(number) for number in range(group)]
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "l.sqlite") as ledger:
        waits, begun = [], time.perf_counter()
        while time.perf_counter() - begun < seconds:
            at = time.perf_counter()
            assert ledger.write(events)
            waits.append(time.perf_counter() - at)
        total = time.perf_counter() - begun
        assert sum(day["segments"] for day in ledger.days()) == group * len(waits)
    return {
        "events_per_s": round(group * len(waits) / total),
        "p50_ms": round(1e3 * float(np.quantile(waits, 0.5)), 2),
        "p99_ms": round(1e3 * float(np.quantile(waits, 0.99)), 2),
    }


def cost(texts: list[str], together: int) -> dict[str, float]:
    """Of the observer's work on real sentences, `together` in each call: measured, in the data base, acknowledged."""
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "l.sqlite") as ledger:
        known = np.sort(hashed({word for text in texts[: len(texts) // 2] for word in words(text, "en")}, "k"))
        base = Baseline(Path(folder), "k", ("en", "fr"), Normalise(), {})
        base.__dict__["known"] = {"en": known}
        observer = Observer(ledger, base, Monitor())
        flagger = Flagger(WAY, ["en", "fr"])
        calls = []
        for start in range(0, len(texts), together):
            some = texts[start : start + together]
            made = [" ".join(reversed(text.split())) for text in some]
            flags = flagger.flags(some, [Hypothesis(text, -0.5, 20, True) for text in made])  # as a translation does
            calls.append(
                [Answer(*row, "model", 70.0, -0.5, 20, True, f) for *row, f in zip(some, made, flags, strict=True)]
            )
        for call in calls[: len(calls) // 5]:
            observer.seen(call, WAY, "default", 0.1)
        calls = calls[len(calls) // 5 :]
        ledger.flush()  # the first calls open and load
        begun = time.process_time()
        for call in calls:
            observer.seen(call, WAY, "default", 0.1)
        ledger.flush()
        spent = time.process_time() - begun
        assert not ledger.lost and ledger.days()[0]["segments"] == len(texts)
    count = sum(map(len, calls))
    return {"events": count, "processor_ms_per_event": round(1e3 * spent / count, 4)}


def kills(count: int) -> dict[str, int]:
    draw, acknowledged, lost = random.Random(7), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "l.sqlite")
        for _ in range(count):
            code = WRITER.format(folder=str(Path(__file__).parent), file=file, start=acknowledged)
            with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for _ in range(draw.randint(1, 12)):
                    acknowledged = int(process.stdout.readline())
                time.sleep(draw.random() * 0.02)
                os.kill(process.pid, signal.SIGKILL)
                rest = [line for line in process.stdout.read().split("\n")[:-1] if line]
            acknowledged = int(rest[-1]) if rest else acknowledged
            with sqlite3.connect(file) as connection:
                held = {round(at - 1e9) for (at,) in connection.execute("SELECT at FROM events")}
            lost += len(set(range(acknowledged)) - held)
    return {"kills": count, "acknowledged": acknowledged, "lost": lost}


def translate(run: Path, recorded: bool) -> None:
    """Translate the blocks of texts that come in, a JSON list a line; tell the processor seconds of each."""
    from dragoman.assistant import Assistant

    with Assistant.load(run, threads=1) as helper:
        observer = helper.observer
        assert observer is not None
        helper.observer = observer if recorded else None
        for line in sys.stdin:
            begun = time.process_time()
            helper.translate(json.loads(line), WAY)
            observer.ledger.flush()
            print(time.process_time() - begun, flush=True)
        assert not observer.ledger.lost
        helper.observer = observer


def by_turns(run: Path, texts: list[str], block: int) -> dict[str, object]:
    blocks = [texts[start : start + block] for start in range(0, len(texts) - block + 1, block)]
    spent: dict[str, list[float]] = {"with": [], "without": []}
    own = [sys.executable, __file__, "--run", str(run), "--child"]
    started = {name: subprocess.Popen([*own, name], stdin=-1, stdout=-1, text=True) for name in spent}
    for number, some in enumerate(blocks):
        for name in sorted(spent, reverse=number % 2 == 0):
            process = started[name]
            assert process.stdin is not None and process.stdout is not None
            print(json.dumps(some), file=process.stdin, flush=True)
            seconds = float(process.stdout.readline())
            if number:  # the first block warms up
                spent[name].append(seconds)
    for process in started.values():
        process.communicate()
        assert process.returncode == 0
    recorded, plain = (np.array(spent[name]) for name in ("with", "without"))
    draws = np.random.default_rng(7).integers(0, len(plain), (2_000, len(plain)))
    shares = recorded[draws].sum(axis=1) / plain[draws].sum(axis=1)
    return {
        "blocks": len(plain),
        "segments_of_a_block": block,
        "seconds_with": round(float(recorded.sum()), 3),
        "seconds_without": round(float(plain.sum()), 3),
        "ratio": round(float(recorded.sum() / plain.sum()), 4),
        "ratio_95": [round(float(np.quantile(shares, q)), 4) for q in (0.025, 0.975)],
        "ms_per_segment_without": round(1e3 * float(plain.sum()) / (block * len(plain)), 3),
        "ms_per_segment_of_the_ledger": round(1e3 * float((recorded - plain).sum()) / (block * len(plain)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ledger.json")
    parser.add_argument("--run", type=Path, help="A finished run en-fr with `monitor`; only this is measured then.")
    parser.add_argument(
        "--texts", type=Path, required="--child" not in sys.argv, help="English sentences: a line each."
    )
    parser.add_argument("--block", type=int, default=100)
    parser.add_argument("--child", choices=["with", "without"], help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.child:
        translate(wanted.run, wanted.child == "with")
        return
    texts = wanted.texts.read_text(encoding="utf-8").splitlines()
    if wanted.run is not None:
        known = json.loads(wanted.out.read_text()) if wanted.out.is_file() else {}
        known["with_a_model"] = {"load": os.getloadavg()[0], **by_turns(wanted.run, texts, wanted.block)}
        print(json.dumps(known["with_a_model"], indent=1))
        wanted.out.write_text(json.dumps(known, indent=1) + "\n")
        return
    found = {
        "machine": platform.machine(),
        "load": os.getloadavg()[0],
        "acknowledged": {str(group): speed(group) for group in (1, 32, 500)},
        "beside_a_translation": {str(together): cost(texts, together) for together in (1, 50)},
        "killed": kills(wanted.kills),
    }
    print(json.dumps(found, indent=1))
    wanted.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

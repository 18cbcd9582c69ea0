"""The ledger under load and under kills: `python benchmarks/ledger.py [--kills 100] [--out benchmarks/results/ledger.json]`.

1. Events a second and the latency of a group that is acknowledged (on the disk), in groups of 1, 32 and 500.
2. What an event costs on the side: measuring and queueing, as `translate` does it, in processor time.
3. A writer that is killed at random, again and again: acknowledged events that are missing afterwards.
4. With `--run RUN --texts FILE` alone: a run's translations with and without its ledger by turns, in processor time.
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

from dragoman.core.text.languages import Direction
from dragoman.core.watch.features import measure
from dragoman.store.ledger import Event, Ledger

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
    made = measure(SOURCE, SOURCE, WAY, score=-1.0, known=np.zeros(0, np.uint64), key="k")
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


def cost(count: int = 5_000) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "l.sqlite") as ledger:
        begun = time.process_time()
        for start in range(0, count, 50):
            ledger.add(50, lambda start=start: [event(start + one) for one in range(50)])
        ledger.flush()
        spent = time.process_time() - begun
        assert not ledger.lost and ledger.days()[0]["segments"] == count
    return {"events": count, "processor_ms_per_event": round(1e3 * spent / count, 3)}


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


def by_turns(run: Path, texts: list[str], rounds: int) -> dict[str, object]:
    """Processor seconds of the same translations, with the ledger (flushed) and without, one after the other."""
    from dragoman.assistant import Assistant

    spent: dict[bool, list[float]] = {True: [], False: []}
    with Assistant.load(run, threads=1) as helper:
        observer = helper.observer
        assert observer is not None
        for number in range(2 * rounds + 1):
            recorded = number % 2 == 0
            helper.observer = observer if recorded else None
            begun = time.process_time()
            helper.translate(texts, WAY)
            observer.ledger.flush()
            if number:  # the first round warms up
                spent[recorded].append(time.process_time() - begun)
        helper.observer = observer
        assert not observer.ledger.lost
    ratios = np.array(spent[True]) / np.array(spent[False])
    return {
        "segments": len(texts),
        "with": [round(one, 3) for one in spent[True]],
        "without": [round(one, 3) for one in spent[False]],
        "median_ratio": round(float(np.median(ratios)), 4),
        "ms_per_segment_without": round(1e3 * float(np.median(spent[False])) / len(texts), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ledger.json")
    parser.add_argument("--run", type=Path, help="A finished run en-fr with `monitor`; only this is measured then.")
    parser.add_argument("--texts", type=Path, help="Its sources: a line each.")
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    if wanted.run is not None:
        texts = wanted.texts.read_text(encoding="utf-8").splitlines()
        known = json.loads(wanted.out.read_text()) if wanted.out.is_file() else {}
        known["with_a_model"] = {"load": os.getloadavg()[0], **by_turns(wanted.run, texts, wanted.rounds)}
        print(json.dumps(known["with_a_model"], indent=1))
        wanted.out.write_text(json.dumps(known, indent=1) + "\n")
        return
    found = {
        "machine": platform.machine(),
        "load": os.getloadavg()[0],
        "acknowledged": {str(group): speed(group) for group in (1, 32, 500)},
        "beside_a_translation": cost(),
        "killed": kills(wanted.kills),
    }
    print(json.dumps(found, indent=1))
    wanted.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

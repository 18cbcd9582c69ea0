"""SIGKILL at random moments of promotions and rollbacks: `python benchmarks/promotion.py [--kills 100]`.

A process promotes a challenger and takes it back, over and over, until it is killed; others do the same beside it. After each
kill the alias must name a whole version, the log must hold, and the next promotion must work. The record goes to
benchmarks/results/promotion.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from dragoman.errors import DragomanError
from dragoman.store.run import audit, promotion
from dragoman.store.run.artifact import Artifact, versions, write_json

RESULTS = Path(__file__).parent / "results"


def model(folder: Path, weights: str) -> Path:
    """As far as a promotion looks at one."""
    (folder / "train" / "model").mkdir(parents=True)
    (folder / "train" / "model" / "config.json").write_text("{}")
    (folder / "train" / "model" / "model.safetensors").write_text(weights * 50_000)
    Artifact.finish(folder / "train", "train", weights, {"folder": "model"})
    return folder


def with_challenger(folder: Path) -> tuple[Path, Path]:
    run = model(folder / "clinic", "old ")
    made = model(run / "refreshes" / "0001", "new ")
    (made / "evaluate").mkdir()
    Artifact.finish(made / "evaluate", "evaluate", "e", {})
    before = promotion.champion(run).checksum
    write_json(made / "refresh.json", {"at": 0, "champion": before, "edits": 0})
    target = promotion.challenge(run, made)
    sets = [{"name": "test en-fr", "gain": 1.0, "p": 0.01}]
    gate = {"challenger": target.checksum, "champion": before, "passed": True, "sets": sets, "against": []}
    write_json(made / "gate.json", gate)
    return run, made


def worker(run: Path) -> int:
    """A process that goes there and back without end; its id, once it is at work."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        os.read(read, 1)
        os.close(read)
        return child
    while True:
        try:
            promotion.promote(run, "0001")
            promotion.roll_back(run)
        except DragomanError:  # another process was there first
            continue
        finally:
            if write >= 0:
                os.write(write, b".")
                os.close(write)
                write = -1


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=100)
    given = arguments.parse_args()
    draw = random.Random(7)
    named, faults = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        run, made = with_challenger(Path(folder))
        for number in range(given.kills):
            children = [worker(run) for _ in range(1 + number % 2)]  # every second time two at once
            time.sleep(draw.uniform(0, 0.2))
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            try:
                now = promotion.champion(run)
                now.verify()
                promotion.verify(run)
                named["challenger" if now.folder == made.resolve() else "first model"] += 1
                if now.folder == made.resolve():
                    promotion.roll_back(run)
                promotion.promote(run, "0001")
                promotion.roll_back(run)
                print(f"kill {number + 1}: {dict(named)}", flush=True)
            except DragomanError as error:
                faults[f"{type(error).__name__}: {error}".replace(folder, "DIR")] += 1
        entries = audit.read(run)
        events = Counter(entry.event for entry in entries)
    stopped = events["promoting"] - events["promoted"]
    record = {
        "command": f"python benchmarks/promotion.py --kills {given.kills}",
        "versions": versions(),
        "kills": given.kills,
        "of two processes at once": given.kills // 2,
        "alias named after the kill": dict(named),
        "faults": dict(faults),
        "promotions and rollbacks finished": events["promoted"],
        "stopped between the log's two entries": stopped,
        "entries of the log": len(entries),
    }
    (RESULTS / "promotion.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

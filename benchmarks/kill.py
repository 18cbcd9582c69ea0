"""A stopped run loses nothing: SIGKILL at random moments, resumed each time, against the run that was never stopped.

    python benchmarks/kill.py --kills 50 --out runs/kill

Trains a small model on generated English-French text (CPU, fp32) twice with the command line: once in peace; once killed
with SIGKILL after a random time and started again, over and over. At the end the parameters of the two must be the same
bits, and no start may have complained of a checkpoint. Moments are drawn from the whole life of a process: start-up,
training, the middle of a save. The record goes to benchmarks/results/kill.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from dragoman.store.run.artifact import versions

RESULTS = Path(__file__).parent / "results"
RECIPE = """
name: kill
pairs: [en-fr]
prepare:
  parallel: pairs.en-fr.tsv
  checks: {language: null}
  holdout: {dev: 100, test: 0}
model: {new: {hidden: 64, layers: 2, heads: 2, feed_forward: 128, vocabulary: 1000, context: 128}}
plan: {precision: fp32}
train:
  - sft: {tokens: TOKENS, dropout: 0.1, batch_tokens: 1024, evaluate_every: 400, checkpoint_every: 20,
          evaluate_sentences: 20, compile: false}
"""


def write_project(folder: Path, tokens: str) -> None:
    """Pairs from small tables: what they say does not matter here, only that the order of the data does."""
    draw = random.Random(1)
    people = {
        "the doctor": "le médecin",
        "the nurse": "l'infirmière",
        "my brother": "mon frère",
        "the child": "l'enfant",
    }
    verbs = {"sees": "voit", "calls": "appelle", "looks for": "cherche", "knows": "connaît", "hears": "entend"}
    things = {"the red house": "la maison rouge", "a small dog": "un petit chien", "the old town": "la vieille ville"}
    times = {"today": "aujourd'hui", "every morning": "chaque matin", "now": "maintenant", "again": "encore"}
    rows = set()
    while len(rows) < 3000:
        number = draw.randrange(2, 999)
        parts = [draw.choice(sorted(table.items())) for table in (people, verbs, things, times)]
        rows.add(
            (
                " ".join(p[0] for p in parts) + f" at number {number}.",
                " ".join(p[1] for p in parts) + f" au numéro {number}.",
            )
        )
    folder.mkdir(parents=True)
    lines = ["source\ttarget", *(f"{a}\t{b}" for a, b in sorted(rows))]
    (folder / "pairs.en-fr.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE.replace("TOKENS", tokens).lstrip(), encoding="utf-8")


def start(folder: Path, stage: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dragoman", stage, str(folder / "recipe.yaml"), "--quiet"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"a run failed with exit code {process.returncode}:\n{errors}")


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 of what training left: the final model and the state of the last checkpoint."""
    phase = folder / "train" / "0-sft"
    last = sorted((phase / "checkpoints").glob("step-*"))[-1]
    files = {
        "model.safetensors": phase / "model" / "model.safetensors",
        f"{last.name}/state.safetensors": last / "state.safetensors",
    }
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=50)
    arguments.add_argument("--tokens", default="2M")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    whole, killed = given.out / "whole", given.out / "killed"
    begun = time.time()
    for folder in (whole, killed):
        write_project(folder, given.tokens)
        finish(start(folder, "plan"))
    timed = time.time()
    finish(start(whole, "train"))
    length = time.time() - timed
    draw = random.Random(given.seed)
    kills, complaints, completed = 0, [], 0
    steps: list[int] = []
    while kills < given.kills:
        process = start(killed, "train")
        # up to a run's whole length where that is short; most kills fall into training or saving
        deadline = time.time() + draw.uniform(0.3, min(length, 14.0))
        while time.time() < deadline and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is not None:  # finished before the kill: what was asked for is done, so begin anew
            _, errors = process.communicate()
            if process.returncode:
                raise SystemExit(f"a resumed run failed:\n{errors}")
            completed += 1
            if fingerprint(killed) != fingerprint(whole):
                raise SystemExit("the resumed run ended with other parameters")
            subprocess.run(["rm", "-rf", str(killed / "train")], check=True)
            continue
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        kills += 1
        if "error" in errors.lower():
            complaints.append(errors.strip())
        found = sorted((killed / "train" / "0-sft" / "checkpoints").glob("step-*"))
        steps.append(int(found[-1].name.removeprefix("step-")) if found else 0)
        print(f"kill {kills}: newest whole checkpoint at step {steps[-1]}", flush=True)
    finish(start(killed, "train"))
    record = {
        "command": f"python benchmarks/kill.py --kills {given.kills} --tokens {given.tokens}",
        "versions": versions(),
        "kills": kills,
        "runs_completed_in_between": completed,
        "newest_checkpoint_after_each_kill": steps,
        "complaints": complaints,
        "seconds_of_one_run": round(length, 1),
        "identical": fingerprint(whole) == fingerprint(killed),
        "fingerprint": fingerprint(whole),
        "seconds": round(time.time() - begun, 1),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "kill.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    if not record["identical"] or complaints:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

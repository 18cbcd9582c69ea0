"""What a start of training costs before its first step, with and without rows that are kept.

    dragoman model RECIPE --out RUN
    python benchmarks/encode_once.py RECIPE RUN --json benchmarks/results/encode-once.json

RUN holds finished `prepare` and `model`. Each start is a process of its own: the first encodes the rows and keeps them, the
second maps them. Seconds are the processor's, from the start of the process; what is trained on has one digest.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dragoman.core.listen import SILENT
from dragoman.core.recipe import Recipe
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.phases.sft import SupervisedTuning
from dragoman.stages import train
from dragoman.stages.train import phase
from dragoman.store.corpus import encoded
from dragoman.store.run.artifact import Artifact, versions


class Timed(SupervisedTuning):
    """Tells what the rows took."""

    def data(self, inputs: Inputs) -> Material:
        begun = time.process_time()
        found = super().data(inputs)
        stream: Any = found.stream
        corpus = stream.corpus
        whole = hashlib.sha256(b"".join(part.tobytes() for part in (corpus.ids, corpus.trained, corpus.starts)))
        self.told = {
            "rows": len(corpus),
            "tokens": len(corpus.ids),
            "digest": whole.hexdigest()[:16],
            "rows_seconds": round(time.process_time() - begun, 2),
        }
        return found


def start(recipe: Recipe, run: Path) -> dict[str, Any]:
    """Train up to the first step."""
    kind = Timed()
    phase.kind_of = lambda entry: kind  # type: ignore[assignment]

    def stop(self: phase.Trainer, *given: object) -> int:
        raise KeyboardInterrupt

    phase.Trainer._fit = stop  # type: ignore[method-assign]
    inputs = {name: Artifact.load(run / name) for name in ("prepare", "model")}
    with contextlib.suppress(KeyboardInterrupt):
        train.run(recipe, inputs, run / "train", "", SILENT)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**kind.told, "seconds_to_first_step": round(time.process_time(), 2), "peak_mb": peak // 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true", help="a single start, in this process")
    given = parser.parse_args()
    recipe = Recipe.load(given.recipe)
    if given.one:
        print(json.dumps(start(recipe, given.run)))
        return
    shutil.rmtree(given.run / encoded.FOLDER, ignore_errors=True)
    found = {}
    for name in ("encoded", "mapped"):
        shutil.rmtree(given.run / "train", ignore_errors=True)
        done = subprocess.run(
            [sys.executable, __file__, str(given.recipe), str(given.run), "--one"],
            check=True,
            capture_output=True,
            text=True,
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, found[name], flush=True)
    assert found["encoded"]["digest"] == found["mapped"]["digest"]
    size = sum(file.stat().st_size for file in (given.run / encoded.FOLDER).rglob("*") if file.is_file())
    base = Path(recipe.model.base).name if recipe.model and recipe.model.base else "new"
    record = {"command": f"benchmarks/encode_once.py RECIPE RUN, base {base}", **found, "bytes": size}
    if given.json:
        given.json.write_text(json.dumps({**record, "versions": versions()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

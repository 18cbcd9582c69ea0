"""Trials: a model or an export in a fresh process, which translates and scores the same rows and is measured."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.core.listen import Listener
from dragoman.core.recipe import Deploy, Recipe
from dragoman.core.records import Example
from dragoman.errors import DataError
from dragoman.store.corpus import records
from dragoman.store.run.artifact import write_json

_MODULE = "dragoman.stages.deploy.trial"
_CALIBRATION = 512  # rows; an export takes as many of their tokens as it needs


class Trials:
    """Runs trials of one set of rows. `sets`: the rows of dev, and of test where there is one."""

    def __init__(self, recipe: Recipe, settings: Deploy, prepared: Path, out: Path, listener: Listener) -> None:
        self._out, self._listener, self._settings, self._recipe = out, listener, settings, recipe
        self._prepared = prepared
        self.sets = {"dev": rows_of(recipe, prepared, "dev", settings.gate.rows)}
        if not self.sets["dev"]:
            raise DataError(
                f"{prepared / 'dev'}: has no row in the directions of `pairs`, and an export that is not scored again is not "
                "done. Give `prepare.holdout` a dev set."
            )
        if test := rows_of(recipe, prepared, "test", settings.gate.rows):
            self.sets["test"] = test

    def of_model(self, folder: Path) -> dict[str, Any]:
        """The run's own model in fp32: what every export is held against."""
        found = self._run("reference", {"kind": "model", "folder": str(folder)})
        if "failure" in found:
            raise DataError(f"{folder}: the run's own model cannot be measured: {found['failure']}")
        if not any(found["outputs"]["dev"]) or all(each is None for each in found["scores"]):
            raise DataError(
                f"{folder}: the run's own model translates none of {len(self.sets['dev'])} rows of dev: they are too long for "
                "it, or it writes nothing, so that no export can be held against it."
            )
        return found

    def of_format(self, form: str, bundle: Path, model: Path) -> dict[str, Any]:
        """An export, loaded afresh. `failure` says why one cannot be used."""
        return self._run(form, {"kind": form, "folder": str(bundle), "model": str(model)})

    def calibration(self) -> list[dict[str, str]]:
        """Rows of train, for exports that round weights with texts before them; never of dev or test."""
        return rows_of(self._recipe, self._prepared, "train", _CALIBRATION)

    def _run(self, name: str, what: Mapping[str, Any]) -> dict[str, Any]:
        job, answer = self._out / f"{name}.job.json", self._out / f"{name}.json"
        about = {"sets": self.sets, "latency": self._settings.latency, "threads": self._recipe.plan.threads}
        write_json(job, {**what, **about})
        answer.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", _MODULE, str(job), str(answer)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        job.unlink()
        if done.returncode or not answer.is_file():
            lines = [line for line in done.stderr.strip().split("\n") if line.strip()]
            (self._out / f"{name}.log").write_text(done.stderr, encoding="utf-8")
            return {"failure": (lines[-1] if lines else f"exit code {done.returncode}")[:300]}
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found


def rows_of(recipe: Recipe, prepared: Path, split: str, most: int) -> list[dict[str, str]]:
    """At most so many rows of a split, drawn by the seed, as many of each direction as there are."""
    if not (prepared / split).is_dir():
        return []
    found: list[dict[str, str]] = []
    everything = list(records.read(prepared / split, Example))
    for direction in recipe.pairs:
        turned = [pair for example in everything if (pair := example.towards(direction)) is not None]
        chosen = _drawn(turned, max(1, most // len(recipe.pairs)), recipe.seed)
        found += [{"direction": str(direction), "source": e.source, "reference": e.target} for e in chosen]
    return found


def _drawn(examples: Sequence[Example], most: int, seed: int) -> list[Example]:
    if len(examples) <= most:
        return list(examples)
    places = sorted(random.Random(seed).sample(range(len(examples)), most))
    return [examples[i] for i in places]

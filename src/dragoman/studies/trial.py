"""One trial of a search: a recipe trained in a process of its own, watched and, if need be, stopped from outside."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.errors import CheckpointError, DragomanError
from dragoman.jobs import Place, explain
from dragoman.store.run.artifact import Artifact, digest, write_json

RESULT, TRANSLATIONS, LOG = "trial.json", "dev.jsonl", "log.txt"


@dataclass(frozen=True, slots=True)
class Job:
    """A trial: its recipe, its folder, the stages that it takes over, and the two halves of dev."""

    number: int
    recipe: Recipe
    folder: Path
    given: Mapping[str, Artifact]
    halves: tuple[list[Example], list[Example]]

    @property
    def key(self) -> str:
        """What the trial is made of."""
        sections = self.recipe.model_dump(mode="json", by_alias=True, include={"pairs", "seed", "plan", "train"})
        return digest(sections, {name: stage.key for name, stage in self.given.items()})


class Point(NamedTuple):
    """What is known of a trial at an evaluation."""

    place: int  # twentieths of the training done: what trials of different lengths have in common
    score: float  # of dev
    tokens: int  # trained on until then


def points(folder: Path, metric: str) -> list[Point]:
    """The evaluations so far, later ones of the same twentieth left out."""
    from dragoman.engine.log import METRICS, read

    try:
        phases = Artifact.load(folder / "plan").facts["phases"]
    except CheckpointError:
        return []
    found: dict[int, Point] = {}
    spent = 0
    steps = [int(phase["settings"]["steps"]) for phase in phases]
    for number, phase in enumerate(phases):
        here = 0
        for event in read(folder / "train" / phase["name"] / METRICS):
            if event.get("event") == "step":
                here = int(event["tokens"])
            elif event.get("event") == "evaluate" and metric in event:
                share = (sum(steps[:number]) + event["step"]) / max(1, sum(steps))
                place = max(1, int(20 * share + 1e-9))
                found.setdefault(place, Point(place, float(event[metric]), spent + here))
        spent += here
    return sorted(found.values())


def tokens(folder: Path) -> int:
    """Tokens, prompt and target, that the trial was trained on so far."""
    from dragoman.engine.log import METRICS, read

    return sum(
        max((int(event["tokens"]) for event in read(path) if event.get("event") == "step"), default=0)
        for path in (folder / "train").glob(f"*-*/{METRICS}")
    )


def result(job: Job) -> dict[str, Any] | None:
    """What the trial came to: `seconds`, and `failed` with a message if it did; None when it has not ended."""
    try:
        found: dict[str, Any] = json.loads((job.folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("key") == job.key else None


def tidy(folder: Path, *, model: bool) -> None:
    """Remove what is large: checkpoints, and the model unless it is wanted. Logs and translations stay."""
    for name in ("checkpoints", "tensorboard", *([] if model else ["model", "adapter"])):
        for path in (folder / "train").glob(f"*-*/{name}"):
            shutil.rmtree(path, ignore_errors=True)
    if not model:
        (folder / "train" / "manifest.json").unlink(missing_ok=True)


# ---------------------------------------------------------------- in the trial's process


class _Logged:
    """A listener that writes what is said to the trial's log."""

    def say(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    warn = say

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        del task, done, total, facts


class Worker:
    """Trains trials, in processes of their own."""

    def start(self, place: Place) -> Callable[[Job], None]:
        def train(job: Job) -> None:
            place.pin()
            job.folder.mkdir(parents=True, exist_ok=True)
            with (job.folder / LOG).open("a", encoding="utf-8") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                work(job)

        return train


def work(job: Job) -> None:
    """Train the job's recipe, translate both halves of dev, and write what came out; also when it failed."""
    from dragoman import pipeline
    from dragoman.studies import dev_split
    from dragoman.translator import Translator

    begun = time.perf_counter()
    failed = ""
    try:
        done = pipeline.run(job.recipe, job.folder, stages=["train"], given=job.given, listener=_Logged())
        trained = done["train"]
        translator = Translator.load(
            trained.folder / str(trained.facts["folder"]), precision="fp32", threads=job.recipe.plan.threads
        )
        dev_split.translate(translator, job.recipe, job.halves, job.folder / TRANSLATIONS)
    except Exception as error:  # whatever it is, the other trials stand
        if not isinstance(error, DragomanError):
            traceback.print_exc()
        failed = explain(error)
    seconds = round(time.perf_counter() - begun, 2)
    write_json(job.folder / RESULT, {"key": job.key, "failed": failed, "seconds": seconds})

"""Arms: the recipe with some keys changed, each run for every seed in a folder of its own.

`STUDY/arms/NAME/seed-N` is an ordinary run. What must be the same in all arms is made once, in `STUDY/shared`, and taken
over: the held-out texts, the prepared texts of arms that prepare alike, the rows of arms that ask the same of the same
teachers, the base, and the base's translations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman import pipeline
from dragoman.core.listen import SILENT, Listener, Named
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.text import RecipeText, as_override
from dragoman.errors import CheckpointError, RecipeError
from dragoman.jobs import Here, Place, Runner, WorkerLostError, explain, opened
from dragoman.store.run import energy
from dragoman.store.run.artifact import Artifact, link, write_json
from dragoman.store.run.run_state import locked
from dragoman.studies.shared import Shared

COST = "cost.json"  # in a run's folder: what it has taken so far
_OUTPUTS = "outputs.json"
PRELOADED = ("dragoman.stages.train", "dragoman.stages.plan", "dragoman.stages.model", "dragoman.engine.setup")

Changes = Mapping[str, Any] | Sequence[str]  # nested keys, or `section.key=value` as on the command line


@dataclass(frozen=True, slots=True)
class Arm:
    """A named recipe of a study."""

    name: str
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """One arm with one seed: what is run, and what it takes over."""

    arm: str
    seed: int
    recipe: Recipe
    folder: Path
    given: Mapping[str, Artifact]

    @property
    def title(self) -> str:
        return f"{self.arm} seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: finished, or failed with a message."""

    arm: str
    seed: int
    folder: Path
    failed: str = ""


# ---------------------------------------------------------------- what the arms are


def read_arms(path: Path, overrides: Sequence[str], changes: Mapping[str, Changes]) -> list[Arm]:
    """The recipe in `path` once for each arm, with the arm's changes applied after `overrides`.

    Raises RecipeError with the problems of all arms.
    """
    Recipe.load(path, overrides)  # a mistake that all arms share is told once
    plain = RecipeText.read(path.read_text(encoding="utf-8-sig"), str(path), overrides).plain
    arms, problems = [], []
    for name, change in changes.items():
        try:
            arms.append(Arm(name, Recipe.load(path, [*overrides, *as_overrides(change, plain)])))
        except RecipeError as error:
            problems.append(str(error).replace("command line: ", f"{path}: study.arms.{name}: "))
    if problems:
        raise RecipeError("\n".join(problems))
    return arms


def as_overrides(changes: Changes, plain: Any) -> list[str]:
    """The changes as `section.key=value`. `plain` is the recipe that they are made to.

    Nested keys are merged into sections that are there; everything else, lists too, is replaced as a whole. An entry of
    a list is named by its number: `train: {0: {sft: {epochs: 3}}}`.
    """
    if not isinstance(changes, Mapping):
        return list(changes)
    return [as_override(key, value) for key, value in _leaves(changes, plain, "")]


def _leaves(changes: Mapping[str, Any], node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in changes.items():
        target = _at(node, str(key))
        if isinstance(value, Mapping) and value and _fits(value, target):
            yield from _leaves(value, target, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _at(node: Any, path: str) -> Any:
    """What stands at a dotted path, or None."""
    for key in path.split("."):
        if isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            node = node.get(key) if isinstance(node, dict) else None
    return node


def _fits(value: Mapping[str, Any], target: Any) -> bool:
    """Whether the keys can be set one by one: in a section, or as numbers of a list's entries."""
    if isinstance(target, list):
        return all(str(key).isdigit() for key in value)
    return isinstance(target, dict) and not any("." in str(key) or "=" in str(key) for key in value)


def seeds_of(recipe: Recipe) -> list[int]:
    """The seeds of a study: those that it names, else three from the recipe's own on."""
    named = recipe.study.seeds if recipe.study is not None else None
    return named or [recipe.seed, recipe.seed + 1, recipe.seed + 2]


# ---------------------------------------------------------------- running them


def run(
    base: Recipe,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    out: Path,
    *,
    jobs: int | None = None,
    ray: str | None = None,
    listener: Listener = SILENT,
) -> list[Outcome]:
    """Run every arm with every seed, `jobs` at a time, of which each has its share of the cores, or on the Ray cluster `ray`,
    which must see the same folders; outcomes in the order of the arms.

    `base` is the recipe without the changes of an arm: its held-out texts are those of all arms. What is finished and
    made of the same things is skipped, so a study that was stopped goes on. An arm that fails does not stop the others.
    Raises what the base's own preparation raises, and CheckpointError when another study is at work in `out`.
    """
    if base.evaluate is None:
        raise RecipeError("a study compares scores: give the recipe an `evaluate` section.")
    if not arms:
        raise RecipeError("a study needs arms: name them under `study.arms`.")
    if base.evaluate.must_gain:
        listener.say("study: evaluate.must_gain is left out; a study measures, it sets no bar")
    with locked(out):
        shared = Shared(base, out / "shared", listener)
        planned = [job for arm in arms for job in _planned(arm, seeds, shared, out)]
        ready = [job for job in planned if isinstance(job, Job)]
        worker = _Worker(out)
        here = ray is None and (jobs or 1) == 1
        pool = Here(worker, listener) if here else opened(worker, jobs, ray, once=True, preload=PRELOADED)
        done = {(o.arm, o.seed): o for o in _outcomes(ready, Runner(pool, listener), listener)}
    outcomes = [done[job.arm, job.seed] if isinstance(job, Job) else job for job in planned]
    for outcome in outcomes:
        if outcome.failed:
            listener.warn(f"study: {outcome.arm} seed {outcome.seed} failed: {outcome.failed}")
    return outcomes


def _planned(arm: Arm, seeds: Sequence[int], shared: Shared, out: Path) -> list[Job | Outcome]:
    """The arm's jobs, or why there are none. Where nothing depends on the seed, one is enough."""
    folders = {seed: out / "arms" / arm.name / f"seed-{seed}" for seed in seeds}
    try:
        recipe, given = shared.take(_measured(arm))
    except Exception as error:  # whatever it is, the other arms stand
        return [Outcome(arm.name, seed, folder, explain(error)) for seed, folder in folders.items()]
    if not recipe.train and "model" in given:
        folders = dict(list(folders.items())[:1])
    return [
        Job(arm.name, seed, recipe.model_copy(update={"seed": seed}), folder, given) for seed, folder in folders.items()
    ]


def _measured(arm: Arm) -> Recipe:
    """The arm's recipe as it is run: with a name of its own, and without a bar to pass."""
    recipe = arm.recipe
    evaluate = recipe.evaluate.model_copy(update={"must_gain": {}}) if recipe.evaluate is not None else None
    return recipe.model_copy(
        update={"name": f"{recipe.name}-{arm.name}", "evaluate": evaluate, "study": None, "search": None}
    )


@dataclass(frozen=True)
class _Worker:
    """Runs jobs of the study in the folder `out`."""

    out: Path

    def start(self, place: Place) -> Callable[[Job], None]:
        def run_one(job: Job) -> None:
            if job.recipe.plan.threads is None:
                place.pin()
            work(job, self.out, Named(job.title, place.listener), alone=not place.cores)

        return run_one


def _outcomes(jobs: Sequence[Job], runner: Runner[Job, None], listener: Listener) -> Iterator[Outcome]:
    with runner:
        for count, ended in enumerate(runner.completed(jobs), 1):
            job, failed = ended.job, explain(ended.error) if ended.error is not None else ""
            if isinstance(ended.error, WorkerLostError):
                failed = (
                    f"{ended.error}, most likely killed for want of memory. Run the study again with fewer --workers; what "
                    "the arm had reached is kept."
                )
            yield Outcome(job.arm, job.seed, job.folder, failed)
            listener.progress("study: runs", count, len(jobs))


def work(job: Job, out: Path, listener: Listener, *, alone: bool = True) -> None:
    """Run a job, and add what it took to its cost; the processor's energy is this job's only when it is `alone`."""
    _borrow(job, out)
    before = _finished(job.folder)
    spent = energy.Spent()
    try:
        with energy.measured(spent):
            pipeline.run(job.recipe, job.folder, given=job.given, listener=listener)
    finally:
        if before is None or _finished(job.folder) != before:
            _book(job.folder / COST, spent.seconds, spent.joules if alone else None)


def _finished(folder: Path) -> str | None:
    """The key of the run's last stage, or None."""
    try:
        return Artifact.load(folder / "evaluate").key
    except CheckpointError:
        return None


def _book(path: Path, seconds: float, joules: float | None) -> None:
    """Add to what earlier attempts took; energy that could not be read once is not known in all."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"seconds": 0.0, "joules": 0.0}
    total = None if joules is None or known["joules"] is None else round(known["joules"] + joules, 1)
    write_json(path, {"seconds": round(known["seconds"] + seconds, 2), "joules": total})


def _borrow(job: Job, out: Path) -> None:
    """Put the base's translations by a finished run where `evaluate` finds them; it takes those that fit its keys."""
    place = job.folder / "evaluate"
    base = job.given.get("model")
    if base is None or (place / _OUTPUTS).exists():
        return
    for other in sorted((out / "arms").glob("*/*")):
        if _finished(other) is not None and Artifact.done(other / "model", base.key) is not None:
            index = json.loads((other / "evaluate" / _OUTPUTS).read_text(encoding="utf-8"))
            found = {file: entry for file, entry in index.items() if ".baseline." in file}
            for file in found:
                link(other / "evaluate" / file, place / file)
            write_json(place / _OUTPUTS, found)
            return

"""Stages of fixed shares, written as OpusTrainer writes them (https://github.com/hplt-project/OpusTrainer).

A stage is a list of `TASK SHARE` and, last, `until TASK EPOCHS`: so many passes through that task's data since the
stage began, or `inf`. Ours: `until 10%` ends a stage when that share of the phase is done.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.core.curriculum.base import Base, Observation
from dragoman.errors import RecipeError

_TOLERANCE = 1e-6
_ELSEWHERE = {
    "modifiers": "modifiers are not applied here; take them out",
    "num_fields": "the task's own files say their columns",
    "trainer": "the recipe trains",
    "seed": "the recipe has a seed",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """`task` and `epochs`, or `progress` (0 to 1), say when it ends; never with neither."""

    name: str
    shares: Mapping[str, float]
    task: str | None = None
    epochs: float = math.inf
    progress: float = math.inf


class Schedule(Base):
    """The stages in order; the last one holds to the end of the phase. Changes come at the end of a window."""

    method = "schedule"

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        stages: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(prior, floors)
        self.stages = _checked([_stage(name, lines) for name, lines in (stages or {}).items()], self.tasks)
        self._stage = 0
        self._began: dict[str, float] = {}  # passes through each task's data when the stage began

    def _policy(self) -> Sequence[float]:
        return [self.stages[self._stage].shares.get(task, 0.0) for task in self.tasks]

    def _learn(self, seen: Observation) -> None:
        stage = self.stages[self._stage]
        if stage.task is not None and math.isfinite(stage.epochs):
            [epochs] = self.values(seen.epochs, "the passes through the data", [stage.task])
            done = epochs - self._began.get(stage.task, 0.0) >= stage.epochs - 1e-9
        else:
            done = seen.progress >= stage.progress - 1e-9
        if done and self._stage + 1 < len(self.stages):
            self._stage += 1
            self._began = {task: float(value) for task, value in seen.epochs.items()}

    def _memory(self) -> dict[str, Any]:
        return {"stage": self.stages[self._stage].name, "began": dict(self._began)}

    def _recall(self, memory: Mapping[str, Any]) -> None:
        names = [stage.name for stage in self.stages]
        if memory["stage"] not in names:
            raise RecipeError(f"the checkpoint is in stage `{memory['stage']}`, which the schedule no longer has.")
        self._stage = names.index(memory["stage"])
        self._began = {task: float(value) for task, value in memory["began"].items()}


def opustrainer(document: Any) -> dict[str, list[str]]:
    """The stages of an OpusTrainer configuration (its YAML as plain values). `datasets` are the recipe's tasks; their
    paths, too, are the recipe's. Raises RecipeError for what would be lost: modifiers, stages that are not there."""
    if not isinstance(document, Mapping) or not isinstance(document.get("stages"), list):
        raise RecipeError("not an OpusTrainer configuration: it has no list `stages`.")
    found: dict[str, list[str]] = {}
    for name in map(str, document["stages"]):
        if name in found:
            raise RecipeError(f"the stage `{name}` is given twice in `stages`.")
        if name not in document:
            raise RecipeError(f"the stage `{name}` of `stages` is not described.")
        stage = document[name]
        if isinstance(stage, Mapping):
            if stage.get("modifiers"):
                raise RecipeError(f"the stage `{name}` has modifiers, which are not applied here; take them out.")
            stage = stage.get("mix")
        if not isinstance(stage, list):
            raise RecipeError(f"the stage `{name}` must be a list of `TASK SHARE` and `until TASK EPOCHS`.")
        found[name] = [str(line) for line in stage]
    if document.get("modifiers"):
        raise RecipeError(f"`modifiers`: {_ELSEWHERE['modifiers']}.")
    known = {*found, *_ELSEWHERE, "stages", "datasets", "version"}
    if unknown := [str(key) for key in document if str(key) not in known]:
        raise RecipeError(f"{', '.join(unknown)}: described, but not in `stages`, so never reached.")
    return found


def _stage(name: str, lines: Sequence[str]) -> Stage:
    if not lines or not lines[-1].split()[:1] == ["until"]:
        raise RecipeError(
            f"the stage `{name}` must end with a line `until TASK EPOCHS`, `until 10%` or `until TASK inf`."
        )
    shares: dict[str, float] = {}
    for line in lines[:-1]:
        parts = line.split()
        if len(parts) != 2:
            raise RecipeError(f"the stage `{name}`: `{line}` is not `TASK SHARE`.")
        task, share = parts[0], _number(parts[1], f"the stage `{name}`: the share of {parts[0]}")
        if task in shares:
            raise RecipeError(f"the stage `{name}` has {task} twice.")
        if share < 0 or not math.isfinite(share):
            raise RecipeError(f"the stage `{name}`: the share of {task} is {share}; it must be 0 or more.")
        shares[task] = share
    if abs(sum(shares.values()) - 1) > _TOLERANCE:
        raise RecipeError(f"the shares of the stage `{name}` sum to {sum(shares.values()):g}, not to 1.")
    parts = lines[-1].split()[1:]
    if len(parts) == 1 and parts[0].endswith("%"):
        progress = _number(parts[0][:-1], f"the stage `{name}`: until") / 100
        if not 0 < progress <= 1:
            raise RecipeError(f"the stage `{name}`: `until {parts[0]}` must lie above 0 and at most at 100%.")
        return Stage(name, shares, progress=progress)
    if len(parts) != 2:
        raise RecipeError(f"the stage `{name}`: `{lines[-1]}` is not `until TASK EPOCHS` or `until 10%`.")
    task, epochs = parts[0], _number(parts[1], f"the stage `{name}`: until")
    if shares.get(task, 0.0) <= 0:
        raise RecipeError(f"the stage `{name}` waits for {task}, which it does not train, so it would never end.")
    if epochs <= 0:
        raise RecipeError(f"the stage `{name}` waits for {epochs:g} epochs; it must be more than 0.")
    return Stage(name, shares, task, epochs)


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise RecipeError(f"{what} is `{text}`, which is no number.")
    return value


def _checked(stages: list[Stage], tasks: Sequence[str]) -> list[Stage]:
    """The stages fit each other and the tasks: nothing is named that is not there, nothing there is left out."""
    if not stages:
        raise RecipeError("the curriculum `schedule` needs `stages`.")
    for stage in stages:
        if unknown := [task for task in stage.shares if task not in tasks]:
            raise RecipeError(
                f"the stage `{stage.name}` names {', '.join(unknown)}, but the tasks are {', '.join(tasks)}."
            )
    for stage, following in itertools.pairwise(stages):
        if math.isinf(stage.epochs) and math.isinf(stage.progress):
            raise RecipeError(f"the stage `{stage.name}` never ends, so `{following.name}` is never reached.")
        if math.isfinite(stage.progress) and following.progress <= stage.progress:
            raise RecipeError(f"the stage `{following.name}` ends no later than `{stage.name}`, so it never trains.")
    if idle := [task for task in tasks if not any(stage.shares.get(task, 0.0) > 0 for stage in stages)]:
        raise RecipeError(
            f"no stage trains {', '.join(idle)}: give a share in one, or take the task out of the recipe."
        )
    return stages

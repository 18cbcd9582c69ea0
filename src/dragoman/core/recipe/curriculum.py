"""`curriculum` of a hybrid phase: how the tasks' shares are found while training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dragoman.core.recipe.values import PositiveCount, Section, Share
from dragoman.errors import RecipeError


class _Options(Section):
    """What every method has. The rest are options of the method itself, passed on as they are."""

    every: PositiveCount = 25  # optimiser steps between two observations
    floor: Share | None = None  # least share of a task; by default 0.02 where the method learns, else 0
    probe: Literal["dev", "train"] = "dev"  # where probe batches come from; never trained on either way

    def options(self, resolve: Callable[[str], str] = str) -> dict[str, Any]:
        """The method's own options, for core.curriculum.make. `resolve` finds the files that they name."""
        return self.model_dump(exclude={"method", *_Options.model_fields})


class Static(_Options):
    method: Literal["static"] = "static"


class Temperature(_Options):
    method: Literal["temperature"]
    temperature: Annotated[float, Field(gt=0)] = 5.0  # 1: by size of the data; large: all tasks alike


class Schedule(_Options):
    """Stages as OpusTrainer writes them: `TASK SHARE` lines, then `until TASK EPOCHS` (or ours, `until 10%`)."""

    method: Literal["schedule"]
    stages: dict[str, list[str]] | None = None
    file: str | None = None  # an OpusTrainer configuration, instead of stages

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.stages is None) == (self.file is None):
            raise ValueError("a schedule needs `stages` or `file`, one of them")
        return self

    def options(self, resolve: Callable[[str], str] = str) -> dict[str, Any]:
        if self.file is None:
            return {"stages": self.stages}
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        from dragoman.core.curriculum import opustrainer

        try:
            document = YAML(typ="safe", pure=True).load(Path(resolve(self.file)).read_text(encoding="utf-8"))
            return {"stages": opustrainer(document)}
        except (OSError, UnicodeDecodeError, YAMLError, RecipeError) as error:
            raise RecipeError(f"{self.file}: {error}") from None


class _Gains(_Options):
    """Methods that learn from what a window did to the loss of each task's probe."""

    relative: bool = True  # 1 - after/before instead of before - after


class Exp3s(_Gains):
    method: Literal["exp3s"]
    explore: Share = 0.05
    rate: Annotated[float, Field(gt=0)] = 0.1
    share_least: Share = 0.0  # least weight of the other tasks in a task's weight; the paper's is 1/t alone
    per: Literal["window", "share"] = "share"
    history: PositiveCount = 200  # rewards whose 20th and 80th percentile are -1 and 1


class Fair(_Gains):
    method: Literal["fair"]
    memory: Annotated[float, Field(ge=0, lt=1)] = 0.9  # of the moving averages
    per: Literal["window", "share"] = "window"


class Objective(_Options):
    method: Literal["objective"]
    evidence: Literal["loss", "score", "both"] = "loss"  # loss on the dev references, score of the dev translations
    limit: Annotated[float, Field(gt=0)] | None = None  # rise of the perplexity of general text that is tolerated
    guard: list[str] = []  # tasks that are believed to undo forgetting, such as replay
    sharpness: Annotated[float, Field(gt=0)] = 3.0  # power of the effects to which shares are proportional
    explore: Annotated[float, Field(gt=0)] = 0.5  # how far the shares are varied, in posterior deviations
    memory: Annotated[float, Field(gt=0, le=1)] = 0.95  # of a pair of windows


def _named(value: Any) -> Any:
    """`fair` is short for `{method: fair}`; a section without a method learns with the one that does best."""
    if isinstance(value, str):
        return {"method": value}
    return {"method": "objective", **value} if isinstance(value, dict) else value


_Method = Annotated[Static | Temperature | Schedule | Exp3s | Fair | Objective, Field(discriminator="method")]
Curriculum = Annotated[_Method, BeforeValidator(_named)]

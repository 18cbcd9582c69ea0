"""`curriculum` of a hybrid phase: how the tasks' shares are found while training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from dragoman.core.recipe.values import PositiveCount, Section, Share


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


def _named(value: Any) -> Any:
    """`fair` is short for `{method: fair}`."""
    if isinstance(value, str):
        return {"method": value}
    return {"method": "static", **value} if isinstance(value, dict) else value


_Method = Annotated[Static | Temperature, Field(discriminator="method")]
Curriculum = Annotated[_Method, BeforeValidator(_named)]

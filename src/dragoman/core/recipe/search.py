"""`search`: which values of the recipe are tried, and how the next ones are chosen."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dragoman.core.recipe.values import Count, PositiveCount, Section
from dragoman.core.scores.table import RisingMetric

_FIXED = ("name", "pairs", "seed", "evaluate", "study", "search")  # what all trials share


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise ValueError("a range goes from its smallest to its largest value")
    return ends


def _positive(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] <= 0:
        raise ValueError("a logarithmic range starts above 0")
    return ends


Reals = Annotated[tuple[float, float], AfterValidator(_rising)]
Whole = Annotated[tuple[int, int], AfterValidator(_rising)]


class Dimension(Section):
    """The values that one key may take: exactly one of `log`, `uniform`, `int` and `choice`."""

    log: Annotated[Reals, AfterValidator(_positive)] | None = None  # real numbers, evenly by their logarithm
    uniform: Reals | None = None
    whole: Whole | None = Field(default=None, alias="int")  # both ends included
    choice: Annotated[list[Any], Field(min_length=1)] | None = None  # any values of a recipe, sections too
    step: PositiveCount | None = None  # of `int`, from its smallest value
    points: Annotated[int, Field(ge=2)] | None = None  # so many values of `log` or `uniform`, ends included

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [name for name, value in self.kinds.items() if value is not None]
        if len(kinds) != 1:
            raise ValueError(
                "should be exactly one of `log: [a, b]`, `uniform: [a, b]`, `int: [a, b]`, `choice: [...]`"
            )
        if self.step is not None and self.whole is None:
            raise ValueError("`step` belongs to `int`")
        if self.points is not None and self.log is None and self.uniform is None:
            raise ValueError("`points` belong to `log` and `uniform`")
        return self

    @property
    def kinds(self) -> dict[str, Any]:
        return {"log": self.log, "uniform": self.uniform, "int": self.whole, "choice": self.choice}

    @property
    def listed(self) -> list[Any] | None:
        """All values one by one; None where there is no end of them."""
        if self.choice is not None:
            return list(self.choice)
        if self.whole is not None:
            return list(range(self.whole[0], self.whole[1] + 1, self.step or 1))
        ends = self.log or self.uniform
        if ends is None or self.points is None:
            return None
        low, high = ends
        shares = [i / (self.points - 1) for i in range(self.points)]
        inner = [low * (high / low) ** share if self.log else low + (high - low) * share for share in shares[1:-1]]
        return [low, *(float(f"{value:.6g}") for value in inner), high]

    @property
    def corners(self) -> list[Any]:
        """Values that are enough to check: if the recipe accepts these, it accepts all between them."""
        ends = self.log or self.uniform
        return self.listed or list(ends or ())

    def holds(self, value: Any) -> bool:
        """Whether this is one of the values."""
        if (listed := self.listed) is not None:
            return json.dumps(value) in [json.dumps(other) for other in listed]
        ends = self.log or self.uniform
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return ends is not None and number and ends[0] <= value <= ends[1]


def _path(path: str) -> str:
    """A key as an override names it; what all trials must share is none."""
    if (section := path.split(".", maxsplit=1)[0]) in _FIXED:
        raise ValueError(f"'{path}': trials must share their `{section}`, or they could not be compared")
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", path):
        raise ValueError(f"'{path}': a key is written with dots, such as train.0.sft.learning_rate")
    return path


class Search(Section):
    """A search for better values of some keys of the recipe, by translations of dev (docs/search.md)."""

    space: Annotated[dict[Annotated[str, AfterValidator(_path)], Dimension], Field(min_length=1)]
    metric: RisingMetric = "chrf"  # of the finished model's translations of one half of dev
    trials: PositiveCount = 20
    tokens: PositiveCount | None = None  # no further trial once all together were trained on so many
    sampler: Literal["bayesian", "random", "grid"] = "bayesian"
    pruner: Literal["median", "hyperband", "none"] = "median"  # ends trials that fall behind during training
    startup: PositiveCount = 5  # trials drawn at random, and none of them ended early, before what they show is used
    sentences: PositiveCount | None = None  # at most so many in each half of dev
    seed: Count = 0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for path in self.space:
            if inside := [other for other in self.space if other.startswith(f"{path}.")]:
                raise ValueError(f"{inside[0]} stands inside {path}: give one of them")
        endless = [path for path, dimension in self.space.items() if dimension.listed is None]
        if self.sampler == "grid" and endless:
            raise ValueError(f"a grid needs a number of values: give {', '.join(endless)} its `points`")
        return self

"""Curricula that learn nothing: the shares of the recipe, or the data's sizes under a temperature."""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.core.curriculum.base import Base, normalised
from dragoman.errors import RecipeError


class Static(Base):
    """The starting shares, all the way."""

    method = "static"


class Temperature(Base):
    """share ~ weight * size^(1/T) (Arivazhagan et al. 2019, arXiv 1907.05019): T = 1 is the data as they are, a large T
    is all tasks alike. `sizes` are the tasks' tokens."""

    method = "temperature"

    def __init__(
        self,
        prior: Mapping[str, float],
        floors: Mapping[str, float],
        *,
        sizes: Mapping[str, float] | None = None,
        temperature: float = 5.0,
    ) -> None:
        super().__init__(prior, floors)
        if sizes is None or any(sizes.get(task, 0) <= 0 for task in self.tasks):
            raise RecipeError("the curriculum `temperature` needs the size of every task's data, above 0.")
        if temperature <= 0:
            raise RecipeError(f"`temperature` is {temperature}; it must be above 0.")
        self.prior = normalised(
            [weight * sizes[task] ** (1 / temperature) for task, weight in zip(self.tasks, self.prior, strict=True)]
        )

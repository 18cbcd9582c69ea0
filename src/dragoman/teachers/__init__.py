"""Teachers: who writes synthetic text. A server, a model on this machine, or a run of dragoman; all alike from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dragoman.core.corpus.synthesis import Reply, Request
from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.synthesise import Teacher as Settings
from dragoman.teachers.answers import Answers

Told = Callable[[int], None]


class Teacher(Protocol):
    """Answers requests; every answer is on disk before `ask` returns, and what is on disk is not asked again."""

    def ask(self, requests: Sequence[Request], told: Told) -> list[Reply]:
        """The replies in the order of the requests. `told` hears how many are there.

        A request that fails is a reply with its `failure`. Raises ModelError when the teacher refuses to work at all,
        ResourceError when it does not answer any more; what has been answered until then is kept.
        """


def open_teacher(
    name: str, settings: Settings, recipe: Recipe, answers: Answers, listener: Listener = SILENT
) -> Teacher:
    """A teacher by its section of the recipe. Nothing is asked yet. Raises ModelError or RecipeError when it cannot be
    used."""
    if settings.api is not None:
        from dragoman.teachers.api import Api

        wanted = recipe.synthesise is not None and recipe.synthesise.verify.log_probability is not None
        return Api(name, settings.api, answers, seed=recipe.seed, log_probabilities=wanted)
    if settings.local is not None:
        from dragoman.teachers.local import Local

        return Local(name, settings.local, recipe, answers, listener)
    from dragoman.teachers.runs import Run

    assert settings.run is not None  # noqa: S101  - the recipe's own validator guarantees it
    return Run(name, settings.run, recipe, answers)

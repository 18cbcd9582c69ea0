"""Scorers of the user's own: a server, a program or a model that says how good translations are (docs/train.md, "Scorers")."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from dragoman.core.recipe.values import PositiveCount, Section

ScorerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Scorer(Section):
    """One of: a server that is asked by POST, a program that is asked line by line, a model of dragoman's."""

    url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = None
    command: Annotated[str, Field(min_length=1)] | None = None  # started in the recipe's folder, kept until the end
    model: str | None = None  # folder of a run or of a model: how likely it holds the translation ...
    against: str | None = None  # ... and how much likelier than this one does, such as the one that it was tuned from
    range: tuple[float, float] = (
        0.0,
        1.0,
    )  # the scores of the worst and of the best translation; what is beyond counts
    batch: PositiveCount = 64  # translations of one question
    timeout: Annotated[float, Field(gt=0)] = 120.0  # seconds for one answer

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(each is not None for each in (self.url, self.command, self.model)) != 1:
            raise ValueError("a scorer has either a `url`, a `command` or a `model`")
        if self.command is not None:
            try:
                words = shlex.split(self.command)
            except ValueError as error:
                raise ValueError(f"`command` cannot be split into words as a shell does it: {error}") from None
            if not words:
                raise ValueError("`command` is empty; name a program and its arguments")
        if self.against is not None and self.model is None:
            raise ValueError("`against` belongs to a scorer that is a `model`")
        if self.range[0] == self.range[1]:
            raise ValueError("`range` is the score of the worst and that of the best translation: they differ")
        return self

    @property
    def models(self) -> list[str]:
        """The folders of its models, as the recipe names them."""
        return [each for each in (self.model, self.against) if each is not None]


def check_names(key: str, used: Iterable[str], own: Iterable[str], scorers: Mapping[str, Any]) -> None:
    """Raise ValueError where `key` names a measure that is neither dragoman's own nor a scorer, or a scorer is not used."""
    used, own = list(used), list(own)
    if both := sorted(set(own) & set(scorers)):
        raise ValueError(f"`scorers`: {', '.join(both)} is dragoman's own; give yours another name")
    if unknown := [name for name in used if name not in own and name not in scorers]:
        raise ValueError(f"`{key}` names {', '.join(unknown)}, which is none of {', '.join(own)}, nor one of `scorers`")
    if idle := sorted(set(scorers) - set(used)):
        raise ValueError(f"`scorers`: {', '.join(idle)} is not used; give it a weight in `{key}`")

"""What stands beside a sentence in its prompt: examples from the memory, terms from the glossary."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dragoman.core.recipe.values import PositiveCount, Section, Share

MOST_SHOTS = 16


class MemoryUse(Section):
    """Where examples come from, and how alike they must be."""

    path: str | None = None  # a run or a .sqlite file; default: the run's own memory, else its training texts
    tenant: str = "default"
    min_match: Share = 0.5  # the similarity gate, 0..1: what is less alike is no example
    max_match: Share = 1.0  # below 1, near twins are no examples either

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_match > self.max_match:
            raise ValueError(f"min_match {self.min_match} is above max_match {self.max_match}: nothing would be found")
        return self


class TrainingMemory(MemoryUse):
    leave_one_out: bool = True  # a sentence is never its own example, nor is its near twin
    poor: Share = 0.05  # share of the prompts with examples that get examples drawn at random instead


class GlossaryUse(Section):
    """Which terms, and how many in a prompt."""

    path: str | None = None  # .csv, .tsv or .tbx; default: the run's own glossary
    terms: PositiveCount = 8


class TrainingGlossary(GlossaryUse):
    share: Share = 0.3  # of the prompts whose sentence has terms that its reference obeys


class RewardGlossary(TrainingGlossary):
    share: Share = 0.0  # by itself no prompt shows terms: a model that never saw any in its prompt cannot use them


def _use(value: object) -> object:
    """`true` means with all defaults, `false` not at all."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


def _whole(shares: dict[int, float]) -> dict[int, float]:
    if abs(sum(shares.values()) - 1.0) > 1e-6:
        raise ValueError(f"the shares add up to {sum(shares.values()):g}, not to 1")
    return shares


def _as_shares(value: object) -> object:
    """`1` means always one example."""
    return {value: 1.0} if isinstance(value, int) and not isinstance(value, bool) else value


ShotCount = Annotated[int, Field(ge=0, le=MOST_SHOTS)]
Shots = Annotated[dict[ShotCount, Share], BeforeValidator(_as_shares), AfterValidator(_whole)]
UsedGlossary = Annotated[GlossaryUse | None, BeforeValidator(_use)]
UsedTrainingGlossary = Annotated[TrainingGlossary | None, BeforeValidator(_use)]
UsedRewardGlossary = Annotated[RewardGlossary | None, BeforeValidator(_use)]

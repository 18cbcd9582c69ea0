"""`study`: arms that differ in named keys, and what they share."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from dragoman.core.recipe.prepare import ParallelSources
from dragoman.core.recipe.values import Section, Seed


def _name(name: str) -> str:
    """An arm's name is the name of its folder."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name):
        raise ValueError("the name of an arm has letters, digits and . + - _ only, for it is the name of its folder")
    return name


def _different(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("the same seed twice gives the same run twice")
    return seeds


Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(_different)]
ArmName = Annotated[str, AfterValidator(_name)]


class Study(Section):
    """A controlled study. An arm is the recipe with some keys changed (docs/study.md)."""

    arms: dict[ArmName, dict[str, Any] | list[str]] = {}  # nested keys, or `section.key=value` as on the command line
    seeds: Seeds | None = None  # a run of every arm for each; by default the recipe's seed and the two after it
    synthetic: ParallelSources = []  # `study abcd`: the texts of C and D

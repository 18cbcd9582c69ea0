"""`evaluate`: the tests, and how they are decoded and scored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dragoman.core.recipe.prepare import ParallelSources
from dragoman.core.recipe.values import Count, PositiveCount, Section


class Decoding(Section):
    beam: PositiveCount = 1
    length_penalty: float = 1.0  # beam search: score / length ** penalty
    max_ratio: Annotated[float, Field(gt=0)] = 2.0  # at most this many new tokens per source token ...
    max_extra: Count = 20  # ... plus so many
    batch_tokens: PositiveCount | Literal["auto"] = "auto"


class Evaluate(Section):
    metrics: list[Literal["bleu", "chrf", "ter"]] = ["bleu", "chrf", "ter"]
    sets: list[Literal["dev", "test"]] = ["dev", "test"]
    files: ParallelSources = []  # further test files; their segments must not stand in the training set
    decode: list[Decoding] = [Decoding()]
    bootstrap: PositiveCount = 1000
    randomisation: PositiveCount = 10000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    max_segments: PositiveCount | None = None
    must_gain: dict[Literal["bleu", "chrf", "ter"], float] = {}  # else the run ends with an error

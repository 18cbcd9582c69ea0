"""The section `distil`: a larger model teaches by what it holds possible at every token."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dragoman.core.recipe.training import Training
from dragoman.core.recipe.values import Pairs, PositiveCount, Share, each_once, listed
from dragoman.core.text.languages import Direction


class Distil(Training):
    """Token-level distillation from a teacher with the same tokenizer, on the references or on the student's own samples."""

    # the folder of a run or of a model; of several each sentence is taught by the one that finds its reference the likeliest
    teacher: Annotated[list[str], BeforeValidator(listed), AfterValidator(each_once), Field(min_length=1)]
    data: Literal["references", "own"] = "references"  # own: what the student itself would say, sampled again and again
    every: PositiveCount | None = None  # of `own`: optimiser steps until new samples are drawn; default 10
    top_k: Annotated[int, Field(ge=1, le=1024)] = 16  # tokens that the teacher tells of; all others are one
    temperature: Annotated[float, Field(gt=0)] = 1.0
    divergence: Literal["forward", "reverse"] = "forward"  # KL(teacher, student), or KL(student, teacher)
    mix: Share = 0.5  # weight of the divergence; the rest is that of the cross-entropy on the references
    epochs: Annotated[float, Field(gt=0)] = 1.0
    directions: Pairs | None = None

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.every is not None and self.data != "own":
            raise ValueError("`every` means nothing to `data: references`, which are the same all the time")
        if self.data == "own" and self.packing == "packed":
            raise ValueError("`packing: packed` cannot be had with `data: own`, whose lengths nobody knows beforehand")
        if self.label_smoothing:
            raise ValueError("`label_smoothing` means nothing to `distil`: the teacher says what else is possible")
        if not self.mix:
            raise ValueError("`mix: 0` would leave the teacher out: use `sft`")
        return self

    def trained_directions(self, pairs: list[Direction]) -> list[Direction]:
        return self.directions or pairs

    @property
    def learned_by(self) -> list[str]:
        return []  # a teacher is its measure, none of these

    @property
    def model_folders(self) -> list[str]:
        return self.teacher

"""What every kind of training phase has."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dragoman.core.recipe.values import PositiveCount, Section


class Training(Section):
    """What every kind of training phase shares: batches, optimiser, schedule, evaluation, checkpoints."""

    batch_tokens: PositiveCount | Literal["auto"] = "auto"  # tokens (padding included) in one forward pass
    accumulation: PositiveCount | Literal["auto"] = "auto"  # forward passes per optimiser step
    packing: Literal["auto", "sorted", "packed"] = "auto"
    optimiser: Literal["auto", "adamw", "muon"] = "auto"
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    schedule: Literal["cosine", "linear", "constant", "inverse_sqrt"] = "cosine"
    warmup: Annotated[float, Field(ge=0)] = 0.05  # below 1 a share of all steps, else a number of steps
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    compile: bool | Literal["auto"] = "auto"
    evaluate_every: PositiveCount | Literal["auto"] = "auto"  # optimiser steps
    evaluate_sentences: PositiveCount = 200  # dev sentences that are translated for the curve
    checkpoint_every: PositiveCount | Literal["auto"] = "auto"
    keep: Annotated[int, Field(ge=2)] = 2  # checkpoints kept besides the best
    select: Literal["best", "last"] = "best"  # the checkpoint that the phase ends with: best by dev chrF, or the last
    patience: PositiveCount | None = None  # stop after so many evaluations without a better dev chrF

    @model_validator(mode="after")
    def _patience_selects(self) -> Self:
        if self.select == "last" and self.patience is not None:
            raise ValueError(
                "`patience` stops after the best checkpoint, `select: last` does not want it: give one of them"
            )
        return self

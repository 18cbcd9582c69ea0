"""`plan` and `train`: the machine, the phases, what moves."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dragoman.core.recipe.values import Pair, PositiveCount, Section, Share


class Plan(Section):
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: PositiveCount | None = None
    memory: Annotated[float, Field(gt=0)] | None = None  # GiB that may be used; default: what the machine has
    hours: Annotated[float, Field(gt=0)] | None = None  # refuse a run that would take longer


class Lora(Section):
    method: Literal["lora"] = "lora"
    rank: PositiveCount = 16
    alpha: Annotated[float, Field(gt=0)] | None = None  # default 2 x rank
    dropout: Share = 0.0
    targets: Literal["all-linear"] | list[str] = "all-linear"


class Training(Section):
    """What every kind of training phase shares: batches, optimiser, schedule, evaluation, checkpoints."""

    batch_tokens: PositiveCount | Literal["auto"] = "auto"  # tokens (padding included) in one forward pass
    accumulation: PositiveCount = 1  # forward passes per optimiser step
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
    patience: PositiveCount | None = None  # stop after so many evaluations without a better dev chrF


class Sft(Training):
    """Supervised fine-tuning: loss on the target's tokens and the end token only."""

    epochs: Annotated[float, Field(gt=0)] = 3.0
    tokens: PositiveCount | None = None  # stop after so many tokens (prompt and target); wins over epochs
    directions: list[Pair] | None = None  # default: the recipe's pairs


class Phase(Section):
    """One training phase: exactly one of its kinds, and what moves."""

    sft: Sft | None = None
    adapt: Literal["full"] | Lora = "full"

    @model_validator(mode="before")
    @classmethod
    def _empty_kind(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("sft", 0) is None:
            return {**value, "sft": {}}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.sft is None:
            raise ValueError("a phase needs its kind: `sft: {...}`")
        return self

    @property
    def kind(self) -> str:
        return "sft"

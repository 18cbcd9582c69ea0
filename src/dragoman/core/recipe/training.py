"""What every entry of `train` answers, and what every kind of training phase has."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from dragoman.core.recipe.assist import GlossaryUse, MemoryUse, Shots
from dragoman.core.recipe.optimise import OptimiserName, OptimiserOptions, Rates
from dragoman.core.recipe.values import PositiveCount, Section
from dragoman.core.text.languages import Direction


class TrainEntry(Section):
    """The section of an entry of `train`, a phase's or an operation's: what the house asks of each (for a kind to answer
    otherwise)."""

    @classmethod
    def given(cls, section: TrainEntry) -> Self:
        """The section of a phase of this kind."""
        assert isinstance(section, cls)  # noqa: S101 # the table of kinds guarantees it
        return section

    def trained_directions(self, pairs: list[Direction]) -> list[Direction]:
        """The directions that it is about; `pairs` are the recipe's."""
        return pairs

    @property
    def files(self) -> list[str]:
        """The files that it reads besides the prepared texts, as the recipe names them."""
        return []

    @property
    def model_folders(self) -> list[str]:
        """The folders of models that it reads, as the recipe names them."""
        return []

    @property
    def synthetic_key(self) -> str | None:
        """The key that asks for the rows of `synthesise`; None where none is wanted."""
        return None

    @property
    def looks_into(self) -> tuple[Shots, MemoryUse, GlossaryUse | None] | None:
        """The examples wanted in a prompt, and the memory and the glossary that they and the terms come from."""
        return None

    @property
    def most_shots(self) -> int:
        """The most examples in a prompt."""
        return 0

    @property
    def has_terms(self) -> bool:
        """Whether prompts may hold terms."""
        return False


class Training(TrainEntry):
    """What every kind of training phase shares: batches, optimiser, schedule, evaluation, checkpoints."""

    translates: ClassVar[bool] = True  # whether it makes a translator, which the next entry goes on from

    batch_tokens: PositiveCount | Literal["auto"] = "auto"  # tokens (padding included) in one forward pass
    accumulation: PositiveCount | Literal["auto"] = "auto"  # forward passes per optimiser step
    packing: Literal["auto", "sorted", "packed"] = "auto"
    optimiser: Literal["auto"] | OptimiserName | OptimiserOptions = "auto"
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    schedule: Literal["cosine", "linear", "constant", "inverse_sqrt"] = "cosine"
    warmup: Annotated[float, Field(ge=0)] = 0.05  # below 1 a share of all steps, else a number of steps
    rates: Rates | None = None  # factors on the learning rate by layer
    weight_decay: Annotated[float, Field(ge=0)] | Literal["auto"] = (
        "auto"  # auto: 0.05, or 0 of an optimiser without it
    )
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    neftune: Annotated[float, Field(gt=0)] | None = None  # strength of noise on the embeddings (Jain et al. 2023)
    compile: bool | Literal["auto"] = "auto"
    recompute: bool | Literal["auto"] = "auto"  # activations in the backward pass again; auto: where memory needs it
    evaluate_every: PositiveCount | Literal["auto"] = "auto"  # optimiser steps
    evaluate_sentences: PositiveCount = 200  # dev sentences that are translated for the curve
    checkpoint_every: PositiveCount | Literal["auto"] = "auto"
    keep: Annotated[int, Field(ge=2)] = 2  # checkpoints kept besides the best
    select: Literal["best", "last"] = "best"  # the checkpoint that the phase ends with: best by dev chrF, or the last
    patience: PositiveCount | None = None  # stop after so many evaluations without a better dev chrF

    @property
    def learned_by(self) -> list[str] | None:
        """The figures of its evaluations that it was trained by itself, so that a gain in them alone is no proof; None
        where it imitates references."""
        return None

    @property
    def headed(self) -> bool:
        """Whether a head of one output is trained beside the model's own weights."""
        return False

    @model_validator(mode="after")
    def _patience_selects(self) -> Self:
        if self.select == "last" and self.patience is not None:
            raise ValueError(
                "`patience` stops after the best checkpoint, `select: last` does not want it: give one of them"
            )
        return self

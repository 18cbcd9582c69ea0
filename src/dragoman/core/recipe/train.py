"""`plan` and `train`: the machine, the phases, what moves."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import Field, model_validator

from dragoman.core.recipe.adapt import METHODS, Adapt
from dragoman.core.recipe.assist import GlossaryUse, MemoryUse, Shots, TrainingMemory, UsedTrainingGlossary
from dragoman.core.recipe.distil import Distil
from dragoman.core.recipe.hybrid import Hybrid
from dragoman.core.recipe.operations import Merge, Operation, Prune
from dragoman.core.recipe.prefer import Prefer
from dragoman.core.recipe.reinforce import Reinforce
from dragoman.core.recipe.reward import Reward
from dragoman.core.recipe.training import TrainEntry, Training
from dragoman.core.recipe.values import Pairs, PositiveCount, Section, Share
from dragoman.core.text.languages import Direction

Entry = TypeVar("Entry", bound=TrainEntry)


class Plan(Section):
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp8"] = "auto"  # fp16: for cards without bf16
    threads: PositiveCount | None = None
    memory: Annotated[float, Field(gt=0)] | None = None  # GiB that may be used; default: what the machine has
    hours: Annotated[float, Field(gt=0)] | None = None  # refuse a run that would take longer
    shard: bool = False  # several processes each hold a part of weights, gradients and optimiser, not all of them
    tensor_parallel: PositiveCount = 1  # so many processes share the products of one pass, each with a part of a layer

    @property
    def sharded(self) -> bool:
        """Whether several processes hold parts of the weights."""
        return self.shard or self.tensor_parallel > 1


class SyntheticRows(Section):
    """How the rows of `synthesise` are mixed in."""

    share: Annotated[float, Field(gt=0, le=1)] | None = (
        None  # of what an epoch shows; default: every row once; 1: alone
    )
    tag: bool = True  # a control token at the prompt's start says that a machine made the row (Caswell et al. 2019)


class Sft(Training):
    """Supervised fine-tuning: loss on the target's tokens and the end token only."""

    epochs: Annotated[float, Field(gt=0)] = 3.0
    tokens: PositiveCount | None = None  # stop after so many tokens (prompt and target); wins over epochs
    directions: Pairs | None = None  # default: the recipe's pairs
    synthetic: SyntheticRows | None = None  # default: real rows only
    shots: Shots = {0: 1.0}  # examples in the prompt -> share of the prompts
    memory: TrainingMemory = TrainingMemory()
    glossary: UsedTrainingGlossary = None
    markers: Share = 0.5  # of the sentences with tags or placeholders: markers stand for them, as in a document

    @model_validator(mode="after")
    def _memory_is_used(self) -> Self:
        if self.memory != TrainingMemory() and not max(self.shots):
            raise ValueError("`memory` is given, but no prompt has an example: give `shots`, such as {0: 0.5, 1: 0.5}")
        return self

    def trained_directions(self, pairs: list[Direction]) -> list[Direction]:
        return self.directions or pairs

    @property
    def synthetic_key(self) -> str | None:
        return "synthetic" if self.synthetic is not None else None

    @property
    def looks_into(self) -> tuple[Shots, MemoryUse, GlossaryUse | None] | None:
        return self.shots, self.memory, self.glossary

    @property
    def most_shots(self) -> int:
        return max((count for count, share in self.shots.items() if share), default=0)

    @property
    def has_terms(self) -> bool:
        return self.glossary is not None

    @property
    def assisted(self) -> bool:
        """True when there may be more than the sentence in a prompt."""
        return max(self.shots) > 0 or self.glossary is not None


class Average(Section):
    """An average of the weights over the steps: `ema` beside training, and it is what is evaluated and kept; `pull_back`
    inside it: training goes on from the average."""

    method: Literal["ema", "pull_back"] = "ema"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999  # of `ema`: per optimiser step; less in the first steps
    keep: Annotated[float, Field(ge=0, lt=1)] = 0.92  # of `pull_back`: the share of the old weights (2506.00288)
    every: PositiveCount = 1  # of `pull_back`: optimiser steps from pull to pull

    @model_validator(mode="after")
    def _keys_of_the_method(self) -> Self:
        known = {"ema": {"decay"}, "pull_back": {"keep", "every"}}[self.method]
        if other := self.differing - {"method", *known}:
            keys = ", ".join(sorted(known))
            raise ValueError(f"`{min(other)}` means nothing to `method: {self.method}`, whose keys are: {keys}")
        return self


class StopIf(Section):
    """Guard rails: an evaluation that breaks one ends the phase; the best checkpoint before it is taken, or the start."""

    forgetting: Annotated[float, Field(gt=0)] | None = None  # rise of the perplexity of general text since the start
    off_target: Annotated[float, Field(gt=0, le=1)] | None = None  # share of translations in another language
    in_context: Annotated[float, Field(gt=0)] | None = None  # chrF lost after one example, from the best so far
    chrf: Annotated[float, Field(gt=0)] | None = None  # chrF lost on the development sample, from the best so far
    length: Annotated[float, Field(gt=1)] | None = None  # how many times longer or shorter than the references


class Phase(Section):
    """One entry of `train`: exactly one of its kinds, and of a training phase what moves. A field that holds a `Training` is
    a kind of phase, whose code is the module of its name in `engine.phases`; one that holds an `Operation` takes no steps,
    and `engine.operations` knows it."""

    sft: Sft | None = None
    hybrid: Hybrid | None = None
    prefer: Prefer | None = None
    reward: Reward | None = None
    distil: Distil | None = None
    reinforce: Reinforce | None = None
    merge: Merge | None = None
    prune: Prune | None = None
    adapt: Literal["full"] | Adapt = "full"
    average: Average | None = None
    stop_if: StopIf | None = None

    @classmethod
    def kinds(cls, of: type[TrainEntry] = TrainEntry) -> list[str]:
        """The kinds that a phase can have, or those whose sections are `of` a class."""
        return [name for name, field in cls.model_fields.items() if _section(field.annotation, of)]

    @model_validator(mode="before")
    @classmethod
    def _empty_kind(cls, value: Any) -> Any:
        """`sft:` alone takes the defaults, as `sft: {}` does."""
        named = [kind for kind in cls.kinds() if kind in value] if isinstance(value, dict) else []
        return {**value, named[0]: {}} if len(named) == 1 and value[named[0]] is None else value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in self.kinds()) != 1:
            raise ValueError(
                f"a phase needs its kind, and only one: {' or '.join(f'`{kind}: {{...}}`' for kind in self.kinds())}"
            )
        for key in type(self).model_fields.keys() - self.kinds():
            if self.operation is not None and getattr(self, key) != type(self).model_fields[key].get_default():
                raise ValueError(f"`{key}` means nothing to `{self.kind}`, which takes no training steps")
        return self

    @model_validator(mode="after")
    def _head_beside(self) -> Self:
        """What a section with a head, or one that makes no translator, goes with."""
        section = self.section
        if not isinstance(section, Training):
            return self
        if section.headed and (METHODS[self.method].movement is not None or METHODS[self.method].virtual):
            raise ValueError(
                f"`adapt: {{method: {self.method}}}` says itself what moves, and `{self.kind}` trains a head beside the "
                "model: use `lora` or another adapter, or `full`"
            )
        if not section.translates and self.stop_if is not None:
            raise ValueError(f"`stop_if` means nothing to `{self.kind}`, which makes no translator")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in self.kinds() if getattr(self, kind) is not None)

    @property
    def virtual_tokens(self) -> int:
        """Learned tokens in front of every sequence."""
        return self.adapt.virtual_tokens if isinstance(self.adapt, Adapt) and METHODS[self.adapt.method].virtual else 0

    @property
    def section(self) -> TrainEntry:
        """The section of the kind."""
        found: TrainEntry = getattr(self, self.kind)
        return found

    @property
    def method(self) -> str:
        """How it changes its model, as `METHODS` of `core.recipe.adapt` names it."""
        return "full" if self.adapt == "full" else self.adapt.method

    def takes(self, quantise: str) -> bool:
        """Whether it can train on a base that is quantised so."""
        return quantise in METHODS[self.method].quantised

    @property
    def training(self) -> Training:
        """The section of a training phase; an operation has none."""
        found = self.section
        assert isinstance(found, Training)  # noqa: S101  - whoever trains has asked for `operation` first
        return found

    @property
    def operation(self) -> Operation | None:
        """The section of an operation; None for a training phase."""
        found = self.section
        return found if isinstance(found, Operation) else None

    def directions(self, pairs: list[Direction]) -> list[Direction]:
        """The directions that the phase trains; `pairs` are the recipe's."""
        return self.section.trained_directions(pairs)


def _section(annotation: Any, of: type[Entry]) -> type[Entry] | None:
    """The section that a field holds, if it is one of that class."""
    return next((part for part in get_args(annotation) if isinstance(part, type) and issubclass(part, of)), None)

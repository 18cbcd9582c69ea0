"""`plan` and `train`: the machine, the phases, what moves."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dragoman.core.recipe.assist import Shots, TrainingMemory, UsedTrainingGlossary
from dragoman.core.recipe.hybrid import Hybrid
from dragoman.core.recipe.training import Training
from dragoman.core.recipe.values import Pairs, PositiveCount, Section, Share
from dragoman.core.text.languages import Direction


class Plan(Section):
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: PositiveCount | None = None
    memory: Annotated[float, Field(gt=0)] | None = None  # GiB that may be used; default: what the machine has
    hours: Annotated[float, Field(gt=0)] | None = None  # refuse a run that would take longer


_LORA = frozenset({"rank", "alpha", "dropout", "targets", "merge"})
_KEYS = {  # method -> the keys that it knows
    "lora": _LORA,
    "rslora": _LORA,
    "dora": _LORA,
    "vera": _LORA - {"alpha"},
    "ia3": {"targets", "merge"},
    "oft": {"block", "targets", "merge"},
    "bitfit": set(),
    "layernorm": set(),
    "parts": {"names"},
}


class Adapt(Section):
    """Which weights move, where not all do."""

    method: Literal["lora", "rslora", "dora", "vera", "ia3", "oft", "bitfit", "layernorm", "parts"] = "lora"
    rank: PositiveCount = 16
    alpha: Annotated[float, Field(gt=0)] | None = None  # default 2 x rank
    dropout: Share = 0.0
    block: PositiveCount = 32  # side of an orthogonal block
    targets: Literal["all-linear"] | list[str] = "all-linear"
    names: list[str] = []  # regular expressions; a weight is trained whose name one of them is found in
    merge: bool = True  # into the base when the phase is done; else the model is the base and the adapter beside it

    @model_validator(mode="after")
    def _keys_of_the_method(self) -> Self:
        known = _KEYS[self.method]
        for key, field in type(self).model_fields.items():
            if key not in {"method", *known} and getattr(self, key) != field.get_default():
                keys = ", ".join(sorted(known)) or "none"
                raise ValueError(f"`{key}` means nothing to `method: {self.method}`, whose keys are: {keys}")
        if self.method == "parts" and not self.names:
            raise ValueError("`method: parts` needs `names`: regular expressions for the weights that are trained")
        for name in self.names:
            try:
                re.compile(name)
            except re.error as error:
                raise ValueError(f"`names`: '{name}' is no regular expression ({error})") from None
        return self


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

    @property
    def assisted(self) -> bool:
        """True when there may be more than the sentence in a prompt."""
        return max(self.shots) > 0 or self.glossary is not None


class Average(Section):
    """Moving average of the weights; it is what is evaluated and kept."""

    method: Literal["ema"] = "ema"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999  # per optimiser step; less in the first steps


class StopIf(Section):
    """Guard rails: an evaluation that breaks one ends the phase; the best checkpoint before it is taken, or the start."""

    forgetting: Annotated[float, Field(gt=0)] | None = None  # rise of the perplexity of general text since the start
    off_target: Annotated[float, Field(gt=0, le=1)] | None = None  # share of translations in another language
    in_context: Annotated[float, Field(gt=0)] | None = None  # chrF lost after one example, from the best so far


class Phase(Section):
    """One training phase: exactly one of its kinds, and what moves."""

    sft: Sft | None = None
    hybrid: Hybrid | None = None
    adapt: Literal["full"] | Adapt = "full"
    average: Average | None = None
    stop_if: StopIf | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_kind(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("sft", 0) is None and value.get("hybrid") is None:
            return {**value, "sft": {}}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.sft is None) == (self.hybrid is None):
            raise ValueError("a phase needs its kind, and only one: `sft: {...}` or `hybrid: {...}`")
        return self

    @property
    def kind(self) -> str:
        return "sft" if self.sft is not None else "hybrid"

    @property
    def training(self) -> Sft | Hybrid:
        """The section of the kind."""
        found = self.sft or self.hybrid
        assert found is not None  # noqa: S101  - the validator above guarantees it
        return found

    @property
    def synthetic(self) -> bool:
        """Whether the phase trains on the rows of `synthesise`."""
        if self.hybrid is not None:
            return self.hybrid.tasks.synthetic is not None
        return self.sft is not None and self.sft.synthetic is not None

    def directions(self, pairs: list[Direction]) -> list[Direction]:
        """The directions that the phase trains; `pairs` are the recipe's."""
        if self.sft is not None:
            return self.sft.directions or pairs
        assert self.hybrid is not None  # noqa: S101
        return self.hybrid.translations(pairs)

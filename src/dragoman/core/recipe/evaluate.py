"""`evaluate`: the tests, and how they are decoded and scored."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dragoman.core.recipe.assist import MemoryUse, ShotCount, UsedGlossary
from dragoman.core.recipe.backend import BackendName, is_url
from dragoman.core.recipe.prepare import ParallelSources
from dragoman.core.recipe.values import Count, PositiveCount, Section, Seed, each_once, listed
from dragoman.core.scores.table import MetricName


class Sampling(Section):
    """Tokens drawn from the model, by a seed. What the options leave out can never be drawn (docs/decoding.md)."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_k: PositiveCount | None = None  # only the so many most probable tokens
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None  # only the most probable ones that have this probability
    epsilon: Annotated[float, Field(ge=0, lt=1)] = 0.02  # no token that is less probable
    seed: Seed = 0


class Mbr(Sampling):
    """Minimum Bayes risk: of so many samples, the one that is most like all others."""

    candidates: Annotated[int, Field(ge=2)] = 64
    utility: Literal["chrf"] = "chrf"  # chrF2++ of the sentence
    aggregate: bool = True  # against the mean n-gram counts of all samples; false: against every sample


class Decoding(Section):
    """Greedy, or one of: a beam, one sample, minimum Bayes risk."""

    beam: PositiveCount = 1
    length_penalty: float = 1.0  # beam search: score / length ** penalty
    sample: Sampling | None = None
    mbr: Mbr | None = None
    max_ratio: Annotated[float, Field(gt=0)] = 2.0  # at most this many new tokens per source token ...
    max_extra: Count = 20  # ... plus so many
    batch_tokens: PositiveCount | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [f"beam: {self.beam}"] * (self.beam > 1) + [w for w in ("sample", "mbr") if getattr(self, w) is not None]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} exclude each other: a translation is made in one of these ways")
        return self


class Outside(Section):
    """A system that is not dragoman's: its translations, in files, are scored and tested as the others are."""

    name: Annotated[str, Field(pattern=r"^[\w][\w. -]*$")]
    # set and direction, as in `test en-fr` -> a text file, one translation a line, in the order of evaluate/sources/
    outputs: Annotated[dict[str, str], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_another(self) -> Self:
        if self.name in ("baseline", "trained", "untrained"):
            raise ValueError(f"'{self.name}' is the name of a system of the run: give this one another")
        return self


class Evaluate(Section):
    metrics: Annotated[list[MetricName], BeforeValidator(listed), AfterValidator(each_once), Field(min_length=1)] = [
        "bleu",
        "chrf",
        "ter",
    ]
    sets: Annotated[list[Literal["dev", "test"]], BeforeValidator(listed), AfterValidator(each_once)] = ["dev", "test"]
    files: ParallelSources = []  # further test files; their segments must not stand in the training set
    decode: Annotated[list[Decoding], BeforeValidator(listed), Field(min_length=1)] = [Decoding()]
    shots: Annotated[list[ShotCount], BeforeValidator(listed), Field(min_length=1)] = [0]  # each is a row of its own
    memory: MemoryUse = MemoryUse()  # where the examples come from
    # as `shots`, with examples drawn at random from the training pairs
    random_shots: Annotated[list[ShotCount], BeforeValidator(listed)] = []
    glossary: UsedGlossary = None  # a further row with terms in the prompt: are they obeyed?
    perplexity: bool = False  # of held-out monolingual text, for every system (docs/hybrid.md)
    closed: Annotated[int, Field(ge=2)] | None = None  # is the reference the most probable of so many candidates?
    bootstrap: PositiveCount = 1000
    randomisation: PositiveCount = 10000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    max_segments: PositiveCount | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of all systems; auto: fp32 on a processor
    backend: BackendName = "auto"  # of all systems; a URL: of the last one, whose model the server has
    outside: Annotated[list[Outside], BeforeValidator(listed)] = []  # translations that another system has made
    must_gain: dict[MetricName, float] = {}  # else the run ends with an error

    @model_validator(mode="after")
    def _has_sets(self) -> Self:
        if not self.sets and not self.files:
            raise ValueError("names nothing to evaluate on: give `sets`, such as [dev, test], or `files`")
        for source in self.files:
            if source.weight is not None or source.use == "dev":
                raise ValueError(
                    f"`use` and `weight` of {source.path} belong to `prepare.parallel`: this is a test set"
                )
        return self

    @model_validator(mode="after")
    def _backend_is_able(self) -> Self:
        if self.backend in ("auto", "transformers"):
            return self
        if asked := [key for key in ("closed", "perplexity") if getattr(self, key)]:
            raise ValueError(f"`{asked[0]}` looks into the model: it needs `backend: transformers`")
        for one in self.decode:
            if one.mbr is not None or one.sample is not None or (one.beam > 1 and is_url(self.backend)):
                raise ValueError(f"the backend {self.backend} is not able to decode so: use `backend: transformers`")
        return self

    @model_validator(mode="after")
    def _outside_have_names(self) -> Self:
        each_once([one.name for one in self.outside])
        return self

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if any(decoding in self.decode[:number] for number, decoding in enumerate(self.decode)):
            raise ValueError("`decode` has the same decoding twice")
        return self

    @model_validator(mode="after")
    def _memory_is_used(self) -> Self:
        if self.memory != MemoryUse() and not max(self.shots):
            raise ValueError("`memory` is given, but no prompt has an example: give `shots`, such as [0, 1]")
        if len(set(self.shots)) != len(self.shots) or len(set(self.random_shots)) != len(self.random_shots):
            raise ValueError("`shots` names a number twice")
        if 0 in self.random_shots:
            raise ValueError("`random_shots` starts at 1: without examples there is nothing to draw")
        if 0 not in self.shots:
            raise ValueError("`shots` needs a 0: without examples is what the others are held against")
        return self

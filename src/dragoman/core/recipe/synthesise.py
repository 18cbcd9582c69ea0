"""`synthesise`: the teachers, what each of them is to make, and what a row must pass before it is used."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dragoman.core.recipe.backend import BackendName
from dragoman.core.recipe.values import Count, Pair, PositiveCount, Section, Share, listed, off

MODES = ("source", "forward", "back", "refine", "paraphrase")
KINDS = ("api", "local", "run")  # of teachers


# ---------------------------------------------------------------- teachers


class Price(Section):
    """Money per million tokens, in whatever currency the budget is in."""

    input: Annotated[float, Field(ge=0)]  # of the prompt
    output: Annotated[float, Field(ge=0)]  # of the answer


class Budget(Section):
    """What a teacher may cost in all, however often the run is started; it is never exceeded."""

    tokens: PositiveCount | None = None  # of prompts and answers together
    money: Annotated[float, Field(gt=0)] | None = None  # needs `price`


class ApiTeacher(Section):
    """A server that speaks OpenAI's chat completions."""

    url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")]  # up to and without /chat/completions
    model: str  # its name there
    key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = (
        None  # the environment variable that holds it
    )
    price: Price | None = None
    budget: Budget = Budget()
    concurrency: PositiveCount = 8  # requests on their way at once
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    timeout: Annotated[float, Field(gt=0)] = 120.0  # seconds for one answer, from first to last byte
    retries: Count = 5  # of one request, after time-outs, 429 and 5xx
    patience: Annotated[float, Field(gt=0)] = 300.0  # seconds; a Retry-After beyond it ends the work for now
    answer_tokens: PositiveCount = 512  # that an answer may have
    overhead: Count = 64  # tokens that the server's chat template adds to a request, at most; for the budget
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # how the server calls `answer_tokens`
    body: dict[str, Any] = {}  # further fields of each request, as the server documents them

    @model_validator(mode="after")
    def _money_needs_price(self) -> Self:
        if self.budget.money is not None and self.price is None:
            raise ValueError("a budget in money needs `price: {input: ..., output: ...}` (per million tokens)")
        if taken := {"model", "messages", "stream", "n", self.limit} & set(self.body):
            raise ValueError(f"body: {', '.join(sorted(taken))} is set by dragoman")
        return self


class LocalTeacher(Section):
    """A language model on this machine, asked in its own chat template."""

    model: str  # a hub id or a folder
    revision: str | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    answer_tokens: PositiveCount = 512
    batch_tokens: PositiveCount = 16_384  # of prompts and answers, decoded at once


class RunTeacher(Section):
    """A run of dragoman: it translates, and does nothing else."""

    folder: str
    beam: PositiveCount = 1
    backend: BackendName = "auto"  # what translates (docs/deploy.md)


class Teacher(Section):
    """Exactly one of its kinds."""

    api: ApiTeacher | None = None
    local: Annotated[LocalTeacher | None, BeforeValidator(lambda v: {"model": v} if isinstance(v, str) else v)] = None
    run: Annotated[RunTeacher | None, BeforeValidator(lambda v: {"folder": v} if isinstance(v, str) else v)] = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError("needs exactly one of `api` (a server), `local` (a model) and `run` (a run of dragoman)")
        return self


# ---------------------------------------------------------------- what is made


class Task(Section):
    """What all modes have."""

    teacher: str
    pair: Pair | None = None  # the direction that the rows are for; by default the recipe's only one
    rows: PositiveCount | None = None  # texts to start from, drawn by the seed; by default all
    reverse: str | None = None  # a teacher that translates back: rows are then verified by round trip
    temperature: Annotated[float, Field(ge=0)] = 0.0


class Source(Task):
    """The teacher writes sentences in the source language; they are translated."""

    rows: PositiveCount = 1000
    role: str = ""  # who writes, for whom, in which style: stands first in the prompt
    topics: list[str] = []  # each request has one, in turn
    examples: Count | list[str] = 3  # sentences shown: so many drawn from the training texts, or these
    per_request: PositiveCount = 10  # sentences that one answer shall have
    translator: str | None = None  # the teacher that translates; by default the one that writes
    temperature: Annotated[float, Field(ge=0)] = 1.0


class Forward(Task):
    """Monolingual source text is translated: distillation (Kim and Rush 2016)."""


class Back(Task):
    """Monolingual target text is translated back (Sennrich et al. 2016)."""


class Refine(Task):
    """Monolingual source text is translated, the translation criticised and mended."""

    critic: str | None = None  # by default the teacher itself


class Paraphrase(Task):
    """One side of training pairs is said in other words."""

    side: Literal["source", "target"] = "source"
    temperature: Annotated[float, Field(ge=0)] = 0.7


class Make(Section):
    """One batch of rows: exactly one mode."""

    source: Source | None = None
    forward: Forward | None = None
    back: Back | None = None
    refine: Refine | None = None
    paraphrase: Paraphrase | None = None

    @model_validator(mode="after")
    def _one_mode(self) -> Self:
        if sum(getattr(self, mode) is not None for mode in MODES) != 1:
            raise ValueError(f"needs exactly one mode: {', '.join(MODES)}")
        return self

    @property
    def mode(self) -> str:
        return next(mode for mode in MODES if getattr(self, mode) is not None)

    @property
    def task(self) -> Task:
        task: Task = getattr(self, self.mode)
        return task

    @property
    def teachers(self) -> dict[str, str]:
        """Key -> name of each teacher that the task asks."""
        keys = ("teacher", "reverse", "translator", "critic")
        return {key: name for key in keys if (name := getattr(self.task, key, None)) is not None}


# ---------------------------------------------------------------- what is used


class Verify(Section):
    """What rows must pass besides the checks of `prepare`; `null` switches a test off."""

    near: Annotated[Share | None, BeforeValidator(off)] = (
        0.9  # near-duplicates among themselves, and of held-out segments
    )
    repeats: Annotated[PositiveCount | None, BeforeValidator(off)] = 3  # rows that may have the same generated side
    novelty: Annotated[Share | None, BeforeValidator(off)] = (
        0.2  # of `source` and `paraphrase`: n-grams not seen before
    )
    round_trip: Annotated[float, Field(ge=0, le=100)] = (
        30.0  # chrF2++ of the way back, where there is a `reverse` teacher
    )
    log_probability: Annotated[float, Field(lt=0)] | None = None  # mean per token, natural logarithm; where it is known


class Synthesise(Section):
    teachers: Annotated[dict[str, Teacher], Field(min_length=1)]
    make: Annotated[list[Make], BeforeValidator(listed), Field(min_length=1)]
    verify: Verify = Verify()
    answers: str | None = None  # the file that keeps the answers; by default answers.sqlite in the run's folder

    @model_validator(mode="after")
    def _known_teachers(self) -> Self:
        for number, make in enumerate(self.make):
            for key, name in make.teachers.items():
                where = f"make.{number}.{make.mode}.{key}"
                if name not in self.teachers:
                    raise ValueError(f"{where}: there is no teacher '{name}'; there are {', '.join(self.teachers)}")
                translates = key in ("reverse", "translator") or (key == "teacher" and make.mode in ("forward", "back"))
                if self.teachers[name].run is not None and not translates:
                    raise ValueError(f"{where}: '{name}' is a run of dragoman, which can only translate")
        return self

"""The section `monitor.screen`: what is looked for in requests and answers, and what is done where it is found."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dragoman.core.recipe.values import PositiveCount, Section, listed

Action = Literal["off", "flag", "block"]
Redaction = Literal["off", "flag", "redact", "block"]


class Guard(Section):
    """A guard model behind an OpenAI-compatible URL or in a folder of this machine, which judges requests and answers."""

    url: Annotated[str, Field(pattern=r"^https?://")] | None = None  # up to /v1
    model: str | None = None  # of the URL
    folder: str | None = None  # a relative one starts at the run; a process of its own loads it
    answers_as: Literal["llama-guard", "qwen3guard"] = "llama-guard"
    key: str | None = None  # env:NAME
    seconds: Annotated[float, Field(gt=0)] = 5.0  # for one judgement
    at_once: PositiveCount = 4
    fail: Literal["open", "closed"] = "open"  # where it says nothing: let through, or block
    request: Action = "flag"
    answer: Action = "flag"  # an unsafe answer to a source that it called safe

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if (self.url is None) == (self.folder is None):
            raise ValueError("`guard` needs either `url` or `folder`")
        if (self.url is None) != (self.model is None):
            raise ValueError("`model` names a model of `url`: give both, or `folder` alone")
        return self


class Screen(Section):
    # requests; `redact`: the model does not see it, and the translation has it again at its place
    control: Redaction = "flag"  # control tokens and marks of chat templates
    injection: Action = "flag"
    email: Redaction = "flag"
    phone: Redaction = "flag"
    iban: Redaction = "flag"
    card: Redaction = "flag"
    ip: Redaction = "flag"
    national_id: Redaction = "flag"
    size: Action = "flag"
    characters: PositiveCount = 10_000  # of one text, from which `size` speaks
    language: Action = "flag"  # a source in another language than was said
    # answers
    leak: Action = "flag"  # of the instruction, or of an example of the memory
    added_personal: Redaction = "flag"  # that the source does not have; `redact` writes [email] and the like instead
    toxicity: Action = "flag"  # more words of its list than the source has of its own
    refusal: Action = "flag"
    words: dict[str, Annotated[list[str], BeforeValidator(listed)]] = {}  # language: files with a word or phrase a line
    guard: Guard | None = None

    @model_validator(mode="after")
    def _toxicity_has_words(self) -> Self:
        if "toxicity" in self.differing and self.toxicity != "off" and not self.words:
            raise ValueError("`toxicity` needs `words`: a file with a word or phrase a line for each language")
        return self

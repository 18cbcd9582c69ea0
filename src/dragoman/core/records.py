"""The records that travel between the stages. All frozen, all plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from dragoman.core.text.languages import Direction

MAX_TEXT = (
    100_000  # characters of one side of a translation, markup included; the whole GPL, in one segment, has 35,000
)


class Paired:
    """A text in one language, and in another."""

    __slots__ = ()
    source: str
    target: str
    source_language: str
    target_language: str

    @property
    def direction(self) -> Direction:
        return Direction(self.source_language, self.target_language)

    @property
    def reversed(self) -> Self:
        record: Any = self
        turned: Self = replace(
            record,
            source=self.target,
            target=self.source,
            source_language=self.target_language,
            target_language=self.source_language,
        )
        return turned


@dataclass(frozen=True, slots=True)
class Example(Paired):
    """One translation pair. Text is Unicode without line breaks; languages are canonical BCP-47 tags."""

    source: str
    target: str
    source_language: str
    target_language: str
    origin: str = ""  # the file or table it came from, as the recipe names it
    line: int = 0  # 1-based line, row or unit number in `origin`; 0 = unknown
    domain: str = ""
    document: str = ""  # segments of one document stay together in a split by document
    weight: float = 1.0  # how often it is seen per epoch; below 1 a probability (see `prepare.balance`)

    def __reduce__(self) -> tuple[type[Example], tuple[str | int | float, ...]]:
        """By its constructor, several times faster than what a frozen dataclass with slots has: many go to processes."""
        texts = (self.source, self.target, self.source_language, self.target_language)
        return Example, (*texts, self.origin, self.line, self.domain, self.document, self.weight)

    def towards(self, direction: Direction) -> Example | None:
        """The pair as a direction has it, as it stands or turned round; None when its languages are others.

        Its tags stay. The very direction comes first: of `pt-BR>pt` only one way round is meant.
        """
        both = (self, self.reversed)
        exact = (pair for pair in both if pair.direction == direction)
        return next(exact, None) or next((pair for pair in both if pair.direction.like(direction)), None)


@dataclass(frozen=True, slots=True)
class Context:
    """What stands beside a sentence in its prompt, in the direction of the sentence."""

    shots: tuple[tuple[str, str], ...] = ()  # (source, target) examples; the best one last, next to the sentence
    terms: tuple[tuple[str, str], ...] = ()  # (source, target) of glossary terms, in the order of the sentence

    def __bool__(self) -> bool:
        return bool(self.shots or self.terms)


NO_CONTEXT = Context()  # a sentence without help


@dataclass(frozen=True, slots=True)
class Text:
    """One monolingual segment or document."""

    text: str
    language: str
    origin: str = ""
    line: int = 0
    domain: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says of one pair: `name` is the check's name (a closed set), `detail` the evidence."""

    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that does not go on, and why. Readers yield it for a row that they cannot read."""

    reason: str  # a short name from a closed set, counted in the report
    detail: str  # what exactly, for a person
    origin: str = ""
    line: int = 0
    source: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One translation that a model made."""

    text: str
    # mean log-probability per generated token, end token included, natural logarithm; None: the backend tells none
    score: float | None
    tokens: int  # generated tokens, end token included
    finished: bool  # False when the length limit stopped it, or a loop
    assist: Context = NO_CONTEXT  # what stood beside the source in the prompt
    looped: bool = False  # stopped because it said the same again and again
    drafted: int = 0  # tokens that were guessed from the match in the prompt ...
    accepted: int = 0  # ... and those of them that the model says too

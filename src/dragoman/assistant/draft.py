"""A text on its way to an answer: what was found for it, what was tried, and which attempt is the best."""

from __future__ import annotations

from dataclasses import replace

from dragoman.core.answers import Attempt
from dragoman.core.memory.matching import Match
from dragoman.core.recipe import Decoding
from dragoman.core.records import NO_CONTEXT, Context, Hypothesis
from dragoman.core.scores.decodings import named
from dragoman.core.scores.flags import severity
from dragoman.store.memory.retrieval import Found

_WIDE = 4  # width of the beam that tries again after greedy decoding


class Draft:
    """A text on its way to an answer."""

    def __init__(self, text: str, found: Found) -> None:
        self.text, self.found = text, found
        self.exact: Match | None = None
        self.best = Hypothesis("", 0.0, 0, not text)
        self.flags: tuple[str, ...] = ()
        self.attempts: list[Attempt] = []

    def assist(self, shots: int, terms: int) -> Context:
        """What is to stand in the prompt; nothing beside an empty text."""
        if not self.text.strip():
            return NO_CONTEXT
        return replace(self.found, matches=self.found.matches[:shots], terms=self.found.terms[:terms]).assist

    def take(self, made: Hypothesis, flags: tuple[str, ...], beam: int) -> None:
        """Remember an attempt, and keep it where it is the first or better: fewer doubts, then more probable."""
        rank, before = (severity(flags), -(made.score or 0.0)), (severity(self.flags), -(self.best.score or 0.0))
        if not self.attempts or rank < before:
            self.best, self.flags = made, flags
        held = made.assist
        self.attempts.append(Attempt(beam, len(held.shots), len(held.terms), made.score, flags))


def other_than(decoding: Decoding) -> Decoding:
    """A beam where there was none, greedy where there was anything else."""
    plain = decoding.beam == 1 and decoding.sample is None and decoding.mbr is None
    return decoding.model_copy(update={"beam": _WIDE if plain else 1, "sample": None, "mbr": None})


def ways_of(decoding: Decoding, assist: Context) -> list[str]:
    """What an evaluation calls this way of translating, and what comes nearest to it (`core.scores.decodings`)."""
    name = next(iter(named([decoding])))
    return [
        *([f"{name}-{len(assist.shots)}shot"] if assist.shots else []),
        *([f"{name}-terms"] if assist.terms else []),
        name,
    ]

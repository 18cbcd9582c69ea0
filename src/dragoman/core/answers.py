"""The answer to a text: its translation, and everything that it rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from dragoman.core.memory.matching import Match
from dragoman.core.prompt.terms import Term
from dragoman.core.scores.confidence import DOUBTFUL
from dragoman.core.watch.personal import PERSONAL

CERTAIN = 100.0  # confidence of what a person has translated


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a text: with how wide a beam, how many examples and terms in the prompt, and what spoke against it."""

    beam: int
    shots: int
    terms: int
    score: float | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A translation and everything that it rests on."""

    source: str
    text: str
    origin: Literal["memory", "model"]
    confidence: float | None = None  # expected chrF, 0 to 100; None = the run has no calibration
    score: float | None = 0.0  # mean log-probability per token; None: the backend tells none
    tokens: int = 0
    finished: bool = True
    flags: tuple[str, ...] = ()  # names of `core.scores.flags`, worst first
    matches: tuple[Match, ...] = ()  # of the memory, best first, or the one that is the answer
    terms: tuple[Term, ...] = ()  # the terms of the glossary that the source has
    attempts: tuple[Attempt, ...] = ()
    bound: float = DOUBTFUL  # the confidence below which it is unsure: of its calibration
    examples: int = 0  # of the matches, the first so many, that stood in the prompt
    looped: bool = False  # stopped because it said the same again and again
    screened: tuple[str, ...] = ()  # rules of `core.recipe.screen` that spoke, of the source and of the translation
    blocked: str = ""  # the rule for which there is no translation
    foreign: bool | None = None  # the source is in another language; None: nobody looked, or too short to tell

    @property
    def percent(self) -> int | None:
        """The best match in per cent, as CAT tools show it; None without a match."""
        return self.matches[0].percent if self.matches else None

    @property
    def unsure(self) -> bool:
        """Whether its confidence is low; not where it has none."""
        return self.confidence is not None and self.confidence < self.bound

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why a person should look at it: its flags, and `confidence` where that is low."""
        spoke = (*self.flags, *(rule for rule in self.screened if rule not in PERSONAL))
        return (*spoke, "confidence") if self.unsure else spoke

    def to_json(self) -> dict[str, Any]:
        """Plain data; matches and terms shortened to what a person asks for."""
        matches = [
            {"percent": m.percent, "source": m.source, "target": m.target, "origin": m.origin, "line": m.line}
            | {"in_prompt": number < self.examples}
            for number, m in enumerate(self.matches)
        ]
        return {
            "source": self.source,
            "translation": self.text,
            "score": self.score,
            "tokens": self.tokens,
            "finished": self.finished,
            "looped": self.looped,
            "origin": self.origin,
            "confidence": None if self.confidence is None else round(self.confidence, 1),
            "flags": list(self.flags),
            "screened": list(self.screened),
            "blocked": self.blocked or None,
            "matches": matches,
            "terms": [{"source": term.source, "target": term.target} for term in self.terms],
            "attempts": [asdict(attempt) for attempt in self.attempts],
        }

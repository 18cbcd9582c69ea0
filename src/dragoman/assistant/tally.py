"""What became of many texts, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from dragoman.core.answers import Answer
from dragoman.store.memory.retrieval import band


@dataclass
class Tally:
    """What became of many texts. Every text is counted once among the bands, `exact` and `alone`."""

    segments: int = 0
    exact: int = 0  # given back from the memory
    bands: Counter[str] = field(default_factory=Counter)  # with an example in the prompt, by its match
    alone: int = 0  # without an example
    terms: int = 0  # that the sources have
    retried: int = 0
    better: int = 0  # of them, where another attempt was kept
    mended: int = 0  # of them, without any flag in the end
    flagged: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    unsure: int = 0  # with a low confidence
    unrated: int = 0  # by the model, without a confidence: nothing was measured for it

    def add(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self.segments += 1
            self.exact += answer.origin == "memory"
            if answer.origin != "memory":
                self.alone += not answer.examples
                self.bands.update(band(match.match) for match in answer.matches[:1] if answer.examples)
            self.terms += len(answer.terms)
            if len(answer.attempts) > 1:
                self.retried += 1
                self.mended += not answer.flags
                self.better += answer.score != answer.attempts[0].score
            self.flagged += bool(answer.flags)
            self.flags.update(answer.flags)
            self.unsure += answer.unsure
            self.unrated += answer.confidence is None and answer.tokens > 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "bands": dict(self.bands), "flags": dict(self.flags)}

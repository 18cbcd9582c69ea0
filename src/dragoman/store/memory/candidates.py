"""Segments that a search has found, and the order in which they are given back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dragoman.core.corpus.leaks import twin_keys
from dragoman.core.memory.matching import Match, adapt, differences
from dragoman.store.memory.segments import Segment


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment, how well it fits a query, and what decides among equals."""

    match: float
    exact: bool
    in_context: bool
    cosine: float | None
    segment: Segment

    def rank(self) -> tuple[float, bool, bool, float, int]:
        cosine = -1.0 if self.cosine is None else self.cosine
        return self.match, self.exact, self.in_context, cosine, self.segment.identifier

    def described(self, text: str) -> Match:
        s = self.segment
        return Match(
            s.source,
            s.target,
            self.match,
            self.exact,
            self.in_context,
            tuple(differences(text, s.source)),
            adapt(text, s.source, s.target),
            s.origin,
            s.line,
            s.domain,
            s.creator,
            s.created,
            s.identifier,
            self.cosine,
        )


def once(ranked: Iterable[Candidate]) -> list[Candidate]:
    """The first of each pair: the same one may be stored in several contexts."""
    best: dict[tuple[str, str], Candidate] = {}
    for candidate in ranked:
        best.setdefault((candidate.segment.source, candidate.segment.target), candidate)
    return list(best.values())


def excluded(segment: Segment, keys: Collection[str]) -> bool:
    return any(key in keys for key in twin_keys((segment.source, segment.target)))

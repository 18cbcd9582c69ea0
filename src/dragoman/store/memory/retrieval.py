"""What helps to translate a sentence: similar pairs from the memory, terms from the glossary.

Training, evaluation and serving ask the same `Retriever`, so that a model meets at work what it was trained on.
Leak-free by construction: whoever trains or evaluates gives each text its `excluded` keys, and what is held out is
never found at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass

from dragoman.core.corpus.leaks import twin_keys
from dragoman.core.memory.matching import Match
from dragoman.core.prompt.terms import Term, contains
from dragoman.core.records import Context, Example
from dragoman.core.text.languages import Direction
from dragoman.store.memory.fuzzy import CANDIDATES
from dragoman.store.memory.glossary import Glossary
from dragoman.store.memory.translation_memory import DEFAULT_TENANT, Memory

MIN_MATCH = 0.5  # the similarity gate: what resembles a text less is no example for it
MAX_TERMS = 8  # terms in one prompt

BANDS = ("<50", "50-70", "70-85", "85-95", "95-100")
_EDGES = (0.5, 0.7, 0.85, 0.95)


def band(match: float) -> str:
    """The match band of CAT tools' price lists that a match (0..1) belongs to; the lower bound belongs to it."""
    return BANDS[sum(match >= edge for edge in _EDGES)]


class Excluded(Set[str]):
    """For `exclude`: the keys of one example (`twin_keys`), and a larger set that many examples share."""

    def __init__(self, own: Collection[str], shared: Collection[str] = frozenset()) -> None:
        self.own, self.shared = own, shared

    @classmethod
    def of(cls, example: Example, held_out: Collection[str] = frozenset()) -> Excluded:
        """Keeps the example itself, its twins, and all that is held out from being found."""
        return cls(twin_keys(example), held_out)

    def __contains__(self, key: object) -> bool:
        return key in self.own or key in self.shared

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (key for key in self.shared if key not in self.own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return bool(self.own) or bool(self.shared)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one text."""

    matches: tuple[Match, ...] = ()  # the examples, best first; all of them pass the gate
    terms: tuple[Term, ...] = ()  # in the order of the text, one entry for each source
    nearest: Match | None = None  # the best match, also below the gate; None = nothing that reaches `floor`

    @property
    def gated(self) -> bool:
        """True when something was found that does not resemble the text enough."""
        return self.nearest is not None and not self.matches

    @property
    def assist(self) -> Context:
        """As it stands in a prompt."""
        shots = tuple((match.source, match.target) for match in reversed(self.matches))
        return Context(shots, tuple((term.source, term.target) for term in self.terms))


@dataclass(frozen=True)
class Retriever:
    """A memory of one tenant, a glossary, or both."""

    memory: Memory | None = None
    glossary: Glossary | None = None
    tenant: str = DEFAULT_TENANT

    def find(
        self,
        texts: Sequence[str],
        direction: Direction,
        *,
        shots: int = 1,
        min_match: float = MIN_MATCH,
        max_match: float = 1.0,
        floor: float = 0.0,
        terms: int = MAX_TERMS,
        excludes: Sequence[Collection[str]] | None = None,
        contexts: Sequence[str] | None = None,
        candidates: int = CANDIDATES,
    ) -> list[Found]:
        """For each text the best `shots` matches of at least `min_match` and at most `max_match`, and its terms.

        `floor` is the match from which on `nearest` is told; the higher, the faster. `excludes` holds for each text the
        keys of pairs that must not be found (`Excluded`). `contexts` are the segments before the texts. `candidates` as
        in `Memory.search`.
        """
        matches: list[list[Match]] = [[] for _ in texts]
        if self.memory is not None and shots:
            matches = self.memory.search_many(
                texts,
                direction,
                k=shots,
                min_match=min(floor, min_match),
                max_match=max_match,
                tenant=self.tenant,
                excludes=excludes,
                contexts=contexts,
                candidates=candidates,
            )
        found = []
        for text, near in zip(texts, matches, strict=True):
            good = tuple(match for match in near if match.match >= min_match)
            named = self.terms(text, direction)
            found.append(Found(good, named[:terms], near[0] if near else None))
        return found

    def terms(self, text: str, direction: Direction, reference: str | None = None) -> tuple[Term, ...]:
        """The terms of a text, one entry for each source: the first, or the first that the reference has."""
        if self.glossary is None:
            return ()
        chosen: dict[str, Term] = {}
        for term in self.glossary.terms_in(text, direction):
            if reference is None or contains(reference, term.target, direction.target):
                chosen.setdefault(term.source.casefold(), term)
        return tuple(chosen.values())

"""The prompts of training with examples and terms: which sentence gets what, by lot and by the recipe's shares.

A sentence has a prompt for each number of examples that the recipe names; every epoch draws one of them, so that over
the epochs a model sees it alone, beside its match, and now and then beside examples that have nothing to do with it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dragoman.core.corpus.leaks import twin_keys
from dragoman.core.listen import SILENT, Listener
from dragoman.core.prompt.prompts import Rendered, render
from dragoman.core.recipe import Recipe, Sft
from dragoman.core.records import Context, Example
from dragoman.engine.encoder import Encoder
from dragoman.engine.markers import Markers
from dragoman.engine.prompt_fit import Ask, Encoded, fitted
from dragoman.store.memory import examples
from dragoman.store.memory.examples import Shot
from dragoman.store.memory.retrieval import BANDS, Retriever, band

_CHUNK = 2_000  # sentences drawn together; poor examples come from among them
_TRIES = 8  # to draw a poor example in the same direction

Row = tuple[Example, float]  # a sentence in its direction, and how often it comes in an epoch
Rows = Callable[[], Iterator[Row]]


@dataclass
class Tally:
    """What became of the wish for examples and terms. Prompts are counted as they come in an epoch, on average."""

    wanted: dict[int, float] = field(default_factory=dict)  # prompts by the number of examples asked for ...
    given: dict[int, float] = field(default_factory=dict)  # ... and that stand in them
    bands: Counter[str] = field(default_factory=Counter)  # sentences by the match of their best example
    gated: int = 0  # sentences that nothing in the memory resembles enough
    poor: float = 0.0  # prompts with examples drawn at random
    no_room: float = 0.0  # examples and terms left out since the context does not hold them
    terms: float = 0.0  # terms given ...
    with_terms: float = 0.0  # ... and prompts that have some

    def to_json(self) -> dict[str, Any]:
        return {
            "wanted": {str(k): round(self.wanted[k], 1) for k in sorted(self.wanted)},
            "given": {str(k): round(self.given[k], 1) for k in sorted(self.given)},
            "bands": {name: self.bands[name] for name in BANDS if self.bands[name]},
            "gated": self.gated,
            "poor": round(self.poor, 1),
            "no_room": round(self.no_room, 1),
            "with_terms": round(self.with_terms, 1),
            "terms": round(self.terms, 1),
        }


class Assisted:
    """Encodes the rows of a phase that asks for examples or terms. `tally`, `shown` and `sentence` fill as it is read.

    Rows come in the same order with the same prompts whenever they are read.
    """

    def __init__(
        self,
        recipe: Recipe,
        sft: Sft,
        encoder: Encoder,
        texts: Path,
        limit: int,
        markers: Markers,
        listener: Listener = SILENT,
    ) -> None:
        self.recipe, self.sft, self.encoder, self.texts = recipe, sft, encoder, texts
        self.limit, self.markers, self.listener = limit, markers, listener
        self.tally = Tally()
        self.shown: dict[str, Rendered] = {}
        self.sentence: list[int] = []  # of every row
        self.memory: dict[str, Any] = {}
        self._lot = random.Random(recipe.seed)
        glossary = None
        if sft.glossary is not None:
            glossary = examples.open_glossary(sft.glossary, recipe, texts.parent, listener)
        self._terms = Retriever(glossary=glossary)

    def encoded(self, rows: Rows) -> Iterator[tuple[list[int], list[bool], float]]:
        """(ids, trained, weight) of every prompt of every sentence."""
        number = 0
        found = self._found(rows)
        stream = rows()
        while chunk := list(islice(stream, _CHUNK)):
            shots = list(islice(found, len(chunk))) if found is not None else [[] for _ in chunk]
            prompts = [
                (place, assist, weight * share)
                for place, (example, weight) in enumerate(chunk)
                for assist, share in self._ways(example, shots[place], chunk, weight)
            ]
            # the memory is asked with the sentence as it is: it knows no markers
            shown = [self.markers(chunk[place][0]) for place, _, _ in prompts]
            asked = [Ask(e.direction, e.source, e.target, a) for e, (_, a, _) in zip(shown, prompts, strict=True)]
            made_of = fitted(self.encoder, asked, [self.limit] * len(asked))
            for example, (place, wish, weight), made in zip(shown, prompts, made_of, strict=True):
                self._count(example, wish, made, weight)
                self.sentence.append(number + place)
                yield made.ids, made.trained, weight
            number += len(chunk)

    def _found(self, rows: Rows) -> Iterator[list[Shot]] | None:
        most = max(self.sft.shots)
        if not most:
            return None
        use = self.sft.memory
        memory, tenant = examples.open_memory(use, self.recipe, self.texts, self.listener)
        directions = tuple(str(d) for d in self.sft.directions or self.recipe.pairs)
        segments = sum(holding.segments for holding in memory.stats(tenant))
        self.memory = {"segments": segments, "of_training_texts": memory.path.name == examples.OF_TRAINING}
        wanted = examples.Wanted(directions, most, use.min_match, use.max_match, tenant, use.leave_one_out)
        return examples.examples(
            lambda: (example for example, _ in rows()),
            self.texts,
            memory,
            wanted,
            self.listener,
            threads=self.recipe.plan.threads,
        )

    # ------------------------------------------------------------ the lot

    def _ways(
        self, example: Example, shots: Sequence[Shot], others: Sequence[Row], weight: float
    ) -> list[tuple[Context, float]]:
        """The different prompts of a sentence, each with its share."""
        if max(self.sft.shots):
            self.tally.gated += not shots
            if shots:
                self.tally.bands[band(shots[0].match)] += 1
        ways: dict[Context, float] = {}
        for count, share in sorted(self.sft.shots.items()):
            if not share:
                continue
            _add(self.tally.wanted, count, weight * share)
            pairs = [(shot.source, shot.target) for shot in shots[:count]]
            if count and self._lot.random() < self.sft.memory.poor:
                pairs = self._poor(example, others, count)
                self.tally.poor += weight * share if pairs else 0.0
            way = Context(tuple(reversed(pairs)), self._drawn_terms(example))
            ways[way] = ways.get(way, 0.0) + share
        return list(ways.items())

    def _poor(self, example: Example, others: Sequence[Row], count: int) -> list[tuple[str, str]]:
        """Pairs drawn at random that are no twins of the sentence."""
        own = twin_keys(example)
        found: list[tuple[str, str]] = []
        for _ in range(count * _TRIES):
            other = self._lot.choice(others)[0]
            pair = (other.source, other.target)
            if other.direction == example.direction and not own & twin_keys(other) and pair not in found:
                found.append(pair)
            if len(found) == count:
                break
        return found

    def _drawn_terms(self, example: Example) -> tuple[tuple[str, str], ...]:
        if self.sft.glossary is None or self._lot.random() >= self.sft.glossary.share:
            return ()
        terms = self._terms.terms(example.source, example.direction, example.target)
        return tuple((term.source, term.target) for term in terms[: self.sft.glossary.terms])

    # ------------------------------------------------------------ what came of it

    def _count(self, example: Example, wish: Context, made: Encoded, weight: float) -> None:
        got = made.assist
        _add(self.tally.given, len(got.shots), weight)
        self.tally.no_room += weight * (len(wish.shots) + len(wish.terms) - len(got.shots) - len(got.terms))
        self.tally.terms += weight * len(got.terms)
        self.tally.with_terms += weight * bool(got.terms)
        kind = "terms" if got.terms else "shots" if got.shots else "alone"
        if kind not in self.shown and len(made.ids) <= self.limit:
            self.shown[kind] = render(
                self.encoder.form, example.direction, example.source, example.target, got.shots, got.terms
            )

    @property
    def facts(self) -> dict[str, Any]:
        """For the record of the phase."""
        return {"memory": self.memory, **self.tally.to_json()} if self.memory else self.tally.to_json()


def _add(counts: dict[int, float], key: int, value: float) -> None:
    counts[key] = counts.get(key, 0.0) + value

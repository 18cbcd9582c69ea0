"""Test sets with what helps to translate them: matches from the memory, terms from the glossary, nothing that leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.core.corpus import leaks
from dragoman.core.listen import Listener
from dragoman.core.prompt.terms import contains, contains_exactly
from dragoman.core.recipe import Evaluate, Recipe
from dragoman.core.records import Context
from dragoman.errors import RecipeError
from dragoman.store.corpus.testsets import EvaluationSet
from dragoman.store.memory.examples import glossary_path, memory_path, open_glossary, open_memory, open_serving
from dragoman.store.memory.retrieval import BANDS, Excluded, Found, Retriever, band
from dragoman.store.memory.translation_memory import Memory


def files(settings: Evaluate, recipe: Recipe, run: Path) -> tuple[Path | None, Path | None]:
    """The memory and the glossary that an evaluation reads, where it reads any."""
    memory = memory_path(settings.memory, recipe, run) if max(settings.shots) else None
    return memory, glossary_path(settings.glossary, recipe, run) if settings.glossary else None


@dataclass(frozen=True)
class Helped:
    """A set with what was found for each of its segments."""

    entry: EvaluationSet
    found: Sequence[Found]
    twins: int  # segments of the set that stand in the memory themselves, and were not taken from it

    def assists(self, shots: int, terms: bool) -> list[Context]:
        """What stands in the prompts with so many examples, with or without terms."""
        return [
            Context(one.assist.shots[-shots:] if shots else (), one.assist.terms if terms else ()) for one in self.found
        ]

    @property
    def matches(self) -> list[float]:
        """The match of each segment's best pair, also below the gate; 0 where there is none."""
        return [one.nearest.match if one.nearest else 0.0 for one in self.found]

    def bands(self) -> dict[str, NDArray[np.bool_]]:
        """For each match band the mask [segments] of what lies in it; empty ones are left out."""
        names = np.array([band(match) for match in self.matches])
        return {name: names == name for name in BANDS if (names == name).any()}

    def to_json(self) -> dict[str, Any]:
        """For the record of the set."""
        counts = Counter(band(match) for match in self.matches)
        return {
            "bands": {name: counts[name] for name in BANDS if counts[name]},
            "gated": sum(one.gated or one.nearest is None for one in self.found),
            "twins": self.twins,
            "matches": [round(match, 4) for match in self.matches],
        }

    def obeyed(self, translations: Sequence[str]) -> dict[str, Any]:
        """How many of the terms of the sources a system's translations have, and of those that the references have.

        `exact` counts a term in the glossary's own form, but for case; `inflected` any of its forms.
        """
        counts: Counter[str] = Counter()
        language = self.entry.direction.target
        for one, text, reference in zip(self.found, translations, self.entry.references, strict=True):
            for term in one.terms:
                exact, inflected = contains_exactly(text, term.target), contains(text, term.target, language)
                groups = {"all": True, "in_reference": contains_exactly(reference, term.target)}
                for group in (name for name, member in groups.items() if member):
                    counts[f"{group} terms"] += 1
                    counts[f"{group} exact"] += exact
                    counts[f"{group} inflected"] += exact or inflected
        return {
            group: {name: counts[f"{group} {name}"] for name in ("terms", "exact", "inflected")}
            for group in ("all", "in_reference")
        }


class Assistance:
    """Finds what helps with the sets of an evaluation. Raises RecipeError when there is nowhere to look."""

    def __init__(
        self, recipe: Recipe, settings: Evaluate, prepared: Path | None, run: Path, listener: Listener
    ) -> None:
        self.settings, self.listener = settings, listener
        self.memory: Memory | None = None
        self._tenant = "default"
        if max(settings.shots):
            if prepared is not None:
                self.memory, self._tenant = open_memory(settings.memory, recipe, prepared, listener)
            elif (path := memory_path(settings.memory, recipe, run)) is not None:
                self._tenant = settings.memory.tenant
                self.memory = open_serving(path, self._tenant, recipe.pairs)
            else:
                raise RecipeError(
                    "evaluate.shots: there are no examples, for the run has neither a memory nor training texts. Make a "
                    "memory with `dragoman memory build`, or name one: `memory: {path: tm.sqlite}`."
                )
        glossary = open_glossary(settings.glossary, recipe, run, listener) if settings.glossary else None
        self._retriever = Retriever(self.memory, glossary, self._tenant)

    @property
    def wanted(self) -> bool:
        """True when any prompt is to have more than the sentence."""
        return self.memory is not None or self._retriever.glossary is not None

    def find(self, sets: Sequence[EvaluationSet], texts: Sequence[Sequence[str]]) -> list[Helped]:
        """What helps with each of the sets; `texts` are their sources as the model reads them.

        No segment of any of the sets, and none that differs from one only in digits, case or punctuation, is found.
        """
        held_out = leaks.keys_of(example for entry in sets for example in entry.examples)
        helped = []
        for number, (entry, sources) in enumerate(zip(sets, texts, strict=True), start=1):
            found = self._retriever.find(
                sources,
                entry.direction,
                shots=max(self.settings.shots),
                min_match=self.settings.memory.min_match,
                max_match=self.settings.memory.max_match,
                terms=self.settings.glossary.terms if self.settings.glossary else 1,
                excludes=[Excluded.of(example, held_out) for example in entry.examples],
            )
            helped.append(Helped(entry, found, self._twins(entry)))
            self.listener.progress("evaluate: look into the memory", number, len(sets))
        return helped

    def _twins(self, entry: EvaluationSet) -> int:
        if self.memory is None:
            return 0
        keys = [leaks.keys(example) for example in entry.examples]
        wanted = set().union(*keys)
        stored = self.memory.segments(self._tenant, entry.direction)
        seen = {key for _, s in stored for key in leaks.keys((s.source, s.target)) & wanted}
        return sum(not seen.isdisjoint(own) for own in keys)

    @property
    def facts(self) -> Mapping[str, Any]:
        """About the memory and the glossary."""
        memory, glossary = self.memory, self._retriever.glossary
        return {
            "segments": sum(holding.segments for holding in memory.stats(self._tenant)) if memory else 0,
            "min_match": self.settings.memory.min_match,
            "glossary": len(glossary) if glossary is not None else 0,
        }

"""Closed generation on every set by every model: the candidate target that is the most probable."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dragoman.core.scores import multiple_choice
from dragoman.core.scores.decodings import Way, closed_ways
from dragoman.core.scores.multiple_choice import Bools, Question
from dragoman.core.scores.scoring import TestSettings
from dragoman.stages.evaluate.translations import Described, System, Translations, file_name, told
from dragoman.store.corpus.testsets import EvaluationSet
from dragoman.store.memory.retrieval_evaluation import Helped
from dragoman.store.run.artifact import digest


@dataclass(frozen=True, slots=True)
class Choice:
    """What one system chose on one set after one kind of prompt."""

    system: System
    way: Way
    file: str
    right: Bools  # [questions]
    too_long: int  # questions of which a candidate is longer than the model's context: they count as wrong
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.system.name}.{self.way.name}"


class Closed:
    """Asks every model the same questions. Their prompts, the models and the folder are those of the translations."""

    def __init__(self, translations: Translations, candidates: int, protocol: TestSettings) -> None:
        self.translations, self.candidates, self.protocol = translations, candidates, protocol
        self._ways = closed_ways(translations.settings)

    def records(
        self, systems: Sequence[System], sets: Sequence[EvaluationSet], helped: Sequence[Helped]
    ) -> list[dict[str, Any] | None]:
        """All about closed generation on each set as JSON values (docs/evaluate.md); None where a set has too few
        different references, which is warned of."""
        asked = [self._questions(entry) for entry in sets]
        made: list[list[Choice]] = [[] for _ in sets]
        for system in systems:
            for number, here in enumerate(self._of(system, sets, asked, helped)):
                made[number] += here
        return [
            self._record(entry, questions, choices) if questions else None
            for entry, questions, choices in zip(sets, asked, made, strict=True)
        ]

    def _questions(self, entry: EvaluationSet) -> dict[int, Question]:
        """By the segment's number, without examples; segments for which the set has too few candidates are left out."""
        sources, targets = (self.translations.normalised(texts) for texts in (entry.sources, entry.references))
        drawn = multiple_choice.distractors(sources, targets, self.candidates, self.translations.recipe.seed)
        found = {
            number: Question(sources[number], tuple(targets[other] for other in (number, *others)))
            for number, others in enumerate(drawn)
            if others
        }
        if not found:
            self.translations.listener.warn(
                f"evaluate.closed: {entry.title} is left out: no segment has {self.candidates - 1} other references to "
                f"choose from ({len(entry.examples)} segments). Give more segments, or a smaller `closed`."
            )
        return found

    def _of(
        self,
        system: System,
        sets: Sequence[EvaluationSet],
        asked: Sequence[Mapping[int, Question]],
        helped: Sequence[Helped],
    ) -> list[list[Choice]]:
        """The system's choices on each set; the model is loaded only when something is missing."""
        folder, kept, threads = system.folder, self.translations.kept, self.translations.recipe.plan.threads
        if folder is None:
            return [[] for _ in sets]  # the copy of the source cannot choose
        model: Described | None = None
        found: list[list[Choice]] = []
        for number, (entry, questions) in enumerate(zip(sets, asked, strict=True)):
            here = []
            for way in self._ways if questions else ():
                posed = self._posed(entry, questions, way, helped[number] if helped else None)
                file = file_name(entry, system, way.name)
                key = digest(
                    system.key, str(entry.direction), [(q.source, q.candidates, q.assist.shots) for q in posed]
                )
                known = kept.find(file, key)
                if known is None:
                    model = model or self.translations.load(folder, threads=threads)
                    begun = time.perf_counter()
                    rows = self._ask(model, entry, posed)
                    known = kept.put(file, key, rows, time.perf_counter() - begun, model.description)
                here.append(_choice(system, way, file, kept.rows(file), float(known["seconds"])))
            found.append(here)
        if model is not None:
            del model
            gc.collect()  # two models need not be in memory at once
        return found

    def _posed(
        self, entry: EvaluationSet, questions: Mapping[int, Question], way: Way, helped: Helped | None
    ) -> list[Question]:
        """The questions with the examples of their prompts."""
        assists = self.translations.assists(entry, way, helped)
        if assists is None:
            return list(questions.values())
        return [replace(question, assist=assists[number]) for number, question in questions.items()]

    def _ask(self, model: Described, entry: EvaluationSet, posed: Sequence[Question]) -> list[dict[str, Any]]:
        """A row for each question: as it was posed, and the scores of its candidates, or null where one is too long."""
        scores, stood = model.score_candidates(posed, entry.direction, self.translations.listener)
        rows: list[dict[str, Any]] = []
        for question, values, right, assist in zip(posed, scores, multiple_choice.right(scores), stood, strict=True):
            fits = not np.isnan(values).any()
            row: dict[str, Any] = {
                "source": question.source,
                "candidates": question.candidates,
                "scores": [round(value, 5) for value in values.tolist()] if fits else None,
                "right": bool(right),
            }
            rows.append(row | told(assist) if assist else row)
        if left := sum(row["scores"] is None for row in rows):
            self.translations.listener.warn(
                f"evaluate.closed: {left} of {len(rows)} segments of {entry.title} are too long for the model: they count "
                "as wrong"
            )
        return rows

    def _record(
        self, entry: EvaluationSet, questions: Mapping[int, Question], choices: Sequence[Choice]
    ) -> dict[str, Any]:
        """`clean`: the same without the segments that stand in the training texts, if there are any."""
        chosen = {choice.name: choice.right for choice in choices}
        first = choices[0].system.name
        against = {c.name: f"{first}.{c.way.name}" for c in choices if c.system.name != first}
        found = multiple_choice.results(chosen, against, self.protocol)
        seen = entry.contaminated[list(questions)]
        clean = (
            multiple_choice.results(chosen, against, self.protocol, kept=~seen) if seen.any() and not seen.all() else {}
        )
        return {
            "candidates": self.candidates,
            "chance": 100 / self.candidates,
            "segments": len(questions),
            "results": [
                {
                    "system": choice.system.name,
                    "way": choice.way.name,
                    "shots": choice.way.shots,
                    "file": choice.file,
                    **found[choice.name],
                    "clean": clean.get(choice.name),
                    "too_long": choice.too_long,
                    "seconds": choice.seconds,
                }
                for choice in choices
            ],
        }


def _choice(system: System, way: Way, file: str, rows: Sequence[Mapping[str, Any]], seconds: float) -> Choice:
    right = np.array([row["right"] for row in rows], dtype=bool)
    return Choice(system, way, file, right, sum(row["scores"] is None for row in rows), seconds)

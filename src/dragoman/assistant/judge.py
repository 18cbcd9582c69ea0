"""What the model thinks of translations that are there already, whoever made them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dragoman.assistant.draft import ways_of
from dragoman.core.answers import Answer
from dragoman.core.listen import SILENT, Listener
from dragoman.core.records import NO_CONTEXT, Hypothesis
from dragoman.core.text.languages import Direction
from dragoman.store.memory.retrieval import Retriever
from dragoman.translator import Translator

if TYPE_CHECKING:
    from dragoman.assistant import Assistant


def judged(
    assistant: Assistant,
    translator: Translator,
    sources: Sequence[str],
    translations: Sequence[str],
    direction: Direction,
    listener: Listener = SILENT,
) -> list[Answer]:
    """For each pair an answer with that translation: the model's mean log-probability of it without examples in the prompt,
    the chrF that the run's calibration makes of this, and the flags of the checks.

    No confidence without a calibration, nor for a pair longer than the model's context; that of an empty translation is 0.
    Raises ModelError where the backend does not score.
    """
    found = translator.token_scores(sources, translations, direction, listener)
    scores = [None if each is None else math.fsum(each) / max(1, len(each)) for each in found]
    tokens = [len(each or ()) for each in found]
    made = [Hypothesis(*one, finished=True) for one in zip(translations, scores, tokens, strict=True)]
    help_found = Retriever(None, assistant.glossary, assistant.settings.tenant).find(sources, direction)
    terms = [one.terms for one in help_found]
    flags = assistant.flagger(direction).flags(sources, made, terms)
    ways = ways_of(assistant.settings.decoding, NO_CONTEXT)
    calibration = assistant.calibrations.of(direction, *ways) if assistant.calibrations else None
    answers = []
    for source, one, doubts, wanted in zip(sources, made, flags, terms, strict=True):
        expected = calibration(one.score) if calibration is not None and one.score is not None else None
        answers.append(
            Answer(
                source,
                one.text,
                "model",
                0.0 if expected is not None and "empty" in doubts else expected,
                one.score,
                one.tokens,
                flags=doubts,
                terms=wanted,
            )
        )
    return answers

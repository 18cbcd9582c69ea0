"""Closed generation: how probable each candidate target is after the same prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dragoman.core.prompt.prompts import render
from dragoman.core.records import NO_CONTEXT, Context
from dragoman.core.scores.metrics import Floats
from dragoman.core.scores.multiple_choice import Question
from dragoman.core.text.languages import Direction
from dragoman.engine.encoder import Encoder
from dragoman.engine.prompt_fit import Ask, fitted
from dragoman.engine.score import score

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_TOGETHER = 1_000  # questions whose prompts stand in memory at a time


def score_candidates(
    loaded: Loaded,
    encoder: Encoder,
    direction: Direction,
    questions: Sequence[Question],
    *,
    budget: int = 16_384,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Floats, list[Context]]:
    """Mean log-probability per token, end token included, of every candidate [questions, candidates], natural logarithm;
    and what of the wanted help stood in each question's prompt, the same for all of its candidates.

    All questions have equally many candidates. Where one is longer than the model's context even without help, the
    whole row is NaN. `progress` is told how many questions are done.
    """
    tables: list[Floats] = []
    stood: list[Context] = []
    for start in range(0, len(questions), _TOGETHER):
        part = questions[start : start + _TOGETHER]
        assists = _fitting(encoder, direction, part, loaded.context)
        tables.append(_table(loaded, encoder, direction, part, assists, budget))
        stood += assists
        progress(start + len(part))
    return np.concatenate(tables) if tables else np.empty((0, 0)), stood


def _fitting(encoder: Encoder, direction: Direction, questions: Sequence[Question], context: int) -> list[Context]:
    """As much of each question's help as fits beside the longest of its candidates."""
    if not any(question.assist for question in questions):
        return [NO_CONTEXT] * len(questions)
    lengths = iter(encoder.lengths([text for question in questions for text in question.candidates]))
    longest = [max((next(lengths), text) for text in question.candidates)[1] for question in questions]
    asked = [Ask(direction, q.source, text, q.assist) for q, text in zip(questions, longest, strict=True)]
    return [found.assist for found in fitted(encoder, asked, [context] * len(asked))]


def _table(
    loaded: Loaded,
    encoder: Encoder,
    direction: Direction,
    questions: Sequence[Question],
    assists: Sequence[Context],
    budget: int,
) -> Floats:
    """[questions, candidates]; rows of like length are scored together, whichever question they belong to."""
    count = len(questions[0].candidates)
    prompts = [
        render(encoder.form, direction, question.source, text, assist.shots, assist.terms)
        for question, assist in zip(questions, assists, strict=True)
        for text in question.candidates
    ]
    rows = encoder.encode(prompts)
    lengths = np.array([len(ids) for ids, _ in rows]).reshape(len(questions), count)
    fits = lengths.max(axis=1) <= loaded.context
    wanted = [row for row, kept in zip(rows, np.repeat(fits, count), strict=True) if kept]
    found = score(loaded.model, wanted, pad=loaded.pad, budget=budget)
    table = np.full((len(questions), count), np.nan)
    table[fits] = np.array([total / tokens for total, tokens in found], dtype=np.float64).reshape(-1, count)
    return table

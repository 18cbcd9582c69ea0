"""Scores of candidates against the logits of each of them alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dragoman.core.prompt.prompts import render
from dragoman.core.records import Context
from dragoman.core.scores.multiple_choice import Question
from dragoman.core.text.languages import Direction
from dragoman.engine import multiple_choice
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Loaded
from dragoman.engine.multiple_choice import score_candidates
from tests.tiny import tiny

EN_DE = Direction("en", "de")
SHOTS = (("a tree", "ein Baum"), ("the house", "das Haus"))
QUESTIONS = [
    Question(
        "the cat sees the dog.", ("die Katze sieht den Hund.", "ein Haus", "den Hund sieht ein Baum und ein Haus.")
    ),
    Question("a house", ("ein Haus", "die Katze", "der Hund"), Context(SHOTS)),
    Question("a tree and a dog", ("ein Baum und ein Hund", "x", "den Hund"), Context(SHOTS[:1])),
]


def alone(loaded: Loaded, encoder: Encoder, source: str, target: str, assist: Context) -> float:
    """Mean log-probability per token from the logits of one row."""
    [(ids, trained)] = encoder.encode([render(encoder.form, EN_DE, source, target, assist.shots)])
    with torch.no_grad():
        log = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    places = [at for at, wanted in enumerate(trained) if wanted]
    assert places[-1] == len(ids) - 1 and ids[-1] == encoder.end  # the end token counts
    return math.fsum(float(log[at - 1, ids[at]]) for at in places) / len(places)


@pytest.mark.parametrize("form", ["compact", "alma", "chat"])
@pytest.mark.parametrize("together", [2, 1000])
def test_each_score_is_that_of_the_candidate_alone(form: str, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiple_choice, "_TOGETHER", together)
    loaded = tiny(form=form, seed=3)
    loaded.model.config.max_position_embeddings = 400  # the templates are long; RoPE has no table that ends
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    told: list[int] = []
    scores, stood = score_candidates(loaded, encoder, EN_DE, QUESTIONS, budget=150, progress=told.append)
    assert told[-1] == 3
    assert stood == [question.assist for question in QUESTIONS]
    wanted = [[alone(loaded, encoder, q.source, text, q.assist) for text in q.candidates] for q in QUESTIONS]
    assert scores == pytest.approx(np.array(wanted), abs=1e-4)


def test_all_candidates_of_a_question_have_the_same_prompt() -> None:
    """The longest candidate leaves room for one example only; the short ones do not get two."""
    loaded = tiny(seed=3)
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    fill = "the dog " * 20
    question = Question("a dog", ("ein Hund", "der Hund " * 20), Context(((fill, fill), ("a tree", "ein Baum"))))
    scores, [stood] = score_candidates(loaded, encoder, EN_DE, [question])
    assert stood.shots == (("a tree", "ein Baum"),)
    wanted = [alone(loaded, encoder, question.source, text, stood) for text in question.candidates]
    assert scores[0] == pytest.approx(np.array(wanted), abs=1e-4)


def test_a_question_with_a_candidate_that_is_too_long_has_no_scores() -> None:
    loaded = tiny(seed=3)
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    long = Question("a dog", ("ein Hund", "der Hund " * 200, "x"))
    scores, stood = score_candidates(loaded, encoder, EN_DE, [QUESTIONS[0], long])
    assert np.isnan(scores).tolist() == [[False] * 3, [True] * 3]
    assert len(stood) == 2
    scores, _ = score_candidates(loaded, encoder, EN_DE, [long])
    assert np.isnan(scores).all()

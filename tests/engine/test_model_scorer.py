"""A model as a scorer: the numbers are those of forced scoring, and what does not fit has a reason."""

from __future__ import annotations

import math

import pytest

from dragoman.core.prompt.prompts import render
from dragoman.core.recipe.scorer import Scorer as Wish
from dragoman.core.text.languages import Direction
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Loaded
from dragoman.engine.model_scorer import ModelScorer
from dragoman.engine.score import score
from tests.tiny import tiny

WAY = Direction.parse("en-de")
ROWS = [("a cat", "eine Katze", ""), ("a cat", "ein Hund", "r"), ("a cat", "eine Katze", "")]


@pytest.fixture(scope="module")
def models() -> list[Loaded]:
    return [tiny(seed=seed) for seed in (1, 2)]


def means(loaded: Loaded) -> list[float]:
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    rows = encoder.encode([render(encoder.form, WAY, source, text) for source, text, _ in ROWS])
    return [total / tokens for total, tokens in score(loaded.model, rows, pad=loaded.pad)]


def test_one_model_scores_by_probability_and_two_by_their_difference(models: list[Loaded]) -> None:
    one, other = map(means, models)
    alone = ModelScorer("judge", Wish(model="m"), models[:1]).scores(WAY, ROWS)
    assert alone == pytest.approx([math.exp(mean) for mean in one])
    both = ModelScorer("judge", Wish(model="m", against="n"), models).scores(WAY, ROWS)
    assert both == pytest.approx([1 / (1 + math.exp(b - a)) for a, b in zip(one, other, strict=True)])
    assert ModelScorer("judge", Wish(model="m", against="m"), models[:1] * 2).scores(WAY, ROWS) == [0.5] * 3


def test_what_has_no_room_is_counted(models: list[Loaded]) -> None:
    long = ("a cat", "eine Katze " * 400, "")
    assert ModelScorer("judge", Wish(model="m"), models[:1]).scores(WAY, [long, *ROWS[:1]])[0] == "too long"

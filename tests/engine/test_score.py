"""Forced scoring gives what generation said of the same tokens."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from dragoman.core.text.languages import Direction
from dragoman.engine.generate import generate
from dragoman.engine.score import score
from dragoman.translator import Translator
from tests.tiny import tiny

EN_DE = Direction("en", "de")


def rows(count: int) -> list[tuple[list[int], list[bool]]]:
    draw = random.Random(0)
    found = []
    for _ in range(count):
        ids = [draw.randrange(1, 300) for _ in range(draw.randrange(2, 14))]
        first = draw.randrange(1, len(ids))
        found.append((ids, [at >= first for at in range(len(ids))]))
    return found


@pytest.mark.parametrize("budget", [1, 60, 10_000])
@pytest.mark.parametrize("capped", [False, True])
def test_scores_are_those_of_the_logits(budget: int, capped: bool) -> None:
    """Also for a model whose logits are more than the output layer's."""
    loaded = tiny(seed=2)
    if capped:
        loaded.model.config.final_logit_softcapping = 30.0
    told: list[int] = []
    found = score(loaded.model, rows(20), pad=0, budget=budget, progress=told.append)
    assert told[-1] == 20
    for (ids, trained), (total, tokens) in zip(rows(20), found, strict=True):
        with torch.no_grad():
            log = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        places = [at for at, wanted in enumerate(trained) if wanted]
        assert tokens == len(places)
        assert total == pytest.approx(sum(float(log[at - 1, ids[at]]) for at in places), abs=1e-3)


def test_what_was_generated_scores_the_same() -> None:
    loaded = tiny(seed=5)
    prompts = [[1, 3, 40, 50, 60, 4], [1, 3, 70, 4]]
    made = generate(loaded.model, prompts, [8, 8], ends=[2, 20, 21, 22], pad=0)
    # a translation ends with one token; here the model may end with several, so each is scored as it ended
    found = score(
        loaded.model,
        [(p + m.ids, [False] * len(p) + [True] * len(m.ids)) for p, m in zip(prompts, made, strict=True)],
        pad=0,
    )
    for one, (total, tokens) in zip(made, found, strict=True):
        assert tokens == one.tokens - one.finished
        if not one.finished:
            assert total == pytest.approx(one.log_probability, abs=1e-3)
        else:
            assert total > one.log_probability


def test_translator_scores_pairs_in_order(tmp_path: Path) -> None:
    tiny(tmp_path / "m", seed=3)
    translator = Translator.load(tmp_path / "m", threads=1)
    sources = ["the cat sees the dog.", "a", "the dog " * 200]
    targets = ["die Katze sieht den Hund.", "ein Hund", "x"]
    found = translator.score(sources, targets, EN_DE)
    assert found[2] is None
    assert all(value is not None and value < 0 for value in found[:2])
    assert [translator.score([s], [t], EN_DE)[0] for s, t in zip(sources, targets, strict=True)] == pytest.approx(found)
    assert translator.score([], [], EN_DE) == []

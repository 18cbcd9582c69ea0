"""Lanes that share one model: whoever joins when, each has what it would have alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.backends.continuous import Continuous
from dragoman.backends.own import Transformers
from dragoman.core.ports import CancelledError, Completion, Prompt, Stops
from dragoman.core.recipe import Decoding, Sampling
from tests.backends.models import made

STOPS = Stops((2,), (5,))
WAYS = [Decoding(), Decoding(beam=3), Decoding(sample=Sampling(seed=3))]


@pytest.fixture(scope="module")
def alone() -> Transformers:
    return Transformers(made("gemma3"), budget=400)


def prompts(dice: random.Random, count: int) -> list[Prompt]:
    start = [dice.randrange(6, 300) for _ in range(dice.choice([0, 40]))]  # a beginning that many have in common
    return [
        Prompt([1, *start, *(dice.randrange(6, 300) for _ in range(dice.randrange(1, 12)))], dice.randrange(1, 9))
        for _ in range(count)
    ]


def same(one: Sequence[Completion], other: Sequence[Completion]) -> bool:
    return [(c.text, c.tokens, c.finished) for c in one] == [(c.text, c.tokens, c.finished) for c in other]


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers())
def test_every_lane_has_what_it_would_have_alone(alone: Transformers, seed: int) -> None:
    dice = random.Random(seed)
    shared = Continuous(alone)
    asked = [(prompts(dice, dice.randrange(1, 5)), dice.choice(WAYS)) for _ in range(6)]
    found: dict[int, list[list[Completion]]] = {}

    def lane(number: int) -> None:
        some, way = asked[number]
        found[number] = [shared.complete(some, STOPS, way), shared.complete(some, STOPS, Decoding())]

    for number in range(len(asked)):
        shared.begin(lambda number=number: lane(number))
        for _ in range(dice.randrange(4)):
            shared.step()
    while shared.busy:
        shared.step()
    for number, (some, way) in enumerate(asked):
        first, second = found[number]
        assert same(first, alone.complete(some, STOPS, way))
        assert same(second, alone.complete(some, STOPS, Decoding()))


def test_what_is_given_up_and_what_fails_leave_the_others_alone(alone: Transformers, monkeypatch: Any) -> None:
    dice = random.Random(1)
    shared = Continuous(alone)
    unwanted: set[str] = set()
    ended: dict[str, Any] = {}

    def lane(name: str, some: list[Prompt]) -> None:
        try:
            ended[name] = shared.complete(some, STOPS, Decoding(), cancelled=lambda: name in unwanted)
        except (CancelledError, RuntimeError) as error:
            ended[name] = error

    kept, gone = prompts(dice, 3), [Prompt([1, 7, 8], 90)]
    shared.begin(lambda: lane("gone", gone))
    shared.begin(lambda: lane("kept", kept))
    shared.step()
    unwanted.add("gone")
    while shared.busy:
        shared.step()
    assert isinstance(ended["gone"], CancelledError)
    assert same(ended["kept"], alone.complete(kept, STOPS, Decoding()))
    shared.begin(lambda: lane("lost", kept))
    with monkeypatch.context() as patch:
        patch.setattr(alone.loaded.model, "forward", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("no memory")))
        shared.step()
    assert isinstance(ended["lost"], RuntimeError)
    shared.begin(lambda: lane("after", kept))
    while shared.busy:
        shared.step()
    assert same(ended["after"], alone.complete(kept, STOPS, Decoding()))
    assert shared.score([([1, 7, 8], [False, True, True])]) == alone.score([([1, 7, 8], [False, True, True])])

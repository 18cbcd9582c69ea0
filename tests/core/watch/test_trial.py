"""A challenger beside the champion: stopped where it is worse, and not by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dragoman.core.watch.trial import FIRST, Mean, Side, Trial, wilson


def filled(texts: int, failed: float = 0.02, flagged: float = 0.05, confidence: float = 60.0, seed: int = 0) -> Side:
    random = np.random.default_rng(seed)
    side = Side()
    for _ in range(texts):
        side.add(
            failed=random.random() < failed,
            flagged=random.random() < flagged,
            confidence=float(random.normal(confidence, 15)),
        )
    return side


@pytest.mark.parametrize(
    ("change", "named"),
    [({"failed": 0.2}, "without a translation"), ({"flagged": 0.3}, "flagged"), ({"confidence": 50.0}, "confidence")],
)
def test_what_is_worse_is_named_and_stops_it(change: dict[str, float], named: str) -> None:
    trial = Trial("canary", "b@2", 0.05, 0.0, filled(2_000), filled(200, seed=1, **change))
    (why,) = trial.look()
    assert why.startswith(named) and trial.stopped == [why]
    assert trial.look() == []  # once


def test_a_better_one_goes_on() -> None:
    better = filled(400, failed=0.0, flagged=0.0, confidence=80.0)
    assert Trial("canary", "b@2", 0.05, 0.0, filled(2_000), better).look() == []


@pytest.mark.slow
def test_chance_stops_few_of_those_that_are_as_good_however_often_one_looks() -> None:
    stopped = 0
    for number in range(200):
        random = np.random.default_rng(number)
        trial = Trial("shadow", "b@2", 0.1, 0.0)
        for _ in range(800):
            for side in (trial.champion, trial.challenger):
                doubt, sure = random.random() < 0.1, float(random.normal(60, 15))
                side.add(failed=bool(random.random() < 0.01), flagged=doubt, confidence=sure)
            if trial.look():
                stopped += 1
                break
    assert stopped <= 6  # 1 % at most are expected; more than 6 of 200 come once in 200


def test_it_looks_when_there_are_twice_as_many() -> None:
    trial = Trial("canary", "b@2", 0.05, 0.0, filled(1_000))
    looked = []
    for count in range(1, 8 * FIRST):
        trial.challenger.add(failed=False, flagged=False, confidence=None)
        before = trial.looks
        trial.look()
        looked += [count] if trial.looks > before else []
    assert looked == [FIRST, 2 * FIRST, 4 * FIRST]


def test_it_is_kept_and_read_again() -> None:
    trial = Trial("shadow", "b@2", 0.1, 5.0, filled(60), filled(60, failed=0.9, seed=2), Mean(2, 90.0, 4_100.0))
    trial.look()
    again = Trial.of(trial.to_json())
    assert again == trial and again.stopped and again.agreement.value == 45.0
    with pytest.raises(KeyError):
        Trial.of({"kind": "shadow"})


def test_intervals() -> None:
    low, high = wilson(0, 50)
    assert low == pytest.approx(0, abs=1e-12) and 0.06 < high < 0.08
    assert math.isnan(wilson(0, 0)[0])
    one = Mean()
    for value in (1.0, 2.0, 3.0):
        one.add(value)
    assert one.value == 2 and one.interval[0] == pytest.approx(2 - 1.96 / math.sqrt(3))

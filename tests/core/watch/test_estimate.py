"""The expected score of a window without references."""

from __future__ import annotations

import numpy as np

from dragoman.core.watch.estimate import estimate


def held_out(random: np.random.Generator, count: int, bias: float = 0.0) -> list[tuple[float, float]]:
    confidence = random.uniform(30, 90, count)
    return list(zip(confidence.tolist(), (confidence + bias + random.normal(0, 15, count)).tolist(), strict=True))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        window = held_out(random, 300, bias=4.0)
        found = estimate([a for a, _ in window], held_out(random, 500, bias=4.0))
        assert found is not None
        hits += found.low <= np.mean([b for _, b in window]) <= found.high
    assert 180 <= hits <= 199


def test_a_worse_window_is_expected_to_be_worse() -> None:
    random = np.random.default_rng(2)
    base = held_out(random, 500)
    found = estimate(random.uniform(30, 50, 200).tolist(), base)
    assert found is not None and found.high < found.normal and 0 < found.usual_error < 5


def test_nothing_to_go_by() -> None:
    assert estimate([], [(1.0, 2.0), (2.0, 3.0)]) is None and estimate([50.0], []) is None

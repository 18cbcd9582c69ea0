"""Which segments are chosen: unsure ones, new ones, and no two of a kind."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.watch.features import sketches
from dragoman.core.watch.pick import Candidate, choose, information, nearest, unit

NONE = np.zeros((0, 4))


def vectors(texts: list[str]) -> np.ndarray:
    return unit(sketches(texts))


def test_each_signal_counts_and_what_was_not_measured_does_not() -> None:
    low, high = Candidate(90, 0.1, 0.1), Candidate(20, 0.1, 0.1)
    assert information([low, high]).tolist() == [0.0, 1.0]  # equal signals say nothing
    assert information([Candidate(50, 0.1, 0.5), Candidate(50, 0.9, 0.5)]).tolist() == [0.0, 1.0]
    assert information([Candidate(math.nan, math.nan, 0.2), Candidate(math.nan, math.nan, 0.9)]).tolist() == [0.0, 1.0]
    assert information([Candidate(math.nan, math.nan, math.nan)] * 2).tolist() == [0.5, 0.5]


def test_no_two_of_a_kind_and_nothing_that_is_known() -> None:
    texts = [
        "the cat sits on the mat",
        "the cat sits on the mats",
        "adverse reactions of bortezomib",
        "known text here",
    ]
    rows = [Candidate(50, 0.5, 0.5)] * 4
    chosen = choose(rows, vectors(texts), vectors(["known text here"]), 2)
    assert len({*chosen} & {0, 1}) == 1 and 2 in chosen


def test_the_unsure_one_of_equals_comes_first() -> None:
    rows = [Candidate(80, 0.2, 0.5), Candidate(10, 0.9, 0.5), Candidate(70, 0.3, 0.5)]
    same = vectors(["the cat sits on the mat"] * 3)
    assert choose(rows, same, same[:0], 1) == [1]


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=30), st.integers(1, 40), st.integers(0, 5))
def test_each_is_chosen_once(texts: list[str], count: int, known: int) -> None:
    rows = [Candidate(float(len(text)), math.nan, 0.5) for text in texts]
    found = vectors(texts)
    chosen = choose(rows, found, found[:known], count)
    assert len(chosen) == len({*chosen}) == min(count, len(texts))
    assert ((nearest(found, found) < 1e-9) | (np.linalg.norm(found, axis=1) == 0)).all()

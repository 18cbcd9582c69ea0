"""Candidates of closed generation and its figures: what must hold whatever the texts, and textbook values."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.scores.multiple_choice import distractors, results, right
from dragoman.core.scores.scoring import TestSettings
from dragoman.core.text.normalise import leak_key

PROTOCOL = TestSettings(samples=2000, trials=10)
WORDS = st.text(alphabet="abcde", min_size=1, max_size=12)


def texts(count: int, seed: int = 0) -> list[str]:
    """Different texts, of 5 to 200 letters."""
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefgh", k=draw.randint(5, 200))) for _ in range(count)]


@given(pairs=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=60), k=st.integers(2, 6), seed=st.integers(0, 99))
def test_no_candidate_is_right_but_the_reference(pairs: list[tuple[str, str]], k: int, seed: int) -> None:
    sources, references = [source for source, _ in pairs], [target for _, target in pairs]
    found = distractors(sources, references, k, seed)
    assert found == distractors(sources, references, k, seed)
    for number, others in enumerate(found):
        keys = [leak_key(references[other]) for other in others]
        own = {leak_key(t) for s, t in pairs if leak_key(s) == leak_key(sources[number])}
        possible = {leak_key(text) for text in references} - own
        assert len(keys) == len(set(keys)) == (k - 1 if len(possible) >= k - 1 else 0)
        assert set(keys) <= possible


def test_another_seed_draws_others() -> None:
    references = texts(100)
    assert distractors(references, references, 4, 1) != distractors(references, references, 4, 2)


def test_case_digits_and_further_references_of_a_source_make_no_candidate() -> None:
    first, second, third = distractors(["a", "b", "c"], ["Nine 9!", "nine", "other"], 2, 1)
    assert first == second == (2,)
    assert third in [(0,), (1,)]
    first, second, third = distractors(["a", "A", "b"], ["one", "two", "three"], 3, 1)
    assert first == second == ()
    assert sorted(third) == [0, 1]


BLIND: dict[str, Callable[[list[int]], int]] = {
    "shortest": lambda lengths: int(np.argmin(lengths)),
    "longest": lambda lengths: int(np.argmax(lengths)),
    "middle": lambda lengths: int(np.argsort(lengths)[1]),
}


@pytest.mark.slow
@pytest.mark.parametrize("chooser", list(BLIND))
@pytest.mark.parametrize("count", [40, 150])
def test_whoever_sees_the_lengths_alone_is_right_by_chance(chooser: str, count: int) -> None:
    """Of candidates near in length the reference would be one of middle length in three cases of four."""
    references = ["".join(random.Random(number).choices("abcdef", k=number)) for number in range(5, 5 + count)]
    hits = []
    for seed in range(60):
        found = distractors(references, references, 4, seed)
        for number, others in enumerate(found):
            hits.append(BLIND[chooser]([len(references[n]) for n in (number, *others)]) == 0)
    assert np.mean(hits) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / len(hits)) ** 0.5)


def test_candidates_are_alike_in_length_where_the_set_is_large() -> None:
    references = texts(800)
    found = distractors(references, references, 4, 0)
    apart = [abs(len(references[n]) - len(references[o])) for n, others in enumerate(found) for o in others]
    assert max(apart) < 20  # of texts that differ by up to 195
    assert len({o for others in found for o in others}) > 600  # not always the same ones


def test_a_set_that_is_too_small_asks_nothing() -> None:
    assert distractors(["a", "b", "c"], ["one", "two", "three"], 4, 0) == [(), (), ()]
    assert all(distractors(["a", "b", "c", "d"], ["one", "two", "three", "four"], 4, 0))


def test_a_tie_and_what_could_not_be_scored_are_wrong() -> None:
    nan = float("nan")
    scores = np.array([[-1.0, -2, -3], [-2, -1, -3], [-1, -1, -2], [nan, nan, nan]])
    assert right(scores).tolist() == [True, False, False, False]


def test_accuracy_interval_and_exact_test() -> None:
    """9 segments better and 1 worse: two tails of a fair coin, 2 (1 + 10) / 2 ** 10."""
    before = np.array([True] * 31 + [False] * 69)
    after = before.copy()
    after[30], after[31:40] = False, True
    found = results({"base": before, "tuned": after}, {"tuned": "base"}, PROTOCOL)
    assert found["base"]["against"] is None and found["base"]["gain"] is None
    accuracy, gain = found["tuned"]["accuracy"], found["tuned"]["gain"]
    assert (found["base"]["accuracy"]["value"], accuracy["value"]) == (31, 39)
    assert (gain["gain"], gain["better"], gain["worse"]) == (8, 9, 1)
    assert gain["p"] == pytest.approx(22 / 1024)
    wide = 1.96 * (0.39 * 0.61 / 100) ** 0.5 * 100
    assert accuracy["high"] - accuracy["low"] == pytest.approx(2 * wide, rel=0.15)
    assert accuracy["low"] < 39 < accuracy["high"]
    paired = 1.96 * (0.1 - 0.08**2) ** 0.5 * 10  # the variance of a difference of 0 or 1, not of two accuracies
    assert gain["high"] - gain["low"] == pytest.approx(2 * paired, rel=0.15)


def test_equal_systems_do_not_differ_and_a_part_is_scored_alone() -> None:
    same = np.array([True, False] * 10)
    found = results({"a": same, "b": same}, {"b": "a"}, PROTOCOL)["b"]["gain"]
    assert (found["gain"], found["low"], found["high"], found["p"]) == (0, 0, 0, 1)
    kept = np.arange(20) % 2 == 0
    assert results({"a": same}, {}, PROTOCOL, kept)["a"]["accuracy"] == {"value": 100, "low": 100, "high": 100}

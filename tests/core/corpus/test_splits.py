from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.corpus.splits import DEV, TEST, TRAIN, Sizes, components, cut, find, folds, length_strata, mix, sizes


def union_find(*columns: np.ndarray) -> list[int]:
    """The slow way: the lowest row of each component."""
    parent = list(range(len(columns[0])))

    def root(row: int) -> int:
        while parent[row] != row:
            row = parent[row]
        return row

    first: dict[int, int] = {}
    for row in range(len(parent)):
        for column in columns:
            other = first.setdefault(int(column[row]), row)
            left, right = sorted((root(row), root(other)))
            parent[right] = left
    return [root(row) for row in range(len(parent))]


keys = st.lists(st.tuples(st.integers(0, 30), st.integers(20, 50)), min_size=1, max_size=80).map(
    lambda rows: np.array(rows, dtype=np.uint64)
)


@given(keys)
def test_components_equal_union_find(rows: np.ndarray) -> None:
    assert components(rows[:, 0], rows[:, 1]).tolist() == union_find(rows[:, 0], rows[:, 1])


def test_components_follow_a_long_chain() -> None:
    chain = np.arange(5000, dtype=np.uint64)
    shuffled = np.random.default_rng(1).permutation(5000).astype(np.uint64)
    assert set(components(chain, chain + np.uint64(1)).tolist()) == {0}
    assert set(components(shuffled, shuffled + np.uint64(1)).tolist()) == {0}


def test_mix_is_splitmix64() -> None:
    # The first outputs of splitmix64 seeded with 1234567, as published with the reference implementation.
    state = np.array([1234567], dtype=np.uint64)
    assert mix(state)[0] == 6457827717110365317
    assert mix(state, seed=1)[0] == 3203168211198807973


@given(keys, st.lists(st.integers(0, 60), max_size=20))
def test_find_gives_the_first_place(rows: np.ndarray, held: list[int]) -> None:
    expected = [held.index(int(key)) if int(key) in held else -1 for key in rows[:, 0]]
    assert find(rows[:, 0], np.array(held, dtype=np.uint64)).tolist() == expected


def cut_rows(rows: np.ndarray, pair: np.ndarray, dev: int, test: int, seed: int = 7) -> np.ndarray:
    unit = components(rows[:, 0], rows[:, 1])
    key = mix(mix(rows[:, 0]) ^ rows[:, 1])
    wanted = {int(number): sizes(int((pair == number).sum()), dev, test) for number in np.unique(pair)}
    return cut(unit, key, pair, pair, wanted=wanted, seed=seed)


@given(keys, st.integers(0, 20), st.integers(0, 20), st.randoms(use_true_random=False))
def test_no_key_stands_in_two_splits(rows: np.ndarray, dev: int, test: int, random) -> None:
    pair = np.array([random.randint(0, 2) for _ in rows])
    found = cut_rows(rows, pair, dev, test)
    for left, right in ((TRAIN, DEV), (TRAIN, TEST), (DEV, TEST)):
        assert not set(rows[found == left].ravel().tolist()) & set(rows[found == right].ravel().tolist())


@given(keys, st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**32))
def test_the_cut_does_not_depend_on_the_order_of_the_rows(rows: np.ndarray, dev: int, test: int, seed: int) -> None:
    rows = np.unique(rows, axis=0)
    pair = (rows[:, 0] % np.uint64(2)).astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(rows))
    assert cut_rows(rows, pair, dev, test)[order].tolist() == cut_rows(rows[order], pair[order], dev, test).tolist()


def single(count: int) -> np.ndarray:
    return np.arange(2 * count, dtype=np.uint64).reshape(count, 2)


def test_a_cut_of_single_rows_has_exactly_the_wanted_sizes() -> None:
    found = cut_rows(single(1000), np.repeat([0, 1], [700, 300]), 40, 60)
    for number, size in ((0, 700), (1, 300)):
        here = np.bincount(found[np.repeat([0, 1], [700, 300]) == number])
        assert here.tolist() == [size - 100, 40, 60]


def test_another_seed_gives_another_cut() -> None:
    pair = np.zeros(1000, dtype=np.int64)
    first, second = (cut_rows(single(1000), pair, 50, 50, seed) == TEST for seed in (1, 2))
    assert 0 <= (first & second).sum() < 15  # 2.5 by chance


def test_strata_are_held_out_in_proportion() -> None:
    rows = single(1000)
    stratum = np.repeat([0, 1, 2], [600, 390, 10])
    wanted = {0: Sizes(100, 100)}
    found = cut(np.arange(1000), rows[:, 0], np.zeros(1000, dtype=np.int64), stratum, wanted=wanted, seed=7)
    assert np.bincount(stratum[found == TEST]).tolist() == [60, 39, 1]
    assert np.bincount(stratum[found == DEV]).tolist() == [60, 39, 1]


def test_a_unit_that_does_not_fit_stays_and_others_fill_up() -> None:
    unit = np.array([0] * 80 + list(range(1, 41)))
    zeros = np.zeros(120, dtype=np.int64)
    found = cut(unit, np.arange(120, dtype=np.uint64), zeros, zeros, wanted={0: Sizes(5, 5)}, seed=7)
    assert np.bincount(found).tolist() == [110, 5, 5]
    assert set(found[:80].tolist()) == {TRAIN}


def test_the_smallest_document_is_taken_when_none_fits() -> None:
    unit = np.repeat([0, 1, 2, 3], [40, 30, 20, 50])
    zeros = np.zeros(140, dtype=np.int64)
    found = cut(unit, unit.astype(np.uint64), zeros, zeros, wanted={0: Sizes(0, 10)}, seed=7)
    assert np.unique(unit[found == TEST]).tolist() == [2]


@pytest.mark.parametrize(
    ("rows", "dev", "test", "expected"),
    [
        (10_000, 1000, 1000, Sizes(1000, 1000)),
        (6000, 1000, 1000, Sizes(1000, 1000)),
        (300, 1000, 1000, Sizes(50, 50, shrunk=True)),
        (300, 100, 1000, Sizes(9, 90, shrunk=True)),
        (300, 0.5, 0.25, Sizes(150, 75)),
        (300, 0.2, 1000, Sizes(60, 40, shrunk=True)),
        (3, 1000, 1000, Sizes(1, 1, shrunk=True)),
        (2, 1000, 1000, Sizes(0, 0, shrunk=True)),
        (0, 1000, 1000, Sizes(0, 0, shrunk=True)),
        (2, 0, 0, Sizes(0, 0)),
        (100, 0, 30, Sizes(0, 30)),
    ],
)
def test_sizes(rows: int, dev: float, test: float, expected: Sizes) -> None:
    assert sizes(rows, dev, test) == expected


@settings(max_examples=50)
@given(keys, st.integers(2, 6), st.integers(0, 100))
def test_folds_cover_and_tear_nothing_apart(rows: np.ndarray, count: int, seed: int) -> None:
    unit = components(rows[:, 0], rows[:, 1])
    found = folds(unit, mix(rows[:, 0]), np.zeros(len(rows), dtype=np.int64), count=count, seed=seed)
    assert found.min() >= 0 and found.max() < count
    for label in np.unique(unit):
        assert len(np.unique(found[unit == label])) == 1


def test_folds_of_single_rows_are_even_in_every_stratum() -> None:
    stratum = np.repeat([0, 1], [503, 100])
    found = folds(np.arange(603), np.arange(603, dtype=np.uint64), stratum, count=5, seed=7)
    assert sorted(np.bincount(found[stratum == 0]).tolist()) == [100, 100, 101, 101, 101]
    assert np.bincount(found[stratum == 1]).tolist() == [20] * 5


def test_length_strata_are_even_and_apart_for_each_pair() -> None:
    length = np.random.default_rng(0).integers(1, 10_000, 2000)
    pair = np.repeat([0, 1], 1000)
    strata = length_strata(pair, length)
    assert not set(strata[:1000].tolist()) & set(strata[1000:].tolist())
    assert len(np.unique(strata)) == 20
    assert np.bincount(strata).min() >= 95
    longest = strata[:1000] == strata[np.argmax(length[:1000])]
    assert length[:1000][longest].min() >= length[:1000][~longest].max()

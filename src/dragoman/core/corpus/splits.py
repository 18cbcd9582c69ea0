"""Which rows are held out, and which rows of the rest would give the held-out ones away.

Everything works on arrays of 64-bit keys, one entry a row, and is equivariant: the rows in another order give the same
split in that order. A key stands for a segment after `core.text.normalise.leak_key`, whatever its language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Numbers = NDArray[np.int64]

TRAIN, DEV, TEST = 0, 1, 2
SPLITS = ("train", "dev", "test")
# Counts in the recipe are for corpora of a usual size: together they may take so much of a pair's rows, not more.
_MOST_HELD_OUT = 1 / 3
_LENGTH_STRATA = 10


def mix(values: Keys, seed: int = 0) -> Keys:
    """A bijection of 64-bit integers that looks random (the finaliser of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = values + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) & 0xFFFFFFFFFFFFFFFF)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: Keys = z ^ (z >> np.uint64(31))
    return mixed


def components(*columns: Keys) -> Numbers:
    """Labels [rows]: equal for rows that are linked by a chain of shared keys, in whichever column a key stands.

    Hooking and pointer jumping (Shiloach and Vishkin 1982), a handful of passes over the arrays. A label is the lowest
    row number of its component.
    """
    rows = len(columns[0])
    labels = np.arange(rows, dtype=np.int64)
    if rows == 0:
        return labels
    _, ids = np.unique(np.concatenate(columns), return_inverse=True)
    parts = ids.reshape(len(columns), rows)
    while True:
        lowest = np.full(int(ids.max()) + 1, rows, dtype=np.int64)
        for part in parts:
            np.minimum.at(lowest, part, labels)
        hooked = labels.copy()
        for part in parts:
            np.minimum.at(hooked, labels, lowest[part])
        while not np.array_equal(hooked, jumped := hooked[hooked]):
            hooked = jumped
        hooked = hooked[labels]
        if np.array_equal(hooked, labels):
            return labels
        labels = hooked


def find(keys: Keys, held: Keys) -> Numbers:
    """For every key its first place in `held`, or -1 where it does not stand there."""
    if not len(held):
        return np.full(len(keys), -1, dtype=np.int64)
    order = np.argsort(held, kind="stable")
    places = np.minimum(np.searchsorted(held, keys, sorter=order), len(held) - 1)
    found = order[places]
    places = np.where(held[found] == keys, found, -1).astype(np.int64)
    return places


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows to hold out of one language pair. `shrunk` when the recipe asked for more than there is room for."""

    dev: int
    test: int
    shrunk: bool = False


def sizes(rows: int, dev: float, test: float) -> Sizes:
    """Rows to hold out of `rows`. A float below 1 is a share and is honoured; a count gives way in a small corpus.

    When counts ask for more than a third of the rows, both shrink alike until they take a third.
    """

    def resolve(part: float) -> tuple[int, bool]:
        share = isinstance(part, float) and part < 1
        return (round(rows * part) if share else int(part)), share

    (dev, dev_share), (test, test_share) = resolve(dev), resolve(test)
    room = max(2, int(rows * _MOST_HELD_OUT)) - dev * dev_share - test * test_share
    wanted = dev * (not dev_share) + test * (not test_share)
    if not wanted or (wanted <= room and rows > 2):
        return Sizes(dev, test)

    def shrink(part: int, share: bool) -> int:
        if share or rows < 3:
            return part if share else 0
        return min(part, max(1, part * room // wanted))

    return Sizes(shrink(dev, dev_share), shrink(test, test_share), shrunk=True)


def length_strata(pair: Numbers, length: Numbers) -> Numbers:
    """Strata [rows] of about equally many rows of similar length, apart for each language pair."""
    strata = np.zeros(len(pair), dtype=np.int64)
    for number in np.unique(pair):
        here = pair == number
        edges = np.quantile(length[here], np.linspace(0, 1, _LENGTH_STRATA + 1)[1:-1])
        strata[here] = np.searchsorted(edges, length[here], side="right")
    return joint(pair, strata)


def joint(left: Numbers, right: Numbers) -> Numbers:
    """One number for each pair of numbers that occurs."""
    if not len(left):
        return np.zeros(0, dtype=np.int64)
    _, left_ids = np.unique(left, return_inverse=True)
    values, right_ids = np.unique(right, return_inverse=True)
    ids: Numbers = np.unique(left_ids * len(values) + right_ids, return_inverse=True)[1].astype(np.int64)
    return ids


@dataclass(frozen=True, slots=True)
class _Units:
    """What is moved whole: rows linked by their keys, or documents. In the seeded order, with rows per stratum."""

    labels: Numbers  # [rows] -> place of its unit in the order
    begin: Numbers  # [units + 1]: slices of the two below
    stratum: Numbers  # [parts]
    count: Numbers  # [parts]


def _units(unit: Numbers, key: Keys, stratum: Numbers, seed: int) -> _Units:
    """Units in an order that depends on the seed and on what stands in them, not on where they stand in the files."""
    _, ids = np.unique(unit, return_inverse=True)
    lowest = np.full(int(ids.max()) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(lowest, ids, mix(key, seed))
    rank = np.empty(len(lowest), dtype=np.int64)
    rank[np.argsort(lowest, kind="stable")] = np.arange(len(lowest))
    labels = rank[ids]
    width = int(stratum.max()) + 1
    parts, count = np.unique(labels * width + stratum, return_counts=True)
    begin = np.searchsorted(parts // width, np.arange(len(lowest) + 1))
    return _Units(labels, begin.astype(np.int64), parts % width, count.astype(np.int64))


def _quotas(rows: Numbers, wanted: int) -> Numbers:
    """Split `wanted` over strata of so many rows in proportion, by largest remainders."""
    exact = rows * (wanted / max(1, int(rows.sum())))
    quotas = np.floor(exact).astype(np.int64)
    short = wanted - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[:short]] += 1
    result: Numbers = np.minimum(quotas, rows)
    return result


def _fill(units: _Units, free: NDArray[np.bool_], quotas: Numbers, order: Numbers) -> list[int]:
    """Free units, in this order, that fit into what is left of the quotas of all their strata."""
    left = quotas.tolist()
    open_rows = sum(left)
    begin, stratum, count = units.begin.tolist(), units.stratum.tolist(), units.count.tolist()
    chosen = []
    for number in order[free[order]].tolist():
        if open_rows <= 0:
            break
        parts = range(begin[number], begin[number + 1])
        if all(count[part] <= left[stratum[part]] for part in parts):
            for part in parts:
                left[stratum[part]] -= count[part]
                open_rows -= count[part]
            chosen.append(number)
    return chosen


def _rare_first(units: _Units, rows: Numbers) -> Numbers:
    """Units in their order, those of rare pairs first: the rows of a rare pair may be tied to those of another."""
    rank = np.empty(len(rows), dtype=np.int64)
    rank[np.argsort(rows, kind="stable")] = np.arange(len(rows))
    rarest = np.minimum.reduceat(rank[units.stratum], units.begin[:-1])
    order: Numbers = np.argsort(rarest, kind="stable")
    return order


def cut(
    unit: Numbers, key: Keys, pair: Numbers, stratum: Numbers, *, wanted: Mapping[int, Sizes], seed: int
) -> NDArray[np.int8]:
    """Splits [rows] of TRAIN, DEV and TEST: units drawn whole in seeded order, strata of each pair in proportion.

    `unit` labels what must not be torn; `key` gives the order; a stratum lies within one pair; `wanted` has an entry
    for each pair. A unit larger than what is still wanted stays in train, so fewer rows than wanted may come out;
    where none was small enough for a set, the smallest unit that leaves two thirds of its pair for training is taken.
    """
    splits = np.zeros(len(unit), dtype=np.int8)
    if not len(unit):
        return splits
    strata = joint(pair, stratum)
    fine, coarse = _units(unit, key, strata, seed), _units(unit, key, pair, seed)
    owner = np.zeros(int(strata.max()) + 1, dtype=np.int64)  # the pair that a stratum lies in
    owner[strata] = pair
    free = np.ones(len(fine.begin) - 1, dtype=bool)
    order = _rare_first(coarse, np.bincount(pair))
    for split, name in ((TEST, "test"), (DEV, "dev")):
        wish = np.zeros(int(pair.max()) + 1, dtype=np.int64)
        for number, size in wanted.items():
            wish[number] = getattr(size, name)
        rows = np.bincount(strata[free[fine.labels]], minlength=len(owner))
        quotas = np.zeros(len(owner), dtype=np.int64)
        for number in wanted:
            quotas[owner == number] = _quotas(rows[owner == number], int(wish[number]))
        picked = np.zeros(len(free), dtype=bool)
        picked[_fill(fine, free, quotas, order)] = True
        got = np.bincount(pair[picked[fine.labels]], minlength=len(wish))
        picked[_fill(coarse, free & ~picked, np.maximum(wish - got, 0), order)] = True
        got = np.bincount(pair[picked[fine.labels]], minlength=len(wish))
        picked[_smallest(coarse, free & ~picked, np.bincount(pair), np.flatnonzero((wish > 0) & (got == 0)))] = True
        free &= ~picked
        splits[picked[fine.labels]] = split
    return splits


def _smallest(units: _Units, free: NDArray[np.bool_], rows: Numbers, empty: Numbers) -> list[int]:
    """For each pair of `empty` its smallest free unit, if that leaves two thirds of the pair's rows."""
    unit = np.repeat(np.arange(len(free)), np.diff(units.begin))
    chosen = []
    for number in empty.tolist():
        parts = np.flatnonzero((units.stratum == number) & free[unit])
        if len(parts) and units.count[part := parts[np.argmin(units.count[parts])]] <= rows[number] * _MOST_HELD_OUT:
            chosen.append(int(unit[part]))
    return chosen


def folds(unit: Numbers, key: Keys, stratum: Numbers, *, count: int, seed: int) -> Numbers:
    """Folds [rows] numbered from 0: disjoint, covering, units whole, as even as the units allow.

    Every unit, in seeded order, goes to the fold that has the fewest rows of its stratum, then the fewest rows; units
    of more than one row go first, the largest before the others.
    """
    if not len(unit):
        return np.zeros(0, dtype=np.int64)
    units = _units(unit, key, stratum, seed)
    totals = np.add.reduceat(units.count, units.begin[:-1])
    first = units.stratum[units.begin[:-1]].tolist()
    size = totals.tolist()
    by_stratum = [[0] * count for _ in range(int(stratum.max()) + 1)]
    by_fold = [0] * count
    fold_of = np.zeros(len(size), dtype=np.int64)
    for number in np.argsort(-totals, kind="stable").tolist():
        mine = by_stratum[first[number]]
        fold = min(range(count), key=lambda f: (mine[f], by_fold[f], f))
        mine[fold] += size[number]
        by_fold[fold] += size[number]
        fold_of[number] = fold
    result: Numbers = fold_of[units.labels]
    return result

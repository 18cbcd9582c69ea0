"""What becomes of the rows that passed the checks: duplicate, training, dev, test, or too close to a held-out row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dragoman.core.corpus import splits
from dragoman.core.corpus.splits import DEV, TEST, TRAIN, Keys, Numbers, Sizes
from dragoman.core.recipe import Deduplicate, Holdout
from dragoman.errors import DataError
from dragoman.store.corpus.duplicates import Signatures, first_of, near_duplicates, near_segments

DUPLICATE, NEAR_DUPLICATE, LEAKS_INTO_DEV, LEAKS_INTO_TEST, NEAR_DEV, NEAR_TEST, DOUBTED, HOLDS_DEV, HOLDS_TEST = range(
    3, 12
)
REASONS = {
    DUPLICATE: "duplicate",
    NEAR_DUPLICATE: "near_duplicate",
    LEAKS_INTO_DEV: "leaks_into_dev",
    LEAKS_INTO_TEST: "leaks_into_test",
    NEAR_DEV: "near_dev",
    NEAR_TEST: "near_test",
    DOUBTED: "",  # the finding has the name
    HOLDS_DEV: "holds_dev",
    HOLDS_TEST: "holds_test",
}
_BLOCK = 100_000  # rows whose signatures are in memory at once


@dataclass(frozen=True, slots=True)
class Rows:
    """What is remembered of the rows that passed the checks, one entry a row; names are 64-bit hashes.

    `keys` [rows, sides]: of a pair, the side whose language tag sorts first stands first, whatever the direction.
    """

    keys: Keys
    pair: Keys  # the languages
    document: Keys  # 0 = none
    domain: Keys
    origin: Keys
    line: Numbers
    length: Numbers  # characters of the first side
    source: Numbers  # number of the recipe's source
    use: Numbers  # TRAIN, or DEV and TEST for rows of given held-out files

    @classmethod
    def join(cls, parts: Sequence[Rows]) -> Self:
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.line)

    @property
    def whole_keys(self) -> Keys:
        """One key a row, over its sides and languages."""
        keys = splits.mix(self.pair)
        for side in range(self.keys.shape[1]):
            keys = splits.mix(keys ^ self.keys[:, side])
        return keys


@dataclass(slots=True)
class Selection:
    """`status` [rows]: TRAIN, DEV, TEST or a key of REASONS; `other`: the row that a removed one resembles, or -1."""

    status: NDArray[np.int8]
    other: Numbers
    similarity: NDArray[np.float32]
    wanted: dict[int, Sizes]  # by the pair's hash: what the recipe asks for, after shrinking; absent when not cut

    @classmethod
    def start(cls, rows: Rows) -> Self:
        empty = np.full(len(rows), -1, dtype=np.int64)
        return cls(rows.use.astype(np.int8), empty, np.zeros(len(rows), dtype=np.float32), {})

    def remove(self, rows: Numbers, reason: int, other: Numbers, similarity: NDArray[np.float32] | float = 1.0) -> None:
        """Remove the rows whose `other` is not -1."""
        found = other >= 0
        self.status[rows[found]] = reason
        self.other[rows[found]] = other[found]
        self.similarity[rows[found]] = similarity[found] if isinstance(similarity, np.ndarray) else similarity

    def with_status(self, status: int) -> Numbers:
        return np.flatnonzero(self.status == status)


def select(
    rows: Rows,
    signatures: Signatures | None,
    doubted: Numbers,
    *,
    deduplicate: Deduplicate,
    holdout: Holdout,
    seed: int,
) -> Selection:
    """Decide on all pairs. `signatures` [rows, 2, slots]; None when no near duplicates are looked for.

    Rows of train that are `doubted` go before anything else; those of given held-out files stay.
    Given held-out rows are never cut down by duplicates: a published test set stays what it is. Raises DataError when
    the recipe splits by document and no row has one, or when the shares held out leave nothing to train on.
    """
    found = Selection.start(rows)
    found.status[doubted[rows.use[doubted] == TRAIN]] = DOUBTED
    keys = rows.whole_keys
    if deduplicate.exact:
        pool = found.with_status(TRAIN)
        first = first_of(keys[pool])
        found.remove(pool, DUPLICATE, np.where(first == np.arange(len(pool)), -1, pool[first]))
    _remove_leaks(rows, found)
    if signatures is not None and holdout.near is not None:
        _remove_near(signatures, found, holdout.near)
    if signatures is not None and deduplicate.near is not None:
        _, pair = np.unique(rows.pair, return_inverse=True)
        other, similarity = near_duplicates(signatures, pair, deduplicate.near, found.status == TRAIN)
        every = np.arange(len(rows))
        found.remove(every, NEAR_DUPLICATE, other, similarity)
    before = {split: found.with_status(split) for split in (DEV, TEST)}
    _cut(rows, keys, found, holdout, seed)
    if holdout.by == "document":
        _remove_leaks(rows, found)
    if signatures is not None and holdout.near is not None:
        _remove_near(signatures, found, holdout.near, before)
    return found


def _remove_leaks(rows: Rows, found: Selection) -> None:
    """Rows of train that share a segment with dev or test go, and rows of dev that share one with test."""
    for split, leaving, reason in ((TEST, (TRAIN, DEV), LEAKS_INTO_TEST), (DEV, (TRAIN,), LEAKS_INTO_DEV)):
        held = found.with_status(split)
        segments = rows.keys[held].ravel()
        for pool in map(found.with_status, leaving):
            places = np.full(len(pool), -1, dtype=np.int64)
            for side in range(rows.keys.shape[1]):
                here = splits.find(rows.keys[pool, side], segments)
                places = np.where(places < 0, here, places)
            found.remove(pool, reason, _row_of(places, held, rows.keys.shape[1]))


def _remove_near(
    signatures: Signatures, found: Selection, threshold: float, done: dict[int, Numbers] | None = None
) -> None:
    """Rows of train go that have a segment nearly equal to one of dev or test (to those not in `done`)."""
    sides = signatures.shape[1]
    for split, reason in ((TEST, NEAR_TEST), (DEV, NEAR_DEV)):
        held = found.with_status(split)
        if done is not None:
            held = np.setdiff1d(held, done[split], assume_unique=True)
        pool = found.with_status(TRAIN)
        segments = signatures[held].reshape(-1, signatures.shape[2])
        for start, side in itertools.product(range(0, len(pool), _BLOCK), range(sides)):
            block = pool[start : start + _BLOCK]
            places, similarity = near_segments(signatures[block, side], segments, threshold)
            found.remove(block, reason, _row_of(places, held, sides), similarity)


def _row_of(places: Numbers, held: Numbers, sides: int) -> Numbers:
    """Segment numbers as row numbers; -1 stays."""
    if not len(held):
        return np.full(len(places), -1, dtype=np.int64)
    rows: Numbers = np.where(places < 0, -1, held[places // sides])
    return rows


def _cut(rows: Rows, keys: Keys, found: Selection, holdout: Holdout, seed: int) -> None:
    """Cut dev and test from what is left of train, for each pair that has none given."""
    pool = found.with_status(TRAIN)
    by_document = holdout.by == "document"
    if by_document and len(pool):
        pool = pool[rows.document[pool] != 0]
        if not len(pool):
            raise DataError(
                "prepare.holdout splits by document, but no row names one. Set `columns.document` of a source, or use "
                "`by: random`."
            )
    if not len(pool):
        return
    names, pair = np.unique(rows.pair[pool], return_inverse=True)
    key = rows.document[pool] if by_document else keys[pool]
    unit = key.view(np.int64) if by_document else splits.components(rows.keys[pool, 0], rows.keys[pool, 1])
    if holdout.by == "length":
        stratum = splits.length_strata(pair, rows.length[pool])
    else:
        domains = rows.domain[pool].view(np.int64) if holdout.by == "domain" else np.zeros(len(pool), dtype=np.int64)
        stratum = splits.joint(pair, domains)
    wanted = {}
    for number, name in enumerate(names):
        given = {split: bool((rows.pair[rows.use == split] == name).any()) for split in (DEV, TEST)}
        test = 0 if given[TEST] or holdout.folds else holdout.test
        wanted[number] = splits.sizes(int((pair == number).sum()), 0 if given[DEV] else holdout.dev, test)
        found.wanted[int(name)] = wanted[number]
    left = np.ones(len(pool), dtype=bool)
    if holdout.folds:
        fold = splits.folds(unit, key, stratum, count=holdout.folds, seed=seed)
        found.status[pool[fold == holdout.fold]] = TEST
        left = fold != holdout.fold
    parts = splits.cut(unit[left], key[left], pair[left], stratum[left], wanted=wanted, seed=seed)
    found.status[pool[left]] = parts
    if not (found.status == TRAIN).any():
        raise DataError("prepare.holdout leaves no row to train on. Ask for smaller shares of dev and test.")


def select_texts(rows: Rows, held: Keys, held_rows: Numbers, held_is_test: NDArray[np.bool_], exact: bool) -> Selection:
    """Decide on monolingual texts: duplicates go, and texts that stand in dev or test on either side.

    `held` are the keys of the held-out segments, `held_rows` the pairs' rows that they stand in; `other` of a text that
    leaks counts in those, of a duplicate in the texts.
    """
    found = Selection.start(rows)
    every = np.arange(len(rows))
    places = splits.find(rows.keys[:, 0], held)
    for reason, wanted in ((LEAKS_INTO_TEST, True), (LEAKS_INTO_DEV, False)):
        here = (places >= 0) & (held_is_test[places] == wanted) if len(held) else np.zeros(len(rows), dtype=bool)
        found.remove(every, reason, np.where(here, held_rows[places] if len(held) else -1, -1))
    if exact:
        pool = found.with_status(TRAIN)
        first = first_of(rows.whole_keys[pool])
        found.remove(pool, DUPLICATE, np.where(first == np.arange(len(pool)), -1, pool[first]))
    return found

"""What gives a held-out text away: two texts are the same where their letters are (`core.text.normalise.leak_key`), on
whichever side they stand. Whatever is trained on, shown in a prompt, preferred or learned from people is held against the
held-out rows by these keys; `prepare` does so with numbers for the same keys, in `core.corpus.splits`, as it has more rows
than fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dragoman.core.records import Example, Text
from dragoman.core.text.normalise import bare, leak_key

_LEAST = (
    24  # letters, from which a text that stands within a longer one gives it away; of Chinese and the like half as many
)
_BEGINNING = 12  # letters, by which it is looked for
_WIDE = "\u2e80"  # the first of the characters that say about as much as two letters
_BITS = 20  # of the table that most places are told by to begin nothing
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
Row = Example | Text | tuple[str, ...]


def texts(row: Row) -> tuple[str, ...]:
    """The texts of a row."""
    return row if isinstance(row, tuple) else (row.text,) if isinstance(row, Text) else (row.source, row.target)


def keys(row: Row) -> set[str]:
    """The keys of a row's texts. A text without a letter has none: it gives nothing away."""
    return twin_keys(row) - {""}


def keys_of(rows: Iterable[Row]) -> set[str]:
    """The keys of all texts of some rows."""
    return {key for row in rows for key in keys(row)}


def twin_keys(row: Row) -> set[str]:
    """Keys that a row shares with itself and with whatever differs from it in digits, case or punctuation, also where it has
    no letters: such rows must not be shown as examples of it. Both sides count, since a pair with the same target would give
    the answer away."""
    return set(map(leak_key, texts(row)))


class Within:
    """Finds texts that are a held-out one or have it within them, as a paragraph may have a sentence of the test set.

    Case, accents, digits, punctuation and spaces are folded away; a text of fewer than 24 letters is part of too many others.
    """

    def __init__(self, held: Iterable[str]) -> None:
        self._held = [bare(leak_key(text)) for text in held]
        self._whole = {key: number for number, key in enumerate(self._held) if key}
        self._beginnings: dict[str, list[int]] = {}
        for number, key in enumerate(self._held):
            if len(key) + sum(letter >= _WIDE for letter in key) >= _LEAST:
                self._beginnings.setdefault(key[:_BEGINNING], []).append(number)
        self._table = np.zeros(1 << _BITS, dtype=np.bool_)
        self._table[_places("\n".join(self._beginnings))[:: _BEGINNING + 1]] = True

    def find(self, texts: Sequence[str]) -> list[int]:
        """For each text the number of a held-out one that it is or has within it, or -1."""
        keys = [bare(leak_key(text)) for text in texts]
        ends = np.cumsum([len(key) + 1 for key in keys])
        found = [self._whole.get(key, -1) for key in keys]
        begins = np.flatnonzero(self._table[_places("\n".join(keys))])
        for number, at in zip(np.searchsorted(ends, begins, side="right").tolist(), begins.tolist(), strict=True):
            key = keys[number]
            begin = at - int(ends[number]) + len(key) + 1
            for one in self._beginnings.get(key[begin : begin + _BEGINNING], ()):
                if found[number] < 0 and key.startswith(self._held[one], begin):
                    found[number] = one
        return found


def _places(text: str) -> NDArray[np.uint64]:
    """For every twelve characters in a row their place in the table: a polynomial hash, by doubling."""
    with np.errstate(over="ignore"):
        one = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
        if len(one) < _BEGINNING:
            return np.zeros(0, dtype=np.uint64)
        two = one[:-1] * _FACTOR + one[1:]
        four = two[:-2] * _FACTOR**2 + two[2:]
        twelve = (four[:-8] * _FACTOR**4 + four[4:-4]) * _FACTOR**4 + four[8:]
        places: NDArray[np.uint64] = (twelve * _FACTOR) >> np.uint64(64 - _BITS)
    return places

"""What gives a held-out text away: two texts are the same where their letters are (`core.text.normalise.leak_key`), on
whichever side they stand. Whatever is trained on, shown in a prompt, preferred or learned from people is held against the
held-out rows by these keys; `prepare` does so with numbers for the same keys, in `core.corpus.splits`, as it has more rows
than fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.core.records import Example, Text
from dragoman.core.text.normalise import leak_key

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

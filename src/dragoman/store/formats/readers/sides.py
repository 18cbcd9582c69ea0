"""Whether a file has its sides exchanged, told by the languages that a sample of its rows reads as."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dragoman.core.records import Example, Rejected, Text
from dragoman.core.text.identify import Sides
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.readers.locations import Place

_WAITING, _SAMPLE = 1000, 200  # rows of a file that are read before the first is given on, and those of them looked at
_FEWEST, _MOST = 12, 0.8  # rows that say something, and the share of them on both sides from which there is no doubt

Row = Example | Text | Rejected


def told_apart(rows: Iterator[Row], place: Place) -> Iterator[Row]:
    """The rows; a DataError with figures instead where each side reads as the language of the other."""
    waiting: list[Row] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) >= _WAITING:
            break
    by_direction: dict[Direction, dict[tuple[str, str], None]] = {}
    for row in waiting:
        if isinstance(row, Example):
            by_direction.setdefault(row.direction, {})[row.source, row.target] = None
    for direction, pairs in by_direction.items():
        _judge([*pairs][:: max(1, len(pairs) // _SAMPLE)], direction, place)
    yield from waiting
    yield from rows


def _judge(pairs: Sequence[tuple[str, str]], direction: Direction, place: Place) -> None:
    sides = Sides.of(direction.source, direction.target)
    if sides is None or len(pairs) < _FEWEST:
        return
    judged = [(sides.first(source), sides.first(target)) for source, target in pairs]
    sources = [found for found, _ in judged if found is not None]
    targets = [found for _, found in judged if found is not None]
    if min(len(sources), len(targets)) < _FEWEST:
        return
    wrong_sources, wrong_targets = 1 - sum(sources) / len(sources), sum(targets) / len(targets)
    if min(wrong_sources, wrong_targets) >= _MOST:
        raise DataError(
            f"{place.name}: of {len(pairs):,} rows looked at, {wrong_sources:.0%} of the source side read as "
            f"{direction.target} and {wrong_targets:.0%} of the target side as {direction.source}: the sides are exchanged. "
            f"Say which is which (`columns:`, or `pair: {direction.reversed}` on the source; --pair on the command line); "
            "where it is right all the same, switch the check off (`prepare.checks.language: null`)."
        )

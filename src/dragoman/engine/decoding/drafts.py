"""Drafts: what an output probably says next, looked up in a text that it may be like (Saxena 2023, prompt lookup; verified
as in Leviathan et al. 2023). Greedy decoding accepts of a draft what the model would have written itself."""

from __future__ import annotations

from collections.abc import Sequence

_ORDERS = (3, 2, 1)  # so many of the last tokens are looked for, the most first
_FIRST = 4  # tokens of the first draft; twice as many after one that was right, half as many after one that was not
_MOST = 12


class Draft:
    """One output's text to look in, and how far to trust it."""

    __slots__ = ("_at", "_text", "_trust")

    def __init__(self, text: Sequence[int]) -> None:
        self._text = tuple(text)
        self._at = 0  # where the text goes on
        self._trust = _FIRST

    def __bool__(self) -> bool:
        return bool(self._text)

    def after(self, written: Sequence[int], most: int) -> list[int]:
        """What may follow, at most `most` tokens."""
        size = min(most, self._trust, _MOST)
        if size < 1 or not self._text:
            return []
        self._at = self._place(written)
        return list(self._text[self._at : self._at + size]) if self._at >= 0 else []

    def heard(self, drafted: int, accepted: int) -> None:
        """How much of the last draft was right."""
        if accepted < drafted:
            self._trust = max(1, self._trust // 2)
        else:
            self._trust = min(_MOST, 2 * self._trust)

    def _place(self, written: Sequence[int]) -> int:
        """Behind the last tokens written, where they stand in the text: the place nearest to where it was; -1: nowhere."""
        if not written:
            return 0
        for order in _ORDERS:
            if len(written) < order:
                continue
            end = tuple(written[-order:])
            text = self._text
            places = [i + order for i in range(len(text) - order) if text[i : i + order] == end]
            if places and (order > 1 or len(places) == 1):
                return min(places, key=lambda place: abs(place - self._at - order))
        return -1

"""Answers that were given before, the least recently used forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from dragoman.core.answers import Answer

_OVERHEAD = 1_000  # bytes of an answer beside its texts


class Cache:
    """At most `limit` bytes of answers, by everything that they depend on."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def bytes(self) -> int:
        return self._bytes

    def get(self, key: Hashable) -> Answer | None:
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: Hashable, answer: Answer) -> None:
        size = _size(answer)
        if size > self._limit // 16:  # one answer must not drive out all others
            return
        old = self._answers.pop(key, None)
        self._bytes += size - (0 if old is None else _size(old))
        self._answers[key] = answer
        while self._bytes > self._limit:
            _, gone = self._answers.popitem(last=False)
            self._bytes -= _size(gone)


def _size(answer: Answer) -> int:
    texts = sum(len(match.source) + len(match.target) + 200 for match in answer.matches)
    return _OVERHEAD + 4 * (2 * len(answer.source) + len(answer.text) + texts)

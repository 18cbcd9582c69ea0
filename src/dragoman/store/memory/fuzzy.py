"""The fuzzy index: which stored segments resemble a text, by the match of `core.memory.matching`, fast.

Two steps. First the candidates: an inverted index from token to segments, read from the query's rarest token to its
most frequent one until a budget of postings is spent. Then the exact match of the best candidates with rapidfuzz.

A `Part` is a set of NumPy arrays that never changes: it is built at once, saved as `.npy` files, and opened again
memory mapped, so several processes share it. Segments stand in the order of their length in tokens; so every posting
list is in the order of length as well, and the segments of fitting length are one slice of it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dragoman.core.memory.matching import FOLDED_SHARE, Kind, words
from dragoman.errors import CheckpointError

# Both are measured (docs/memory.md): more finds nothing more worth having, and costs time.
POSTINGS = 150_000  # read per query and part
CANDIDATES = 3000  # compared exactly per query and part

VERSION = 1  # of the files; another one is rebuilt
_KINDS = 3  # the low bits of a token's number say its kind

Ids = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@lru_cache(maxsize=1 << 18)
def _number(plain: str, kind: Kind) -> int:
    """A 64-bit number for a token, the same in every process; its lowest two bits are its kind."""
    value = int.from_bytes(hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    return value & ~_KINDS | kind


def encode(text: str) -> Hashes:
    """The tokens of a segment as numbers, uint64 [tokens]."""
    return np.array([_number(*word) for word in words(text)], dtype=np.uint64)


def key(text: str) -> int:
    """A signed 64-bit number that two segments share exactly when their tokens are the same."""
    digest = hashlib.blake2b(encode(text).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@dataclass(frozen=True, slots=True)
class Query:
    """A text made ready for the search: `hashes` uint64 [tokens], `codes` the tokens as one character each."""

    hashes: Hashes
    distinct: Hashes  # sorted
    plain: str
    folded: str

    @classmethod
    def of(cls, text: str) -> Self:
        hashes = encode(text)
        distinct, inverse = np.unique(hashes, return_inverse=True)
        codes = (inverse + _KINDS).astype(np.uint32)  # 0 = a token that the query lacks; 1 and 2 = folded kinds
        kinds = (hashes & np.uint64(_KINDS)).astype(np.uint32)
        return cls(hashes, distinct, _characters(codes), _characters(np.where(kinds > 0, kinds, codes)))


def _characters(codes: NDArray[np.uint32]) -> str:
    """One character for each code: rapidfuzz is fastest on text. Surrogates are skipped over, they do not decode."""
    return (codes + np.where(codes >= 0xD800, 0x800, 0).astype(np.uint32)).tobytes().decode("utf-32-le")


@dataclass(frozen=True)
class Part:
    """An immutable index over some segments. N segments, T tokens, V distinct tokens, P postings."""

    ids: Ids  # [N] the segments, shortest first
    starts: Ids  # [N + 1] where a segment's tokens start
    tokens: NDArray[np.int32]  # [T] places in `vocabulary`
    vocabulary: Hashes  # [V] sorted; also the bare kinds, for "any number" and "any placeholder"
    post_starts: Ids  # [V + 1]
    postings: NDArray[np.int32]  # [P] places in `ids`, ascending within a token

    def __post_init__(self) -> None:
        object.__setattr__(self, "_local", threading.local())
        object.__setattr__(self, "_lengths", np.diff(self.starts).astype(np.int32))

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def build(cls, ids: Ids, starts: Ids, hashes: Hashes) -> Part:
        """From segments in any order: ids [N], starts [N + 1], the tokens of all of them [T]."""
        order = np.argsort(np.diff(starts), kind="stable")
        lengths = np.diff(starts)[order]
        new_starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        hashes = hashes[_ragged(starts[:-1][order], lengths)]
        vocabulary, inverse = np.unique(
            np.concatenate([np.arange(1, _KINDS, dtype=np.uint64), hashes]), return_inverse=True
        )
        places = inverse[_KINDS - 1 :].astype(np.int32)
        rows = np.repeat(np.arange(len(ids), dtype=np.int32), lengths)
        kinds = (vocabulary & np.uint64(_KINDS)).astype(np.int8)[places]
        # the bare kinds are the smallest numbers, so their places in the vocabulary are kind - 1
        marked = kinds > 0
        pairs = np.concatenate([places, kinds[marked] - 1]).astype(np.int64)
        pairs = np.unique(pairs << 32 | np.concatenate([rows, rows[marked]]))
        counts = np.bincount(pairs >> 32, minlength=len(vocabulary))
        post_starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(ids[order], new_starts, places, vocabulary, post_starts, (pairs & 0xFFFFFFFF).astype(np.int32))

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Part:
        """One part with the segments of all."""
        lengths = np.concatenate([np.diff(p.starts) for p in parts])
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ids = np.concatenate([p.ids for p in parts])
        return cls.build(ids, starts, np.concatenate([p.vocabulary[p.tokens] for p in parts]))

    def save(self, folder: Path) -> None:
        """Write the arrays and a manifest into an empty folder; the caller renames it into place."""
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name), allow_pickle=False)
        (folder / "part.json").write_text(json.dumps({"version": VERSION, "segments": len(self)}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Part:
        """Open a saved part, memory mapped. Raises CheckpointError when it is damaged or of another version."""
        try:
            manifest = json.loads((folder / "part.json").read_text(encoding="utf-8"))
            if manifest["version"] != VERSION:
                raise ValueError(f"version {manifest['version']}, not {VERSION}")
            arrays = (np.load(folder / f"{f.name}.npy", mmap_mode="r", allow_pickle=False) for f in fields(cls))
            part = cls(*(np.asarray(array) for array in arrays))  # still mapped; plain arrays are read faster
            if len(part) != manifest["segments"]:
                raise ValueError("the counts do not fit")
            return part
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise CheckpointError(f"{folder}: damaged index ({error}). Delete the folder: it is built again.") from None

    # ---------------------------------------------------------------- search

    def search(
        self, query: Query, count: int, min_match: float = 0.0, candidates: int = CANDIDATES
    ) -> tuple[Ids, NDArray[np.float64]]:
        """The `count` best segments by match, best first: their ids and matches (at least `min_match`).

        At most so many `candidates` are compared exactly, and postings are read in proportion.
        """
        low, high = self._window(len(query.hashes), min_match)
        try:
            rows = self._candidates(query, low, high, candidates)
            matches = self._matches(query, rows)
        except BaseException:  # an interrupt may leave marks in the work arrays: the next search takes new ones
            object.__setattr__(self, "_local", threading.local())
            raise
        good = np.flatnonzero(matches >= min_match)
        best = good[np.lexsort((-self.ids[rows[good]], -matches[good]))][:count]  # newest first among equals
        return self.ids[rows[best]], matches[best]

    def _window(self, length: int, min_match: float) -> tuple[int, int]:
        """The rows whose length alone allows `min_match`: it is at most shorter / longer."""
        if min_match <= 0.0 or not length:
            return 0, len(self)
        # rows are in the order of length, so `starts` tells lengths without an array of its own: bisect over it
        return self._first_of_length(np.ceil(length * min_match - 1e-9)), self._first_of_length(
            np.floor(length / min_match + 1e-9) + 1
        )

    def _first_of_length(self, length: float) -> int:
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.starts[middle + 1] - self.starts[middle] < length:
                low = middle + 1
            else:
                high = middle
        return low

    def _lists(self, query: Query, low: int, high: int) -> list[NDArray[np.int32]]:
        """The posting lists of the query's tokens and kinds, within the window, shortest first."""
        kinds = np.unique(query.distinct & np.uint64(_KINDS))
        wanted = np.concatenate([query.distinct, kinds[kinds > 0]])
        places = np.minimum(np.searchsorted(self.vocabulary, wanted), len(self.vocabulary) - 1)
        places = places[self.vocabulary[places] == wanted]
        lists = []
        for place in places.tolist():
            found = self.postings[self.post_starts[place] : self.post_starts[place + 1]]
            if low > 0 or high < len(self):
                found = found[np.searchsorted(found, low) : np.searchsorted(found, high)]
            if len(found):
                lists.append(found)
        return sorted(lists, key=len)

    def _candidates(self, query: Query, low: int, high: int, most: int) -> NDArray[np.int64]:
        """At most `most` rows that share the most, and the rarest, tokens with the query."""
        scores, _ = self._scratch()
        seen, left = [], POSTINGS * most // CANDIDATES
        length = len(query.hashes)
        for each in self._lists(query, low, high):
            if left <= 0:
                break
            found = self._nearest(each, length, left).astype(np.int64)  # NumPy would convert at every use
            left -= len(found)
            current = scores.take(found)
            seen.append(found[current == 0.0])
            scores[found] = current + np.float32(np.log1p(len(self) / len(found)))
        if not seen:
            return np.zeros(0, dtype=np.int64)
        rows = np.concatenate(seen)
        if len(rows) > most:
            value = scores.take(rows) / np.maximum(self._lengths.take(rows), length)  # type: ignore[attr-defined]
            scores[rows] = 0.0
            return rows[np.argpartition(value, -most)[-most:]]
        scores[rows] = 0.0
        return rows

    def _nearest(self, postings: NDArray[np.int32], length: int, count: int) -> NDArray[np.int32]:
        """At most `count` of a posting list: the segments nearest in length."""
        if len(postings) <= count:
            return postings
        middle = int(np.searchsorted(postings, self._first_of_length(length + 0.5)))
        start = min(max(0, middle - count // 2), len(postings) - count)
        return postings[start : start + count]

    def _matches(self, query: Query, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The exact match of the query with each row."""
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cdist

        if not len(rows):
            return np.zeros(0)
        lengths = self.starts[rows + 1] - self.starts[rows]
        tokens = self.tokens[_ragged(self.starts[rows], lengths)].astype(np.int64)
        plain = self._codes(query, tokens)
        ends = np.cumsum(lengths).tolist()

        def distance(asked: str, codes: NDArray[np.uint32]) -> NDArray[np.int32]:
            text = _characters(codes)
            stored = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
            return np.asarray(cdist([asked], stored, scorer=Levenshtein.distance, dtype=np.int32)[0])

        total = distance(query.plain, plain) * 1.0
        if query.plain != query.folded:  # without numbers and placeholders in the query both distances are the same
            kinds = (self.vocabulary[tokens] & np.uint64(_KINDS)).astype(np.uint32)
            folded = distance(query.folded, np.where(kinds > 0, kinds, plain))
            total = FOLDED_SHARE * folded + (1.0 - FOLDED_SHARE) * total
        return np.asarray(1.0 - total / np.maximum(np.maximum(lengths, len(query.hashes)), 1))

    def _codes(self, query: Query, tokens: Ids) -> NDArray[np.uint32]:
        """Tokens as the query's codes, 0 where the query lacks them."""
        _, codes = self._scratch()
        places = np.minimum(np.searchsorted(self.vocabulary, query.distinct), len(self.vocabulary) - 1)
        held = self.vocabulary[places] == query.distinct
        codes[places[held]] = np.flatnonzero(held) + _KINDS
        found = codes[tokens]
        codes[places[held]] = 0
        return found

    def _scratch(self) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """Zeroed work arrays [N] and [V], one pair per thread; every user leaves them zeroed."""
        local: Any = self._local  # type: ignore[attr-defined]
        if not hasattr(local, "arrays"):
            local.arrays = np.zeros(len(self), np.float32), np.zeros(len(self.vocabulary), np.uint32)
        arrays: tuple[NDArray[np.float32], NDArray[np.uint32]] = local.arrays
        return arrays


def _ragged(starts: Ids, lengths: Ids) -> Ids:
    """Positions of several runs one after the other: starts [2, 7], lengths [2, 3] -> [2, 3, 7, 8, 9]."""
    ends = np.cumsum(lengths)
    shift = starts - (ends - lengths)
    return np.asarray(np.repeat(shift, lengths) + np.arange(ends[-1] if len(ends) else 0))


def encode_many(texts: Iterable[str]) -> tuple[Ids, Hashes]:
    """The tokens of many segments: where each starts [N + 1], and all numbers [T]."""
    from array import array

    hashes, starts = array("Q"), array("q", [0])
    for text in texts:
        hashes.extend([_number(*word) for word in words(text)])
        starts.append(len(hashes))
    return np.frombuffer(starts, dtype=np.int64), np.frombuffer(hashes, dtype=np.uint64)

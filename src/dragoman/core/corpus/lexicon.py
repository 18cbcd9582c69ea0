"""Word translation probabilities learned from a corpus by IBM model 1 (Brown et al. 1993), on arrays.

What stands for a word is its first letters, so that inflected forms are one; numbers stand whole, and text without
spaces is taken in overlapping n-grams. `core.corpus.alignment` uses it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import cast

import numpy as np
import regex
from numpy.typing import NDArray

from dragoman.core.text.western import ENCODING, Folding

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNEXPLAINED = 0.1  # probability that a word comes from nowhere
MOST_CELLS = 12_000_000  # word pairs held at once while probabilities are estimated (some 40 bytes each)
_MOST_PAIRS = 500_000  # word pairs that a table keeps: some 25 MB
_STEM = 5  # letters of a word that are looked at: inflected forms share them
_TOKENS = 128  # of one side that are looked at
_VOCABULARY = 60_000
_REMEMBERED = 1 << 16  # words whose first letters are kept at hand
_ROUNDS = 4
_RARE = 0.5  # added to a word's count when probabilities are taken: a word seen once proves little

_WORD = re.compile(r"[^\W\d_]+|\d+")
_MARKED_WORD = regex.compile(r"[\p{L}\p{M}]+|\p{Nd}+")
_SPLIT = regex.compile(
    r"(?P<han>\p{Han}+)|(?P<kana>[\p{Hiragana}\p{Katakana}ー]+)"
    r"|(?P<run>[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]+)|(?P<word>[\p{L}\p{M}]+|\p{Nd}+)"
)
# Where a word of unspaced text can begin: not with a vowel or sign that follows its consonant, not with the consonant
# after a vowel that is written before it, not below another consonant. A third to a half of all places.
_START = regex.compile(
    r"(?V1)(?<![\u0e40-\u0e44\u0ec0-\u0ec4\u1039\u17d2])[\p{L}--[\u0e30\u0e32\u0e33\u0e45\u0e46\u0eb0\u0eb2\u0eb3\u0ec6]]"
)
_NEEDS_SPLIT = re.compile("[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_HAS_MARKS = re.compile("[\u0300-\u036f\u0590-\u0dff\u1800-\u1cff]")


def tokens(text: str) -> list[str]:
    """What stands for words: their first letters, casefolded; numbers whole; n-grams where words are not spaced.

    In the order of first appearance, each once, at most 128.
    """
    if (folded := _FOLDING(text)) is not None:
        stems = dict.fromkeys(map(_STEMS.__getitem__, folded.split()))
        if None not in stems:
            return cast(list[str], list(stems)[:_TOKENS])
    text = text.casefold()
    if not text.isascii() and _NEEDS_SPLIT.search(text):
        found = [token for match in _SPLIT.finditer(text) for token in _pieces(match.lastgroup, match[0])]
    else:
        pattern = _MARKED_WORD if not text.isascii() and _HAS_MARKS.search(text) else _WORD
        found = [_word(word) for word in pattern.findall(text)]
    return list(dict.fromkeys(found))[:_TOKENS]


@lru_cache(maxsize=_REMEMBERED)
def _word(word: str) -> str:
    if word[0].isdecimal():
        return str(int(word[:20]))
    # a Hangul syllable says what two or three letters do
    return word[: 2 if "\uac00" <= word[0] <= "\ud7ff" else _STEM]


class _Stems(dict[bytes, str | None]):
    """Words as `_FOLDING` leaves them -> their first letters, or None for letters and digits in one. Fills as it is used."""

    def __missing__(self, word: bytes) -> str | None:
        if len(self) >= _REMEMBERED:
            self.clear()
        parts = _WORD.findall(word.decode(ENCODING))
        stem = self[word] = _word(parts[0]) if len(parts) == 1 else None
        return stem


_FOLDING = Folding(lambda character: character.casefold() if _WORD.match(character) else " ")
_STEMS = _Stems()


def _pieces(kind: str | None, run: str) -> list[str]:
    if kind == "word":
        return [_word(run)]
    if kind == "run":
        starts = [match.start() for match in _START.finditer(run)]
        return [run[start : start + _STEM] for start in starts if start + _STEM <= len(run)] or [run[:_STEM]]
    size = 2 if kind == "han" else 3
    return [run[start : start + size] for start in range(max(1, len(run) - size + 1))]


# ---------------------------------------------------------------- words as numbers


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths in one array: row i is flat[begin[i] : begin[i + 1]]."""

    flat: Ints
    begin: Ints

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
        return cls(flat, np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.begin) - 1

    @property
    def lengths(self) -> Ints:
        return np.diff(self.begin)

    @property
    def row(self) -> Ints:
        """The row that each value stands in."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: Ints) -> Ragged:
        lengths = self.lengths[rows]
        begin = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(begin[-1]) + np.repeat(self.begin[rows] - begin[:-1], lengths)
        return Ragged(self.flat[places], begin)


def cells(left: Ragged, right: Ragged, rows: Ints) -> tuple[Ints, Ints]:
    """Places in `left.flat` and in `right.flat` of all pairs of words that stand in one of the rows together."""
    tall, wide = left.lengths[rows], right.lengths[rows]
    word = np.arange(tall.sum()) + np.repeat(left.begin[rows] - (np.cumsum(tall) - tall), tall)
    partners = np.repeat(wide, tall)  # of each word on the left
    begin = np.repeat(right.begin[rows], tall) - (np.cumsum(partners) - partners)
    return np.repeat(word, partners), np.arange(partners.sum()) + np.repeat(begin, partners)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens that occur at least twice -> number; `share` is each one's part of all tokens."""

    number: dict[str, int]
    share: Floats

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> Vocabulary:
        counted = Counter(token for row in rows for token in row)
        common = [(token, count) for token, count in counted.most_common(_VOCABULARY) if count > 1]
        counts = np.array([count for _, count in common], dtype=np.float64)
        return cls({token: number for number, (token, _) in enumerate(common)}, counts / max(1.0, counts.sum()))

    def encode(self, rows: Sequence[Sequence[str]]) -> Ragged:
        number = self.number.get
        return Ragged.of([[found for found in map(number, row) if found is not None] for row in rows])


# ---------------------------------------------------------------- IBM model 1


class Table:
    """Translation probabilities of word pairs in both directions, in a hash table of arrays.

    Of two pairs that fall on one slot the weaker is forgotten: with four to eight slots for each, one in ten is.
    """

    def __init__(self, keys: Ints, targets: int, forward: Floats, backward: Floats) -> None:
        self.targets = targets  # a key is source * targets + target
        self._bits = max(4, (4 * len(keys)).bit_length())
        slots = np.full(1 << self._bits, -1, dtype=np.int32)
        order = np.argsort(np.maximum(forward, backward), kind="stable")
        keys, forward, backward = keys[order], forward[order], backward[order]
        slots[self._slot(keys)] = np.arange(len(keys), dtype=np.int32)  # the last one stays
        self._slots, self._keys = slots, np.append(keys, -1)
        self._values = np.stack([np.append(forward, 0), np.append(backward, 0)], axis=1).astype(np.float32)

    def _slot(self, keys: Ints) -> Ints:
        slot = keys.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash
        slot >>= np.uint64(64 - self._bits)
        return slot.view(np.int64)

    def find(self, keys: Ints) -> tuple[Ints, NDArray[np.float32]]:
        """(places in `keys` of those that are known, their probabilities [places, 2]: forward and backward)."""
        entry = self._slots[self._slot(keys)]
        known = np.flatnonzero(entry >= 0)  # most slots are empty
        entry = entry[known]
        same = self._keys[entry] == keys[known]
        return known[same], self._values[entry[same]]


def learn(source: Ragged, target: Ragged, source_share: Floats, target_share: Floats) -> Table:
    """Expectation maximisation with a word from nowhere and added counts (Moore 2004, "Improving IBM Word-Alignment")."""
    left, right = cells(source, target, np.arange(len(source)))
    cell_keys = source.flat[left] * len(target_share) + target.flat[right]
    order = np.argsort(cell_keys, kind="stable")  # equal pairs beside each other: what follows is read in one go
    left, right, cell_keys = left[order], right[order], cell_keys[order]
    start = np.flatnonzero(np.concatenate([[True], cell_keys[1:] != cell_keys[:-1]])[: len(cell_keys)])
    keys, times = cell_keys[start], np.diff(np.append(start, len(cell_keys)))
    pair_source, pair_target = keys // len(target_share), keys % len(target_share)
    del order, cell_keys

    def estimate(given: Ints, place: Ints, made_at: Floats, fan: Floats) -> Floats:
        # `place`: of the word that is made, for each cell; `made_at`: its share; `fan`: words that it may be made from
        probability = np.ones(len(keys))
        nowhere = UNEXPLAINED * fan * made_at
        for _ in range(_ROUNDS):
            weight = np.repeat(probability, times)
            total = np.bincount(place, weight, len(made_at)) * (1 - UNEXPLAINED) + nowhere
            counts = np.add.reduceat(weight * (1 - UNEXPLAINED) / total[place], start)
            probability = counts / (np.bincount(given, counts)[given] + _RARE)
        return probability

    source_fan, target_fan = target.lengths[source.row].astype(float), source.lengths[target.row].astype(float)
    forward = estimate(pair_source, right, target_share[target.flat], target_fan)
    backward = estimate(pair_target, left, source_share[source.flat], source_fan)
    # what is no likelier than chance says nothing, and of a large corpus the strongest pairs say enough
    gain = np.maximum(forward / target_share[pair_target], backward / source_share[pair_source])
    strength = np.where(gain > 1, np.maximum(forward, backward), 0)
    keep = np.flatnonzero(strength)
    if len(keep) > _MOST_PAIRS:
        keep = np.sort(np.argpartition(strength, -_MOST_PAIRS)[-_MOST_PAIRS:])
    return Table(keys[keep], len(target_share), forward[keep], backward[keep])

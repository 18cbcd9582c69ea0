"""Minimum Bayes risk: of many samples of a translation, the one that is most like all others under chrF.

Kumar & Byrne 2004; with samples from the model as both candidates and references, Eikema & Aziz 2020. The utility is
the sentence's chrF as sacreBLEU counts it. Exact: every candidate against every other one. Aggregated: every candidate
against the mean n-gram counts of all (Vamvas & Sennrich 2024, arXiv 2402.04251), which is linear in their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dragoman.core.scores.metrics import Floats

CHARACTERS, WORDS, BETA = 6, 2, 2  # chrF2++, as everywhere in dragoman; word order 0 makes it chrF2
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")  # chrF's own, ASCII only
_CODES = 2**62  # n-grams are numbers below this
_CELLS = 4_000_000  # of the indicator matrix held at once: 16 MB
_DIGITS = 9  # utilities closer than this are equal, so that rounding decides nothing

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate chosen (its first appearance) and its expected utility: mean chrF over all, in percent."""

    index: int
    utility: float


def choose(texts: Sequence[str], *, aggregate: bool = True, words: int = WORDS) -> Choice:
    """The candidate of the highest expected utility; among equals the first. `texts` must not be empty."""
    utilities = expected(texts, aggregate=aggregate, words=words)
    best = int(utilities.round(_DIGITS).argmax())
    return Choice(best, float(utilities[best]))


def expected(texts: Sequence[str], *, aggregate: bool = True, words: int = WORDS) -> Floats:
    """Expected utility [texts] in percent of each text, all texts being the references (itself too)."""
    counted = Counter(texts)
    unique = list(counted)
    shares = np.array(list(counted.values()), dtype=np.float64) / len(texts)
    found = _aggregated(unique, shares, words) if aggregate else pairwise(unique, words=words) @ shares
    place = {text: number for number, text in enumerate(unique)}
    return found[[place[text] for text in texts]]


def pairwise(texts: Sequence[str], *, words: int = WORDS) -> Floats:
    """Sentence chrF [texts, texts] in percent: row i is text i as the translation, column j text j as the reference."""
    size = len(texts)
    precision, orders = np.zeros((size, size)), np.zeros((size, size))
    for counts in _counts(texts, words):
        totals = counts.totals(size)
        some = totals > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            precision += np.where(some[:, None], counts.shared(size) / totals[:, None], 0.0)
        orders += some[:, None] & some
    # the matches of a pair are the same both ways, so recall is precision seen from the other side
    return _f_score(precision, precision.T, orders)


def _aggregated(texts: Sequence[str], shares: Floats, words: int) -> Floats:
    """chrF [texts] against one reference whose n-gram counts are the means of all; `shares` [texts] add up to 1."""
    size = len(texts)
    precision, recall, orders = np.zeros(size), np.zeros(size), np.zeros(size)
    for counts in _counts(texts, words):
        totals = counts.totals(size)
        mean = np.bincount(counts.gram, counts.count * shares[counts.text])
        matches = np.bincount(counts.text, np.minimum(counts.count, mean[counts.gram]), size)
        reference = float(totals @ shares)
        some = (totals > 0) & (reference > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision += np.where(some, matches / totals, 0.0)
            recall += np.where(some, matches / reference, 0.0)
        orders += some
    return _f_score(precision, recall, orders)


def _f_score(precision: Floats, recall: Floats, orders: Floats) -> Floats:
    """F-beta in percent of sums over the orders that both sides have (sacreBLEU's effective order)."""
    orders = np.maximum(orders, 1)
    precision, recall = precision / orders, recall / orders
    factor = BETA**2
    below = factor * precision + recall
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(below > 0, 100.0 * (1 + factor) * precision * recall / below, 0.0)
    return found


# ---------------------------------------------------------------- n-grams


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often texts have the n-grams of one order. One entry per text and n-gram that it has, sorted by n-gram."""

    gram: Ints  # [entries] numbered from 0
    text: Ints  # [entries]
    count: Ints  # [entries]

    def totals(self, texts: int) -> Floats:
        """n-grams [texts] of each text."""
        found: Floats = np.bincount(self.text, weights=self.count.astype(np.float64), minlength=texts).astype(
            np.float64
        )
        return found

    def shared(self, texts: int) -> Floats:
        """n-grams [texts, texts] that two texts have in common: the sum of the smaller counts.

        min(a, b) = sum over k of (a >= k)(b >= k): the k-th occurrence of an n-gram is a column of its own, the matrix
        holds 0 and 1 only, and the sums are one matrix product (exact: whole numbers below 2 ** 24).
        """
        found = np.zeros((texts, texts), dtype=np.float32)
        if not len(self.gram):
            return found.astype(np.float64)
        most = int(self.count.max())
        entry = np.repeat(np.arange(len(self.gram)), self.count)
        first = np.repeat(np.cumsum(self.count) - self.count, self.count)
        occurrence = np.arange(len(entry)) - first
        _, column = np.unique(self.gram[entry] * most + occurrence, return_inverse=True)
        row = self.text[entry]
        common = np.bincount(column)[column] > 1  # what one text alone has is shared with nobody
        row, column = row[common], column[common]
        step = max(1, _CELLS // texts)
        order = np.argsort(column, kind="stable")
        row, column = row[order], column[order]
        for start in range(0, int(column[-1]) + 1 if len(column) else 0, step):
            low, high = np.searchsorted(column, (start, start + step))
            block = np.zeros((texts, step if step < column[-1] + 1 else int(column[-1]) + 1), dtype=np.float32)
            block[row[low:high], column[low:high] - start] = 1.0
            found += block @ block.T
        np.fill_diagonal(found, self.totals(texts))
        return found.astype(np.float64)


def _counts(texts: Sequence[str], words: int) -> Iterator[_Counts]:
    """The counts of every order: characters (white space left out) 1 to 6, then words 1 to `words`."""
    bare = ["".join(text.split()) for text in texts]
    points = np.frombuffer("".join(bare).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    yield from _grams(points.astype(np.int64), [len(text) for text in bare], CHARACTERS)
    if words:
        known: dict[str, int] = {}
        lists = [_words(text) for text in texts]
        ids = [known.setdefault(word, len(known)) for row in lists for word in row]
        yield from _grams(np.array(ids, dtype=np.int64), [len(row) for row in lists], words)


def _words(text: str) -> list[str]:
    """Words with one sign of punctuation cut off, at the end or else at the beginning (Popović's chrF++)."""
    found = []
    for word in text.split():
        if len(word) > 1 and word[-1] in _PUNCTUATION:
            found += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in _PUNCTUATION:
            found += [word[0], word[1:]]
        else:
            found.append(word)
    return found


def _grams(symbols: Ints, lengths: Sequence[int], highest: int) -> Iterator[_Counts]:
    """Counts of the n-grams of orders 1 to `highest`; `symbols` are those of all texts, one after the other.

    An n-gram is a number to the base of the alphabet, so nothing collides; where it would become too large, the
    n-grams at hand are numbered anew.
    """
    texts = len(lengths)
    owner = np.repeat(np.arange(texts), lengths)
    alphabet, symbols = np.unique(symbols, return_inverse=True)
    base = max(1, len(alphabet))
    codes, span = symbols, base
    for order in range(1, highest + 1):
        if order > 1:
            inside = owner[order - 1 :] == owner[: max(0, len(owner) - order + 1)]
            if span * base * texts >= _CODES:
                present, codes = np.unique(codes, return_inverse=True)
                span = len(present)
            codes, span = codes[: len(inside)] * base + symbols[order - 1 :], span * base
        else:
            inside = np.ones(len(codes), dtype=bool)
        keys, count = np.unique(codes[inside] * texts + owner[: len(codes)][inside], return_counts=True)
        gram, text = np.divmod(keys, texts)
        number = np.cumsum(np.diff(gram, prepend=gram[:1]) != 0)
        yield _Counts(number, text, count)

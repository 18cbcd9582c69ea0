"""Whether two sides of a pair are translations of each other, learned from the user's own corpus, without labels.

The idea is Bicleaner's (Sánchez-Cartagena et al. 2018, "Prompsit's submission to WMT 2018 Parallel Corpus Filtering"):
take the corpus as it is for sound, spoil pairs of it on purpose, and learn to tell the two apart. Evidence comes from
word translation probabilities by IBM model 1 (Brown et al. 1993) in both directions, from lengths, numbers, names and
punctuation. Nothing else than the corpus is needed, so it works for any two languages that have some thousand pairs.

- A pair is never judged by probabilities that were estimated on it: its source decides which of several folds it belongs
  to, and each fold has tables from all the others.
- How much of the corpus is unsound is estimated from the mixture of scores, and no bound goes where it would cost more
  than a tenth of the sound pairs. Where the texts are too short to tell, nothing is rejected.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from math import fsum

import numpy as np
from numpy.typing import NDArray

from dragoman.core.corpus.lexicon import (
    MOST_CELLS,
    UNEXPLAINED,
    Floats,
    Ints,
    Ragged,
    Table,
    Vocabulary,
    cells,
    learn,
    tokens,
)
from dragoman.core.text.scripts import Profile

Tokens = list[list[str]]
_AT_ONCE = 2  # tables that are learned in threads of their own: each takes some 600 MB meanwhile
FEWEST = 1000  # pairs below which nothing can be learned
MOST = 40_000  # pairs that are used
_ROUNDS = 4  # of setting the bound and learning again without what lies below
_RIDGE = 10.0  # strength of the prior that each kind of evidence says nothing, in rows
_ENOUGH = 0.98  # share of the spoilt pairs that is found: beyond, a bound would only cost sound ones
_LOSE = 0.1  # estimated share of the sound pairs below which every bound stays
_USELESS = (
    0.5  # a judge rejects nothing when it finds less of the spoilt pairs, or holds more of the corpus for unsound
)
_PUNCTUATION = ("?？؟;", "!！", '"“”„«»「」『』‟', "(（[［", ":：")
_FINALS = {
    sign: number for number, signs in enumerate((".。।．۔", "?？؟", "!！", ":：…", "\"”»」’')）"), 1) for sign in signs
}


# ---------------------------------------------------------------- evidence


class _Batch:
    """Pairs with everything about them that does not depend on a table."""

    def __init__(self, pairs: Sequence[tuple[str, str]], known: tuple[Tokens, Tokens] | None = None) -> None:
        sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
        self.tokens = known or ([tokens(text) for text in sources], [tokens(text) for text in targets])
        left, right = (np.log(Profile(texts).words() + 0.5) for texts in (sources, targets))
        self.ratio: Floats = right - left
        self.size: Floats = np.minimum(left, right)
        self.final = np.array([(_final(source), _final(target)) for source, target in pairs], dtype=np.int64)
        ours, theirs = _signs(sources), _signs(targets)
        self.signs: Floats = (ours & theirs).astype(np.float64) - (ours ^ theirs)  # 1: on both sides, -1: on one only

    def __len__(self) -> int:
        return len(self.ratio)


def _final(text: str) -> int:
    """Class of the last character; 0 when it is none that ends sentences."""
    return _FINALS.get(text.rstrip()[-1:], 0)


@lru_cache(maxsize=1)
def _sign_table() -> NDArray[np.uint8]:
    """For each character of the basic plane the kinds of punctuation that it is, as bits."""
    table = np.zeros(1 << 16, dtype=np.uint8)
    for kind, signs in enumerate(_PUNCTUATION):
        table[[ord(sign) for sign in signs]] |= np.uint8(1 << kind)
    return table


def _signs(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which kinds of punctuation each text has [texts, kinds]."""
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    bits = _sign_table()[np.minimum(codes, 0xFFFF)]
    places = np.flatnonzero(bits)
    found = np.zeros(len(texts), dtype=np.uint8)
    np.bitwise_or.at(found, np.searchsorted(ends, places, side="right"), bits[places])
    kinds: NDArray[np.bool_] = (found[:, None] >> np.arange(len(_PUNCTUATION)) & 1).astype(bool)
    return kinds


def _shared(
    source: list[str], target: list[str], rarity: dict[str, float], rarest: float
) -> tuple[float, float, float]:
    """(rarity of tokens that stand on both sides, numbers on both sides, numbers on one side only)."""
    left = set(source)
    both = left.intersection(target)
    words = numbers = single = 0.0
    # a token below ":" is a number: digits are the only tokens that begin with a smaller character
    if both:
        # exactly: the order of a set differs from process to process, and so would the last digit
        words = fsum([rarity.get(token, rarest) for token in both if len(token) > 2 and token > ":"])
        numbers = float(sum([token < ":" for token in both]))
    if min(source, default=":") < ":" or min(target, default=":") < ":":
        single = float(len([token for token in left.symmetric_difference(target) if token < ":" and len(token) > 1]))
    return words, numbers, single


def _ratios(probability: Floats, words: Ragged, share: Floats, others: Ints) -> Floats:
    """How much likelier than chance each word is, given the other side, as logarithms [words].

    `probability` [words] is summed over the `others` [rows] words of the other side.
    """
    count = others[words.row]
    chance = share[words.flat] * np.maximum(count, 1)
    ratio: Floats = np.log((1 - UNEXPLAINED) * probability / chance + UNEXPLAINED)
    ratio[count == 0] = 0
    return ratio


def _usual(ratio: Floats, words: Ragged, size: int, fold: Ints, folds: int) -> Floats:
    """Each word's mean ratio in all folds but one [folds, vocabulary], drawn to the mean of all where it is rare."""
    mean = ratio.mean() if len(ratio) else 0.0
    cell = fold[words.row] * size + words.flat
    total = np.bincount(cell, ratio, folds * size).reshape(folds, size)
    count = np.bincount(cell, minlength=folds * size).reshape(folds, size)
    usual: Floats = (total.sum(0) - total + 5 * mean) / (count.sum(0) - count + 5)
    return usual


def _summary(ratio: Floats, words: Ragged, usual: Floats, fold: Ints) -> list[Floats]:
    """Evidence [rows] from one side's ratios: sum and mean, and how far below the usual its three thirds lie."""
    row, rows = words.row, len(words)
    total = np.bincount(row, ratio, rows)
    short = ratio - usual[fold[row], words.flat]
    third = (np.arange(len(row)) - words.begin[row]) * 3 // np.maximum(words.lengths[row], 1)
    cell = row * 3 + third
    thirds = (np.bincount(cell, short, rows * 3) / (np.bincount(cell, minlength=rows * 3) + 2)).reshape(rows, 3)
    return [total, total / np.maximum(words.lengths, 1), *thirds.T, thirds[:, 2] - thirds[:, 0]]


# ---------------------------------------------------------------- logistic regression


@dataclass(frozen=True, slots=True)
class Judge:
    """Log-odds that a pair is sound, when sound and spoilt ones were equally many."""

    weights: Floats  # the last one stands alone
    guard: float  # bound that no threshold passes: few sound pairs are lost where the two are hard to tell
    unsound: float  # estimated share of the corpus
    spoilt: Floats  # odds of the pairs that were spoilt on purpose, in order

    def score(self, evidence: Floats) -> Floats:
        odds: Floats = evidence @ self.weights[:-1] + self.weights[-1]
        return odds

    def bound(self, threshold: float) -> float:
        """The odds below which a pair is spoilt with at least this probability, or the guard if that is lower."""
        return min(self.guard, float(np.log(max(1 - threshold, 1e-9) / max(threshold, 1e-9))))

    def caught(self, threshold: float) -> float:
        """Share of the pairs spoilt on purpose that are below the bound."""
        return float(_below(self.spoilt, np.array([self.bound(threshold)]))[0])


def _regress(sound: Floats, spoilt: Floats) -> Floats:
    """Weights of a logistic regression with even odds: Newton's method with a little ridge and step halving."""
    values = np.concatenate([sound, spoilt])
    values = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    sign = np.concatenate([np.ones(len(sound)), -np.ones(len(spoilt))])
    mass = np.concatenate([np.full(len(sound), 0.5 / len(sound)), np.full(len(spoilt), 0.5 / len(spoilt))])
    ridge = np.append(np.full(sound.shape[1], _RIDGE / len(values)), 0.0)

    def loss(weights: Floats) -> float:
        return float(mass @ np.logaddexp(0, -sign * (values @ weights)) + 0.5 * ridge @ weights**2)

    weights = np.zeros(values.shape[1])
    for _ in range(30):
        wrong = 1 / (1 + np.exp(np.clip(sign * (values @ weights), -30, 30)))
        slope = values.T @ (mass * sign * wrong) - ridge * weights
        curve = (values * (mass * wrong * (1 - wrong))[:, None]).T @ values + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curve, slope)
        before = loss(weights)
        while loss(weights + step) > before and np.abs(step).max() > 1e-6:
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < 1e-4:
            break
    return weights


def _judge(corpus: Floats, spoilt: Floats) -> Judge:
    """Learn to tell sound from spoilt, and how far the bound may go.

    The corpus is a mixture of sound pairs and of some that are like the spoilt ones. Among scores below the median of the
    spoilt there is hardly a sound one, so what the corpus has there tells the share of the unsound, and with it the
    share of the sound that lies below any bound. What is more likely spoilt is left out when the regression is learned
    again.
    """
    sound = np.ones(len(corpus), dtype=bool)
    for _ in range(_ROUNDS):
        weights = _regress(corpus[sound], spoilt)
        judge = Judge(weights, 0.0, 0.0, np.zeros(0))
        ours, theirs = judge.score(corpus), np.sort(judge.score(spoilt))
        ordered, middle = np.sort(ours), theirs[len(theirs) // 2 : len(theirs) // 2 + 1]
        unsound = float((_below(ordered, middle) / _below(theirs, middle))[0])
        grid = np.concatenate([ordered, theirs])
        lost = (_below(ordered, grid) - unsound * _below(theirs, grid)) / max(0.01, 1 - unsound)
        guard = min(float(grid[lost <= _LOSE].max(initial=-np.inf)), float(np.quantile(theirs, _ENOUGH)))
        if unsound > _USELESS or _below(theirs, np.array([min(guard, 0.0)]))[0] < _USELESS:
            guard = -np.inf
        judge = Judge(weights, guard, unsound, theirs)
        sound = ours > min(guard, 0.0)
    return judge


def _below(ordered: Floats, values: Floats) -> Floats:
    """Share of `ordered` at or below each value."""
    share: Floats = np.searchsorted(ordered, values, side="right") / max(1, len(ordered))
    return share


# ---------------------------------------------------------------- the model


def _fold(source: str, folds: int) -> int:
    return zlib.crc32(source.encode("utf-8", "surrogatepass")) % folds


class AlignmentModel:
    """Judges the pairs of one direction by tables and judges that `fit` made. Safe to send to another process."""

    def __init__(self, vocabulary: tuple[Vocabulary, Vocabulary], tables: Sequence[Table]) -> None:
        self._vocabulary, self._tables = vocabulary, list(tables)
        source = vocabulary[0]
        self._rarity = {token: -float(np.log(source.share[number])) for token, number in source.number.items()}
        self._rarest = max(self._rarity.values(), default=1.0)
        self._center = self._spread = np.zeros(0)
        self._ratio = (0.0, 1.0)
        self._usual: list[Floats] = []
        self._finals = np.zeros((1, 1))
        self.alignment = self.coverage = Judge(np.zeros(1), -np.inf, 0.0, np.zeros(0))

    @classmethod
    def fit(cls, pairs: Sequence[tuple[str, str]], *, seed: int = 0) -> AlignmentModel | None:
        """Learn from (source, target) pairs of one direction; None when there are too few.

        At most 40,000 pairs are used.
        """
        random = np.random.default_rng(seed)
        pairs = list(dict.fromkeys(pairs))
        if len(pairs) > MOST:
            pairs = [pairs[place] for place in np.sort(random.permutation(len(pairs))[:MOST])]
        if len(pairs) < FEWEST:
            return None
        folds = 8 if len(pairs) < 5000 else 4 if len(pairs) < 20000 else 2
        fold = np.array([_fold(source, folds) for source, _ in pairs])
        batch = _Batch(pairs)
        vocabulary = Vocabulary.of(batch.tokens[0]), Vocabulary.of(batch.tokens[1])
        encoded = [side.encode(rows) for side, rows in zip(vocabulary, batch.tokens, strict=True)]
        others = []
        for number in range(folds):
            rest = random.permutation(np.flatnonzero(fold != number))
            needed = np.cumsum(encoded[0].lengths[rest] * encoded[1].lengths[rest])
            others.append(np.sort(rest[needed <= MOST_CELLS]))

        def table(rows: Ints) -> Table:
            return learn(encoded[0].take(rows), encoded[1].take(rows), vocabulary[0].share, vocabulary[1].share)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            model = cls(vocabulary, list(pool.map(table, others)))
        model._train(pairs, batch, fold, random)
        return model

    def _train(self, pairs: Sequence[tuple[str, str]], batch: _Batch, fold: Ints, random: np.random.Generator) -> None:
        self._ratio = (
            float(np.median(batch.ratio)),
            0.05 + 1.4826 * float(np.median(np.abs(batch.ratio - np.median(batch.ratio)))),
        )
        joint = np.full((len(set(_FINALS.values())) + 1,) * 2, 0.5)
        np.add.at(joint, (batch.final[:, 0], batch.final[:, 1]), 1)
        joint /= joint.sum()
        self._finals = np.log(joint / joint.sum(1, keepdims=True) / joint.sum(0, keepdims=True))
        sound = self._evidence(batch, fold)
        self._center, self._spread = sound.mean(0), sound.std(0) + 1e-6
        sound = self._scaled(sound)
        mates = _repaired(batch, fold, random)
        spoilt = [(pairs[i][0], pairs[j][1]) for i, j in mates]
        known = [batch.tokens[0][i] for i, _ in mates], [batch.tokens[1][j] for _, j in mates]
        self.alignment = _judge(sound, self._scaled(self._evidence(_Batch(spoilt, known), fold)))
        rows = np.flatnonzero(self.alignment.score(sound) > min(self.alignment.guard, 0.0))
        spoilt = [_cut(pairs[row], random) for row in rows.tolist()]
        self.coverage = _judge(sound[rows], self._scaled(self._evidence(_Batch(spoilt), fold[rows])))

    def _scaled(self, evidence: Floats) -> Floats:
        scaled: Floats = np.clip((evidence - self._center) / self._spread, -8, 8)
        return scaled

    def _evidence(self, batch: _Batch, fold: Ints) -> Floats:
        """What speaks for and against each pair [pairs, kinds of evidence]."""
        source, target = (side.encode(rows) for side, rows in zip(self._vocabulary, batch.tokens, strict=True))
        forward, backward = np.zeros(len(target.flat)), np.zeros(len(source.flat))
        for number, table in enumerate(self._tables):
            rows = np.flatnonzero(fold == number)
            if len(rows):
                self._look_up(table, source, target, rows, forward, backward)
        ratios = (
            _ratios(backward, source, self._vocabulary[0].share, target.lengths),
            _ratios(forward, target, self._vocabulary[1].share, source.lengths),
        )
        if not self._usual:
            self._usual = [
                _usual(ratio, side, len(vocabulary.share), fold, len(self._tables))
                for ratio, side, vocabulary in zip(ratios, (source, target), self._vocabulary, strict=True)
            ]
        lexical = _summary(ratios[0], source, self._usual[0], fold) + _summary(ratios[1], target, self._usual[1], fold)
        shared = np.array(
            [_shared(left, right, self._rarity, self._rarest) for left, right in zip(*batch.tokens, strict=True)]
        ).reshape(-1, 3)
        z = (batch.ratio - self._ratio[0]) / self._ratio[1]
        finals = self._finals[batch.final[:, 0], batch.final[:, 1]]
        both = lexical[1] + lexical[7]
        columns = [*lexical, *shared.T, z, np.abs(z), np.minimum(z * z, 30), batch.size, batch.size * np.abs(z), finals]
        columns += [both * both, both * batch.size, np.minimum(lexical[1], lexical[7]), *batch.signs.T]
        return np.stack(columns, axis=1)

    @staticmethod
    def _look_up(table: Table, source: Ragged, target: Ragged, rows: Ints, forward: Floats, backward: Floats) -> None:
        """Add each word's probability given all words of the other side, for some rows, in place."""
        left, right = cells(source, target, rows)
        known, found = table.find(source.flat[left] * table.targets + target.flat[right])
        forward += np.bincount(right[known], found[:, 0], len(forward))
        backward += np.bincount(left[known], found[:, 1], len(backward))

    def judge(self, pairs: Sequence[tuple[str, str]]) -> tuple[Floats, Floats]:
        """Log-odds [pairs] that the sides belong together, and that neither lacks a part of the other."""
        fold = np.array([_fold(source, len(self._tables)) for source, _ in pairs])
        evidence = self._scaled(self._evidence(_Batch(pairs), fold))
        return self.alignment.score(evidence), self.coverage.score(evidence)


def _repaired(batch: _Batch, fold: Ints, random: np.random.Generator) -> list[tuple[int, int]]:
    """Each row with another one of its fold: half of them at random, half with one that shares a rare word.

    The latter are like the neighbours of a segment in its document, which misalignment by one row brings.
    """
    found = []
    for number in np.unique(fold):
        rows = random.permutation(np.flatnonzero(fold == number)).tolist()
        having: dict[str, list[int]] = {}
        for row in rows:
            for token in batch.tokens[0][row]:
                having.setdefault(token, []).append(row)
        for place, row in enumerate(rows):
            other = rows[(place + 1) % len(rows)]
            near = [having[token] for token in batch.tokens[0][row] if len(having[token]) > 1] if place % 2 else []
            if near:
                sharing = min(near, key=len)
                other = sharing[(sharing.index(row) + 1) % len(sharing)]
            found.append((row, other))
    return sorted(found)


def _cut(pair: tuple[str, str], random: np.random.Generator) -> tuple[str, str]:
    """The pair with one side cut to between a tenth and six tenths of its characters."""
    keep = random.uniform(0.1, 0.6)
    side = int(random.random() < 0.5)
    kept = pair[side][: max(1, round(len(pair[side]) * keep))]
    return (pair[0], kept) if side else (kept, pair[1])

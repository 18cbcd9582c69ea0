"""Drift: does a window of translations in use look like the held-out set, and if not, in what.

Every feature is tested by itself: the place of numbers by ranks (Mann and Whitney 1947), their shape by chi-square over ten
bins of equal weight, rates by Fisher's exact test. A population stability index would alarm by the sample's size alone (its
mean under no drift is (bins - 1)(1/n + 1/m)); so a finding needs significance, corrected over all tests (Benjamini and Hochberg
1995), and an effect that matters. All sources together are told apart from the normal ones by a linear classifier on their
sketches (its area under the curve on segments that it was not fitted on; Lopez-Paz and Oquab 2017) and by the maximum mean
discrepancy with permutations (Gretton et al. 2012). A word that training never had and that many segments share is named alone.

The tests take segments as independent. A window of few long documents is less than its number of segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dragoman.core.watch.features import FEATURES, NAMES, Hashes, Numbers, Side

FEWEST = 200  # segments on either side; fewer say too little
_BINS = 10
_PLACE = (
    0.1  # least Cliff's delta: how much likelier a value of the window is to be larger than a normal one than smaller
)
_SHAPE = 0.05  # least stability index above what chance alone leaves
_RATE = 0.02  # least difference of two rates ...
_RATIO = 1.5  # ... and least ratio, where the normal one is not nearly 0
_AUC = 0.53
_PERMUTATIONS = 999
_SHARED = 0.01  # least share of a window that has the same new word
_MOST = 1_000  # segments of a side that the multivariate tests look at
_RIDGE = 1.0

Sketches = NDArray[np.int8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Segments measured: features [n, NAMES], sketches [n, SKETCH], hashes of the unknown words of each."""

    features: Numbers
    sketches: Sketches
    unknown: Sequence[Hashes]

    def __len__(self) -> int:
        return len(self.features)

    def column(self, name: str) -> Floats:
        """The values of a feature, where it was measured."""
        values = self.features[:, NAMES.index(name)].astype(np.float64)
        return values[~np.isnan(values)]


@dataclass(frozen=True, slots=True)
class Found:
    """One test. `normal` and `now` are means (rates, areas); `q`: p corrected over all tests of the window."""

    name: str
    side: Side
    title: str
    normal: float
    now: float
    effect: float
    p: float
    enough: bool  # the effect is large enough to matter
    q: float = 1.0
    drifted: bool = False
    words: tuple[int, ...] = ()  # hashes of the new words

    @property
    def change(self) -> Literal["higher", "lower"]:
        return "higher" if self.now >= self.normal else "lower"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "change": self.change}


def compare(normal: Sample, window: Sample, *, level: float = 0.01, seed: int = 0) -> list[Found]:
    """All tests of a window, those that drifted first. Empty where either side has fewer than FEWEST segments.

    `level` bounds the share of false findings among the findings (q).
    """
    if min(len(normal), len(window)) < FEWEST:
        return []
    found = [one for name in NAMES if (one := _feature(name, normal.column(name), window.column(name))) is not None]
    random = np.random.default_rng(seed)
    ours, theirs = _some(normal.sketches, random), _some(window.sketches, random)
    found += [_classified(ours, theirs, random), _discrepancy(ours, theirs, random)]
    found += [_new_words(normal, window)]
    return sorted(_corrected(found, level), key=lambda one: (not one.drifted, one.q, -abs(one.effect)))


def _feature(name: str, normal: Floats, now: Floats) -> Found | None:
    """None where a side was hardly measured."""
    if min(len(normal), len(now)) < FEWEST // 2:
        return None
    test = _rates if FEATURES[name].rate else _numbers
    return test(name, normal, now)


def _rates(name: str, normal: Floats, now: Floats) -> Found:
    from scipy.stats import fisher_exact

    about = FEATURES[name]
    hits, before = int(now.sum()), int(normal.sum())
    table = [[hits, len(now) - hits], [before, len(normal) - before]]
    p = float(fisher_exact(table, alternative="greater" if about.worse else "two-sided").pvalue)
    low, high = sorted((normal.mean(), now.mean()))
    enough = high - low >= _RATE and high >= _RATIO * low
    return Found(name, about.side, about.title, normal.mean(), now.mean(), now.mean() - normal.mean(), p, bool(enough))


def _numbers(name: str, normal: Floats, now: Floats) -> Found:
    from scipy.stats import chi2, mannwhitneyu

    about = FEATURES[name]
    ranked = mannwhitneyu(now, normal, method="asymptotic")
    delta = 2 * float(ranked.statistic) / (len(now) * len(normal)) - 1
    place = float(ranked.pvalue) if np.ptp(np.concatenate([now, normal])) else 1.0
    counts = _binned(normal, now)
    kinds = counts.shape[1]
    shape, index = 1.0, 0.0
    if kinds > 1:
        total = counts.sum(axis=0)
        expected = counts.sum(axis=1, keepdims=True) * total / total.sum()
        statistic = float(((counts - expected) ** 2 / expected).sum())
        shape = float(chi2.sf(statistic, kinds - 1))
        a, b = ((row + 0.5) / (row.sum() + 0.5 * kinds) for row in counts)
        index = float(((a - b) * np.log(a / b)).sum()) - (kinds - 1) * (1 / len(normal) + 1 / len(now))
    enough = (abs(delta) >= _PLACE and place <= shape) or (index >= _SHAPE and shape <= place)
    effect = delta if place <= shape else index
    p = min(1.0, 2 * min(place, shape))
    return Found(name, about.side, about.title, float(normal.mean()), float(now.mean()), effect, p, enough)


def _binned(normal: Floats, now: Floats) -> Floats:
    """Counts [2, bins] over bins of equal weight in both together; values that many share make fewer bins."""
    both = np.concatenate([normal, now])
    edges = np.unique(np.quantile(both, np.linspace(0, 1, _BINS + 1)[1:-1]))
    counts = np.stack([np.bincount(np.searchsorted(edges, x, "left"), minlength=len(edges) + 1) for x in (normal, now)])
    kept: Floats = counts[:, counts.sum(axis=0) > 0].astype(np.float64)
    return kept


def _some(sketches: Sketches, random: np.random.Generator) -> Floats:
    """At most _MOST of them, each of length 1."""
    chosen = (
        sketches if len(sketches) <= _MOST else sketches[np.sort(random.choice(len(sketches), _MOST, replace=False))]
    )
    rows = chosen.astype(np.float64)
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return unit


def _classified(normal: Floats, now: Floats, random: np.random.Generator) -> Found:
    """A ridge classifier fitted on one half, read on the other, twice."""
    from scipy.stats import norm, rankdata

    areas = []
    halves = [np.array_split(random.permutation(len(x)), 2) for x in (normal, now)]
    for mine, other in ((0, 1), (1, 0)):
        rows = [np.concatenate([normal[halves[0][part]], now[halves[1][part]]]) for part in (mine, other)]
        sizes = [(len(halves[0][part]), len(halves[1][part])) for part in (mine, other)]
        label = np.repeat([-1.0 / sizes[0][0], 1.0 / sizes[0][1]], sizes[0])  # both sides weigh the same
        centre = rows[0].mean(axis=0)
        x = rows[0] - centre
        weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ (label * len(x)))
        ranks = rankdata((rows[1] - centre) @ weights)
        n, m = sizes[1]
        areas.append((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))
    area = float(np.mean(areas))
    spread = np.sqrt((len(normal) + len(now) + 1) / (12 * len(normal) * len(now)))
    p = float(norm.sf((area - 0.5) / spread))
    title = "sources told apart from the normal ones (area under the curve)"
    return Found("domain", "input", title, 0.5, area, area - 0.5, p, area >= _AUC)


def _discrepancy(normal: Floats, now: Floats, random: np.random.Generator) -> Found:
    """Squared maximum mean discrepancy with a Gaussian kernel as wide as the median distance."""
    both = np.concatenate([normal, now])
    distances = np.maximum(2 - 2 * both @ both.T, 0)
    kernel = np.exp(-distances / max(float(np.median(distances)), 1e-9))
    n, m = len(normal), len(now)
    label = np.repeat([1.0 / n, -1.0 / m], [n, m])
    orders = np.stack([label, *(random.permutation(label) for _ in range(_PERMUTATIONS))], axis=1)
    values = (orders * (kernel @ orders)).sum(axis=0)
    p = float((values >= values[0] - 1e-12).mean())
    usual = float(values[1:].mean())
    title = "all sources together (maximum mean discrepancy)"
    return Found(
        "discrepancy", "input", title, usual, float(values[0]), float(values[0] / usual), p, bool(values[0] > usual)
    )


def _new_words(normal: Sample, window: Sample) -> Found:
    """Words that training never had and that many segments of the window share, more than any such word normally does."""
    from scipy.stats import binom

    usual = max(_shares(normal).values(), default=0.0)
    shares = _shares(window)
    limit = max(_SHARED, 2 * usual)
    new = sorted((word for word, share in shares.items() if share >= limit), key=lambda word: -shares[word])
    most = max(shares.values(), default=0.0)
    # the chance of a word so frequent, were it in truth as frequent as the most frequent unknown word normally is
    chance = float(binom.sf(round(most * len(window)) - 1, len(window), max(usual, 1 / len(normal))))
    p = min(1.0, chance * max(1, len(shares)))
    title = "the most frequent word that training never had"
    return Found("new_words", "input", title, usual, most, most - usual, p, bool(new), words=tuple(new[:20]))


def _shares(sample: Sample) -> dict[int, float]:
    held = [codes for codes in sample.unknown if len(codes)]
    if not held:
        return {}
    codes, counts = np.unique(np.concatenate(held), return_counts=True)
    return {int(code): count / len(sample) for code, count in zip(codes, counts, strict=True)}


def _corrected(found: Sequence[Found], level: float) -> list[Found]:
    """Benjamini and Hochberg's q of each test, and which findings stand."""
    from dataclasses import replace

    order = sorted(range(len(found)), key=lambda number: found[number].p)
    corrected = [1.0] * len(found)
    least = 1.0
    for rank in range(len(order), 0, -1):
        least = min(least, found[order[rank - 1]].p * len(order) / rank)
        corrected[order[rank - 1]] = least
    return [replace(one, q=q, drifted=q <= level and one.enough) for one, q in zip(found, corrected, strict=True)]

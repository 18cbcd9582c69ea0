"""BLEU, chrF++ and TER, computed by sacreBLEU, as scores that carry their signature.

Every metric here is a function of sums over segments. `Segments` keeps one row of these sufficient statistics per
segment; a corpus score, a score of some of the segments, and ten thousand resampled scores all come from the same rows.
The reported value is always sacreBLEU's own; the vectorised formulas serve resampling and single segments only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.core.text.languages import primary, script
from dragoman.errors import DataError

Floats = NDArray[np.float64]

# The sign of "better": a gain is (value - baseline's value) times this.
BETTER: Mapping[str, int] = {"bleu": 1, "chrf": 1, "ter": -1}
TITLES: Mapping[str, str] = {"bleu": "BLEU", "chrf": "chrF2++", "ter": "TER"}

_BLEU_ORDER, _CHRF_BETA = 4, 2
_MECAB = {"ja": "ja-mecab", "ko": "ko-mecab"}
_EAST_ASIAN = ("Hans", "Hant", "Hani", "Jpan")
_UNSPACED = ("Thai", "Laoo", "Khmr", "Mymr", "Tibt")


@dataclass(frozen=True, slots=True)
class Score:
    """A corpus score, how it was made, and (where it was computed) its confidence interval."""

    metric: str  # bleu, chrf, ter
    name: str  # sacreBLEU's: BLEU, chrF2++, TER
    value: float  # percent
    signature: str
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.name}|{self.signature} = {self.value:.2f}{interval}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Segments:
    """One metric's sufficient statistics of a system's translations: `rows` [segments, counts], whole numbers."""

    metric: str
    rows: Floats
    signature: str
    _owner: Any = field(repr=False, compare=False)  # the sacreBLEU metric that made the rows

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, kept: NDArray[np.bool_]) -> Segments:
        """The segments where the mask [segments] is true."""
        return Segments(self.metric, self.rows[kept], self.signature, self._owner)

    @property
    def score(self) -> Score:
        """The corpus score: sacreBLEU's own arithmetic on the summed rows. Raises DataError without segments."""
        if not len(self):
            raise DataError("there is nothing to score: the set has no segments.")
        sums = [int(value) if value.is_integer() else value for value in self.rows.sum(0).tolist()]
        found = self._owner._compute_score_from_stats(sums)
        return Score(self.metric, str(found.name), float(found.score), self.signature)

    def values(self, sums: Floats) -> Floats:
        """Scores [...] of many corpora at once from their summed rows [..., counts]."""
        return FORMULAS[self.metric](sums)

    @property
    def single(self) -> Floats:
        """The score [segments] of every segment on its own (for BLEU without effective order: mostly 0)."""
        return self.values(self.rows)


def segments(metric: str, hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> Segments:
    """Count what the metric needs, segment by segment. `language` is the target's tag: it chooses the tokenizer.

    Raises DataError when the two lists do not fit together.
    """
    if len(hypotheses) != len(references):
        raise DataError(f"{len(hypotheses)} translations cannot be scored against {len(references)} references.")
    if not references:
        raise DataError("there is nothing to score: the set has no segments.")
    owner = _owner(metric, language)
    # The sums over segments are no public part of sacreBLEU; tests/core/test_metrics.py pins them to its public scores.
    rows = np.array(owner._extract_corpus_statistics(hypotheses, [references]), dtype=np.float64)
    return Segments(metric, rows, str(owner.get_signature()), owner)


def score(metric: str, hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> Score:
    """A corpus score, equal to the `sacrebleu` command's to the last digit (see `command` for its options)."""
    return segments(metric, hypotheses, references, language).score


# ---------------------------------------------------------------- sacreBLEU's settings


def _owner(metric: str, language: str) -> Any:
    from sacrebleu.metrics import BLEU, CHRF, TER

    if metric == "bleu":
        return BLEU(tokenize=_tokenizer(language), force=True)
    if metric == "chrf":
        return CHRF(word_order=2)
    if metric == "ter":
        east_asian = bool(language) and script(language) in _EAST_ASIAN
        return TER(normalized=east_asian, asian_support=east_asian)
    raise DataError(f"no such metric: {metric}. There are {', '.join(BETTER)}.")


def _tokenizer(language: str) -> str:
    """sacreBLEU's choice for the target language, where words can be told apart; characters elsewhere.

    Japanese and Korean want MeCab (`sacrebleu[ja]`, `sacrebleu[ko]`); without it, Japanese is scored on characters and
    Korean, which has spaces, with 13a. The signature says which.
    """
    if not language:
        return "13a"
    wanted = _MECAB.get(primary(language))
    if wanted:
        return wanted if _works(wanted) else ("char" if primary(language) == "ja" else "13a")
    if script(language) in _EAST_ASIAN:
        return "zh"
    return "char" if script(language) in _UNSPACED else "13a"


def _works(tokenizer: str) -> bool:
    from sacrebleu.metrics import BLEU

    try:
        BLEU(tokenize=tokenizer)
    except (ImportError, RuntimeError):
        return False
    return True


def command(metric: str, language: str = "") -> list[str]:
    """The options that make the `sacrebleu` command compute this very score."""
    if metric == "bleu":
        return ["-m", "bleu", "-tok", _tokenizer(language)]
    if metric == "chrf":
        return ["-m", "chrf", "--chrf-word-order", "2"]
    east_asian = bool(language) and script(language) in _EAST_ASIAN
    return ["-m", "ter", *(["--ter-normalized", "--ter-asian-support"] if east_asian else [])]


def signed(signature: str, **test: int) -> str:
    """The signature of a paired test, as sacreBLEU writes it: `signed(s, bs=1000, seed=12345)`."""
    first, rest = signature.split("|", 1)
    return "|".join([first, *(f"{key}:{value}" for key, value in test.items()), rest])


# ---------------------------------------------------------------- the formulas, over many corpora at once


def _bleu(sums: Floats) -> Floats:
    """BLEU with exponential smoothing (Chen & Cherry 2014, method 3, as sacreBLEU's default)."""
    length, reference = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2 : 2 + _BLEU_ORDER], sums[..., 2 + _BLEU_ORDER :]
    missed = correct == 0
    possible = (correct > 0).any(-1) & (total > 0).all(-1)
    halved = 2.0 ** np.cumsum(missed, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = 100.0 * np.where(missed, 1.0 / halved, correct) / total
        brevity = np.where(length < reference, np.exp(1.0 - reference / length), 1.0)
        found: Floats = np.where(possible, brevity * np.exp(np.log(precision).sum(-1) / _BLEU_ORDER), 0.0)
    return found


def _chrf(sums: Floats) -> Floats:
    """chrF++ (Popović 2017): F2 of the precisions and recalls averaged over the orders that both sides have."""
    hypothesis, reference, match = (sums[..., part::3] for part in range(3))
    both = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(both.sum(-1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(both, match / hypothesis, 0.0).sum(-1) / orders
        recall = np.where(both, match / reference, 0.0).sum(-1) / orders
        factor = _CHRF_BETA**2
        value = 100.0 * (1 + factor) * precision * recall / (factor * precision + recall)
        found: Floats = np.where(precision + recall > 0, value, 0.0)
    return found


def _ter(sums: Floats) -> Floats:
    """TER (Snover et al. 2006): edits per reference word; 100 for edits without any reference word."""
    edits, words = sums[..., 0], sums[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(words > 0, 100.0 * edits / words, np.where(edits > 0, 100.0, 0.0))
    return found


FORMULAS: Mapping[str, Callable[[Floats], Floats]] = {"bleu": _bleu, "chrf": _chrf, "ter": _ter}

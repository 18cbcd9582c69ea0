"""BLEU (Papineni et al. 2002), by sacreBLEU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dragoman.core.scores.metrics.counter import Counter, Floats, SacreBleu, east_asian
from dragoman.core.text.languages import primary, script

_ORDER = 4
_MECAB = {"ja": "ja-mecab", "ko": "ko-mecab"}
_UNSPACED = ("Thai", "Laoo", "Khmr", "Mymr", "Tibt")


def counter(language: str) -> Counter:
    from sacrebleu.metrics import BLEU

    tokenizer = _tokenizer(language)
    return Bleu(BLEU(tokenize=tokenizer, force=True), ["-m", "bleu", "-tok", tokenizer])


class Bleu(SacreBleu):
    def formula(self, sums: Floats) -> Floats:
        """BLEU with exponential smoothing (Chen & Cherry 2014, method 3, as sacreBLEU's default)."""
        length, reference = sums[..., 0], sums[..., 1]
        correct, total = sums[..., 2 : 2 + _ORDER], sums[..., 2 + _ORDER :]
        missed = correct == 0
        possible = (correct > 0).any(-1) & (total > 0).all(-1)
        halved = 2.0 ** np.cumsum(missed, axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = 100.0 * np.where(missed, 1.0 / halved, correct) / total
            brevity = np.where(length < reference, np.exp(1.0 - reference / length), 1.0)
            found: Floats = np.where(possible, brevity * np.exp(np.log(precision).sum(-1) / _ORDER), 0.0)
        return found


def sentence_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> Floats:
    """BLEU [segments] of each segment on its own, in percent, with one added to the counts of all orders but the first
    (Lin & Och 2004): what a sentence has in common with its reference beyond single words is seldom much."""
    rows = counter(language).counts(hypotheses, references)
    more = np.array([0.0, 1.0, 1.0, 1.0])
    correct, total = rows[:, 2 : 2 + _ORDER] + more, rows[:, 2 + _ORDER :] + more
    with np.errstate(divide="ignore", invalid="ignore"):
        brevity = np.minimum(0.0, 1.0 - rows[:, 1] / rows[:, 0])
        found: Floats = 100.0 * np.exp(np.log(correct / total).mean(-1) + brevity)
    return np.where(correct[:, 0] > 0, found, 0.0)


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
    if east_asian(language):
        return "zh"
    return "char" if script(language) in _UNSPACED else "13a"


def _works(tokenizer: str) -> bool:
    from sacrebleu.metrics import BLEU

    try:
        BLEU(tokenize=tokenizer)
    except (ImportError, RuntimeError):
        return False
    return True

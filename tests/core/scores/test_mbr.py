"""Minimum Bayes risk: the exact utilities are sacreBLEU's, the aggregated ones those of the paper's definition."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF
from sacrebleu.metrics.helpers import extract_all_char_ngrams

from dragoman.core.scores import mbr

TEXTS = [
    "Zwei Hunde spielen im Schnee.",
    "Zwei Hunde spielen im tiefen Schnee .",
    "zwei Hunde, spielen im Schnee!",
    "",
    "aaaa aaaa aa",
    '(ein) "Wort" \'x',
    "二只狗在雪地里玩耍。",
    "a",
    "é e\u0301 ß 😀😀",
]
WORDS = ["ein", "Mann,", "(und", "Hund", "lala", "läuft.", "-", "😀"]
sentences = st.lists(
    st.one_of(st.text(max_size=12), st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)), min_size=1, max_size=7
)


def theirs(texts: list[str], words: int) -> np.ndarray:
    metric = CHRF(word_order=words)
    return np.array([[metric.sentence_score(text, [other]).score for other in texts] for text in texts])


@pytest.mark.parametrize("words", [0, 2])
def test_pairwise_is_sacrebleus_sentence_chrf(words: int) -> None:
    assert mbr.pairwise(TEXTS, words=words) == pytest.approx(theirs(TEXTS, words), abs=1e-9)


@given(sentences)
def test_pairwise_is_sacrebleus_for_any_text(texts: list[str]) -> None:
    assert mbr.pairwise(texts) == pytest.approx(theirs(texts, 2), abs=1e-9)


@pytest.mark.slow
@given(sentences)
def test_expected_is_the_mean_over_all_references(texts: list[str]) -> None:
    twice = [*texts, texts[0], *texts]
    assert mbr.expected(twice, aggregate=False) == pytest.approx(theirs(twice, 2).mean(1), abs=1e-9)


def test_large_alphabets_are_numbered_anew() -> None:
    """Where n-grams no longer fit into a number they are renumbered: the result must not notice."""
    draw = random.Random(0)
    texts = ["".join(chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(300)) for _ in range(4)]
    texts = [*texts, texts[0][:150] + texts[1][150:]]
    assert mbr.pairwise(texts) == pytest.approx(theirs(texts, 2), abs=1e-9)


def test_the_matrix_is_built_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mbr.pairwise(TEXTS)
    monkeypatch.setattr(mbr, "_CELLS", 40)
    assert mbr.pairwise(TEXTS) == pytest.approx(whole, abs=1e-12)


def aggregated(texts: list[str]) -> list[float]:
    """Vamvas & Sennrich (2024), section 3, written out: counts averaged over the references, then chrF2 as defined."""
    counts = [extract_all_char_ngrams(text, 6) for text in texts]
    found = []
    for own in counts:
        precisions, recalls = [], []
        for order in range(6):
            mean: Counter[str] = Counter()
            for other in counts:
                for gram, count in other[order].items():
                    mean[gram] += count / len(texts)  # type: ignore[assignment]
            matches = sum(min(count, mean[gram]) for gram, count in own[order].items())
            if own[order] and mean:
                precisions.append(matches / sum(own[order].values()))
                recalls.append(matches / sum(mean.values()))
        p, r = (sum(v) / max(1, len(v)) for v in (precisions, recalls))
        found.append(100 * 5 * p * r / (4 * p + r) if p + r else 0.0)
    return found


@given(sentences)
def test_aggregated_is_the_papers(texts: list[str]) -> None:
    assert mbr.expected(texts, words=0).tolist() == pytest.approx(aggregated(texts), abs=1e-9)


def test_one_reference_is_its_own_mean() -> None:
    for text in TEXTS:
        assert mbr.expected([text, text]) == pytest.approx(mbr.expected([text, text], aggregate=False))


@pytest.mark.parametrize("aggregate", [True, False])
def test_the_choice_is_the_one_in_the_middle(aggregate: bool) -> None:
    texts = ["Ein Hund schläft.", "Ein Hund läuft.", "Ein Hund läuft weg.", "Der Hund läuft.", "Katzen!"]
    found = mbr.choose(texts, aggregate=aggregate)
    assert texts[found.index] == "Ein Hund läuft."
    assert found.utility == pytest.approx(mbr.expected(texts, aggregate=aggregate).max())
    assert mbr.choose(texts * 3, aggregate=aggregate).index == found.index
    assert mbr.choose(["b", "a", "b", "a"], aggregate=aggregate).index == 0
    assert mbr.choose([""], aggregate=aggregate) == mbr.Choice(0, 0.0)

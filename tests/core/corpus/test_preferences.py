"""Pairs from ranked candidates: the better is better by the utility that was asked for, and nothing is lost uncounted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus.preferences import REASONS, rank
from dragoman.core.recipe.prefer import Prefer
from dragoman.core.records import Hypothesis
from dragoman.core.scores.flags import Flagger
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import leak_key
from dragoman.errors import RecipeError

WAY = Direction("en", "de")
FLAGGER = Flagger(WAY, ["en", "de"])
SOURCE, REFERENCE = "Take 20 tablets of this medicine.", "Nehmen Sie 20 Tabletten dieses Arzneimittels ein."


def made(*texts: str, finished: bool = True) -> list[tuple[str, Hypothesis]]:
    return [("sample", Hypothesis(text, -1.0, 5, finished)) for text in texts]


def test_best_and_worst_make_a_pair() -> None:
    texts = made("Nehmen Sie 20 Tabletten ein.", REFERENCE[:-1], "Nimm das Arzneimittel mit 20 Tabletten.")
    found = rank(SOURCE, REFERENCE, texts, WAY, Prefer(rank_by={"chrf": 1}, length=2), FLAGGER)
    assert found.pairs == ((0, 2),) and found.candidates[0].text == REFERENCE[:-1]
    assert [one.utility for one in found.candidates] == sorted((one.utility for one in found.candidates), reverse=True)


def test_a_lost_number_costs_where_checks_count() -> None:
    texts = made("Nehmen Sie 20 Tabletten dieses Mittels.", "Nehmen Sie 30 Tabletten dieses Arzneimittels ein.")
    by_chrf = rank(SOURCE, REFERENCE, texts, WAY, Prefer(rank_by={"chrf": 1}, margin=0), FLAGGER)
    by_checks = rank(SOURCE, REFERENCE, texts, WAY, Prefer(rank_by={"checks": 1}, margin=0), FLAGGER)
    assert "30" in by_chrf.candidates[0].text and "20" in by_checks.candidates[0].text


def test_the_reference_is_a_candidate_where_it_is_not_the_measure() -> None:
    assert not Prefer().with_reference and not Prefer(rank_by={"mbr": 1}).with_reference
    assert Prefer(rank_by={"checks": 1}).with_reference
    texts = made("Nehmen Sie 20 Tabletten ein.", "Nehmen Sie 20 Tabletten ein bitte.", "Völlig anderes mit 20.")
    found = rank(SOURCE, REFERENCE, texts, WAY, Prefer(rank_by={"mbr": 1}, reference=True), FLAGGER)
    assert "reference" in {one.origin for one in found.candidates}
    assert found.candidates[-1].text == "Völlig anderes mit 20."


def test_what_the_model_holds_most_probable_is_the_better_one() -> None:
    texts = ("Nehmen Sie 20 Stück ein.", "Nehmen Sie 20 ein.", "Nimm jetzt die 20 ein.")
    rows = [
        (origin, Hypothesis(text, score, 5, True))
        for origin, text, score in zip(("greedy", "beam", "sample"), texts, (-0.5, -0.25, -2.0), strict=True)
    ]
    found = rank(SOURCE, REFERENCE, rows, WAY, Prefer(rank_by={"probability": 1}, length=2), FLAGGER)
    assert [one.origin for one in found.candidates] == ["beam", "greedy", "sample"] and found.pairs == ((0, 2),)
    assert [round(one.utility, 1) for one in found.candidates] == [77.9, 60.7, 13.5]  # e ** score, in points
    voices = rank(SOURCE, REFERENCE, rows[1:], WAY, Prefer(rank_by={"mbr": 1}, length=2), FLAGGER)
    assert (
        voices.candidates[0].origin == "sample" and voices.candidates[0].utility == 100
    )  # a beam is not drawn: no voice


def test_what_dev_and_test_hold_is_no_candidate() -> None:
    held = {leak_key(REFERENCE)}
    found = rank(
        SOURCE,
        REFERENCE,
        made(REFERENCE, "Etwas anderes, 20.", "Noch etwas anderes, 20."),
        WAY,
        Prefer(),
        FLAGGER,
        held,
    )
    assert found.dropped["held out"] == 1 and REFERENCE not in {one.text for one in found.candidates}
    letterless = rank("20.", "20.", made("20.", "21."), WAY, Prefer(rank_by={"chrf": 1}), FLAGGER, {""})
    assert "held out" not in letterless.dropped


_TEXTS = st.lists(
    st.sampled_from(["", " ", REFERENCE, "Nimm 20.", "Nimm 20 Tabletten jetzt sofort ein.", "x" * 300]), max_size=8
)


@given(_TEXTS, st.lists(st.booleans(), min_size=8, max_size=8), st.integers(1, 4), st.sampled_from([0.0, 5.0, 50.0]))
def test_every_candidate_is_kept_or_counted(texts: list[str], finished: list[bool], pairs: int, margin: float) -> None:
    wish = Prefer(rank_by={"chrf": 1, "mbr": 1, "checks": 1}, pairs=pairs, margin=margin, reference=True)
    rows = [("sample", Hypothesis(text, -1.0, 5, ends)) for text, ends in zip(texts, finished, strict=False)]
    found = rank(SOURCE, REFERENCE, rows, WAY, wish, FLAGGER)
    lost = Counter(found.dropped)
    assert set(lost) <= set(REASONS)
    candidates = len(found.candidates) or int(lost["one candidate"] > 0)
    gone = sum(lost[reason] for reason in ("empty", "unfinished", "same text", "held out"))
    assert candidates + gone == len(rows) + 1
    assert len(found.pairs) + lost["tie"] + lost["length"] == min(pairs, len(found.candidates) // 2)
    for better, worse in found.pairs:
        assert found.candidates[better].utility - found.candidates[worse].utility >= margin
        assert found.candidates[better].text != found.candidates[worse].text


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"rank_by": {}}, "names no utility"),
        ({"rank_by": {"mbr": 1.0}, "candidates": 0, "beam": 4}, "leaves `mbr` no samples"),
        ({"method": "dpo", "gamma": 1.0}, "belongs to simpo"),
        ({"method": "ipo", "likelihood": 1.0}, "means nothing"),
        ({"method": "orpo", "label_smoothing": 0.1}, "means nothing"),
        ({"label_smoothing": 0.6}, "below 0.5"),
        ({"candidates": 0}, "give `beam`"),
        ({"rank_by": {"probability": 1}, "reference": True}, "did not write it"),
    ],
)
def test_keys_that_mean_nothing_are_refused(keys: dict[str, object], told: str) -> None:
    with pytest.raises((ValueError, RecipeError), match=told):
        Prefer(**keys)  # type: ignore[arg-type]


def test_only_candidates_of_like_length_make_a_pair() -> None:
    texts = made("Oh ja, 20.", REFERENCE, REFERENCE[:-5] + "mit.", "Nimm du 20 Stück dieses einen Mittels hinein.")
    loose = rank(SOURCE, REFERENCE, texts, WAY, Prefer(rank_by={"chrf": 1}, length=9), FLAGGER)
    assert loose.pairs == ((0, 3),) and loose.candidates[3].text == "Oh ja, 20."
    tight = rank(SOURCE, REFERENCE, texts, WAY, Prefer(rank_by={"chrf": 1}, length=1.2), FLAGGER)
    (better, worse), *_ = tight.pairs
    assert (better, tight.candidates[worse].text) == (0, "Nimm du 20 Stück dieses einen Mittels hinein.")
    alone = rank(SOURCE, REFERENCE, texts[:2], WAY, Prefer(rank_by={"chrf": 1}), FLAGGER)
    assert not alone.pairs and alone.dropped == {"length": 1}


@given(st.lists(st.text("ab c", min_size=1, max_size=12), min_size=2, max_size=8), st.integers(1, 4), st.floats(1, 3))
def test_pairs_are_apart_alike_and_disjoint(texts: list[str], pairs: int, length: float) -> None:
    wish = Prefer(rank_by={"mbr": 1, "mbr_bleu": 1}, pairs=pairs, length=length, margin=1)
    found = rank(SOURCE, REFERENCE, made(*texts), WAY, wish, FLAGGER)
    used = [number for pair in found.pairs for number in pair]
    assert len(used) == len(set(used)) and len(found.pairs) <= pairs
    for better, worse in found.pairs:
        one, other = found.candidates[better], found.candidates[worse]
        assert one.utility - other.utility >= 1
        assert max(len(one.text), len(other.text)) <= length * min(len(one.text), len(other.text))

"""Held-out monolingual text: the same every time, apart from the training text, documents whole."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus.heldout import part, part_pairs
from dragoman.core.records import Example, Text
from dragoman.core.text.normalise import leak_key


def texts(count: int, documents: int = 0) -> list[Text]:
    letters = "abcdefghij"
    return [
        Text(
            "text " + "".join(letters[int(digit)] for digit in str(i)),
            "en",
            "f",
            i,
            "",
            f"d{i % documents}" if documents else "",
        )
        for i in range(count)
    ]


@given(st.lists(st.sampled_from(["one", "One!", "two", "three", "four 4", "five", "six", "seven"]), max_size=60))
def test_nothing_is_in_both_and_nothing_is_lost(words: list[str]) -> None:
    found = part([Text(word, "en") for word in words])
    assert len(found.training) + len(found.held_out) + found.left_out == len(words)
    assert not {leak_key(t.text) for t in found.training} & {leak_key(t.text) for t in found.held_out}


def test_the_choice_depends_on_the_texts_alone() -> None:
    rows = texts(1000)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert set(part(rows).held_out) == set(part(shuffled).held_out)
    assert len(part(rows).held_out) == 20
    assert len(part(texts(100_000)).held_out) == 500
    assert len(part(texts(10)).held_out) == 2


def test_documents_stay_whole() -> None:
    found = part(texts(2000, documents=200))
    assert 40 <= len(found.held_out) < 60
    assert not {t.document for t in found.held_out} & {t.document for t in found.training}


def test_pairs_are_held_out_in_both_directions_and_no_side_of_them_stays() -> None:
    rows = texts(400)
    pairs = [Example(t.text, f"de {t.text}", "en", "de") for t in rows]
    shared = [replace(pair, target="nochmals anders") for pair in pairs]
    training, held = part_pairs([*pairs, *shared, *(pair.reversed for pair in pairs)])
    assert 8 <= len({frozenset((p.source, p.target)) for p in held}) <= 40
    assert {frozenset((p.source, p.target)) for p in held if p.source_language == "en"} >= {
        frozenset((p.source, p.target)) for p in held if p.source_language == "de"
    }
    sides = {text for pair in held for text in (pair.source, pair.target)}
    assert not sides & {text for pair in training for text in (pair.source, pair.target)}
    assert set(part_pairs(pairs)[1]) == set(part_pairs(pairs[::-1])[1])

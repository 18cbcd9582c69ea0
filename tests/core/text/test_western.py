from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.text.western import ENCODING, Folding

WESTERN = "".join(bytes([byte]).decode(ENCODING, "ignore") for byte in range(256))
LETTER = re.compile(r"[^\W\d_]")


@given(st.text(st.sampled_from(WESTERN)))
def test_it_folds_as_characters_are_folded(text: str) -> None:
    letters = Folding(lambda character: character.lower() if LETTER.match(character) else " ")
    folded = letters(text)
    assert folded is not None
    assert [word.decode(ENCODING) for word in folded.split()] == re.findall(r"[^\W\d_]+", text.lower())


def test_a_character_may_become_more_or_nothing() -> None:
    folding = Folding(lambda character: character.casefold() if character.isalpha() else "")
    assert folding("Straße, 7") == b"strasse"


@pytest.mark.parametrize("text", ["Łódź", "Ελλάδα", "\x85", "µ"])  # U+0085 is no ellipsis; µ becomes a Greek letter
def test_it_leaves_other_texts_alone(text: str) -> None:
    assert Folding(str.casefold)(text) is None

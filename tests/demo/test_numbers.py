"""Numbers, dates and prices in words and digits."""

from __future__ import annotations

import pytest

from dragoman.demo.lexicon import Phrase
from dragoman.demo.numbers import amount, clock, date, decimal, english_word, french_word, german_word, measure, price


@pytest.mark.parametrize(
    ("number", "english", "french", "german"),
    [
        (1, "one", "un", "eins"),
        (16, "sixteen", "seize", "sechzehn"),
        (17, "seventeen", "dix-sept", "siebzehn"),
        (21, "twenty-one", "vingt et un", "einundzwanzig"),
        (30, "thirty", "trente", "dreißig"),
        (45, "forty-five", "quarante-cinq", "fünfundvierzig"),
        (71, "seventy-one", "soixante et onze", "einundsiebzig"),
        (76, "seventy-six", "soixante-seize", "sechsundsiebzig"),
        (80, "eighty", "quatre-vingts", "achtzig"),
        (81, "eighty-one", "quatre-vingt-un", "einundachtzig"),
        (91, "ninety-one", "quatre-vingt-onze", "einundneunzig"),
        (99, "ninety-nine", "quatre-vingt-dix-neuf", "neunundneunzig"),
    ],
)
def test_words(number: int, english: str, french: str, german: str) -> None:
    assert (english_word(number), french_word(number), german_word(number)) == (english, french, german)


def test_french_agrees() -> None:
    assert french_word(21, feminine=True) == "vingt et une"


def test_all_words_differ() -> None:
    for spell in (english_word, french_word, german_word):
        assert len({spell(n) for n in range(100)}) == 100


def test_formats() -> None:
    assert amount(12345) == Phrase("12,345", "12\u202f345", "12.345")
    assert decimal(375) == Phrase("37.5", "37,5", "37,5")
    assert price(1205) == Phrase("€12.05", "12,05\u00a0€", "12,05 €")
    assert measure(amount(5), "ml") == Phrase("5 ml", "5\u00a0ml", "5 ml")
    assert clock(8, 5) == Phrase("8:05", "8\u00a0h\u00a005", "8:05 Uhr")
    assert date(1, 3) == Phrase("1 March", "1er mars", "1. März")
    assert date(24, 12, 1999) == Phrase("24 December 1999", "24 décembre 1999", "24. Dezember 1999")

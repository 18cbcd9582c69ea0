from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.text.numbers import exchanged, numbers, unmatched, written_numbers

AGREE = [
    ("It costs 1,000.50 euros.", "Cela coûte 1 000,50 euros."),
    ("1,234,567 people", "1.234.567 Menschen"),
    ("1,234,567 people", "12,34,567 लोग"),
    ("In 2018, 37 left.", "في ٢٠١٨ غادر ٣٧."),
    ("In 2018, 37 left.", "२०१८ में ३७ गए।"),
    ("37.5 percent", "৩৭.৫ শতাংশ"),
    ("37 people", "௩௭ பேர்"),
    ("350 million", "3億5000万"),
    ("375,000 dollars", "37万5,000ドル"),
    ("32 people", "三十二人"),
    ("3,000,000", "3 million"),
    ("the 20th century", "le XXe siècle ou XX siècle"),
    ("at 7.55 pm", "um 19.55 Uhr"),
    ("at 7:55 am", "à 7 h 55"),
    ("1950-53", "1950–1953"),
    ("the late 19th century", "1800-luvun lopulla"),
    ("founded in 2018", "ก่อตั้งในปี พ.ศ. 2561"),
    ("founded in 2010", "ก่อตั้งในปี ๒๕๕๓"),
    ("5 apples", "cinq pommes"),
    ("12 apples", "douze pommes"),
]


@pytest.mark.parametrize(("source", "target"), AGREE)
def test_agree(source: str, target: str) -> None:
    assert unmatched(source, target) == []
    assert unmatched(target, source) == []


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("Take 37 tablets.", "Prenez 73 comprimés.", ["37", "73"]),
        ("On 14 May 1998", "Le 14 mai 1989", ["1998", "1989"]),
        ("Page 137", "Page", ["137"]),
        ("19 cats", "18 chats", ["19", "18"]),
        ("25 and 25", "25", ["25"]),
        ("1.5 mg", "15.5 mg", ["15", "155"]),
        ("in 2018", "ในปี 2562", ["2018", "2562"]),
        ("1457 people", "2000 คน", ["1457"]),
    ],
)
def test_differ(source: str, target: str, expected: list[str]) -> None:
    assert unmatched(source, target) == expected


@given(st.lists(st.integers(13, 10**7), max_size=4), st.randoms(use_true_random=False))
def test_the_same_numbers_agree_in_any_order_and_notation(values: list[int], random: object) -> None:
    english = " and ".join(f"{value:,}" for value in values)
    german = " und ".join(f"{value:,}".replace(",", ".") for value in reversed(values))
    french = " et ".join(f"{value:,}".replace(",", "\u202f") for value in values)
    arabic = " ، ".join("".join(chr(0x660 + int(digit)) for digit in str(value)) for value in values)
    assert numbers(english) == numbers(german) == numbers(french) == numbers(arabic)


@given(st.text(max_size=30), st.text(max_size=30))
def test_symmetric(source: str, target: str) -> None:
    assert sorted(unmatched(source, target)) == sorted(unmatched(target, source))


def test_written_numbers() -> None:
    assert {"32", "8", "12"} <= written_numbers("三十二 Henry VIII 一億二千万")
    assert written_numbers("I like Civil") <= {"1"}


def test_small_numbers_exchanged() -> None:
    assert exchanged("Take 2 tablets", "Prenez 3 comprimés") == ["2", "3"]
    assert exchanged("Take 2 tablets", "Prenez deux comprimés") == []
    assert exchanged("Take two tablets", "Prenez 2 comprimés") == []
    assert exchanged("at 2:30 pm", "à 14h30") == []
    assert exchanged("1 and 2", "2 und 1") == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("10 mg", "100 mg"),
        ("1 dose", "10 doses"),
        ("500 ml daily", "5 ml par jour"),
        ("Take 2 of 20", "Prenez 2 de 200"),
    ],
)
def test_a_dose_that_is_ten_times_another_is_another(source: str, target: str) -> None:
    assert len(exchanged(source, target)) == 2
    assert len(exchanged(target, source)) == 2


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("5 million", "5 000 000"),
        ("1,000 mg", "1 g"),
        ("1.0 mg", "1,0 mg"),
        ("10 to 100", "100 à 10"),
        ("10:00", "10 h"),
        ("07 May", "7 mai"),
        ("2019-10-01", "01/10/2019"),
        ("10 000 people", "10,000 Menschen"),
        ("ten", "10"),
    ],
)
def test_what_is_another_notation_is_no_other_number(source: str, target: str) -> None:
    assert exchanged(source, target) == exchanged(target, source) == []

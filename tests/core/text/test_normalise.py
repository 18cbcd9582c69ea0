from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.recipe import Normalise
from dragoman.core.text.normalise import leak_key, normalise

NFC, NFKC, NONE = (Normalise(unicode=form) for form in ("NFC", "NFKC", "none"))
# characters that the rules are about, among any others
TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(
            "a e\u0301 \t\n\u00a0\u202f\u3000\u200b\u200c\u200d\ufeff\u00ad\u2028\u0646\u06cc\u0915\u094d\u0308\x07¨👩🏽"
        ),
    ),
    max_size=40,
)


@given(TEXT, st.sampled_from([NFC, NFKC, NONE]))
def test_idempotent(text: str, settings: Normalise) -> None:
    once = normalise(text, settings)
    assert normalise(once, settings) == once


@given(TEXT)
def test_the_result_is_nfc_with_single_spaces_and_no_controls(text: str) -> None:
    result = normalise(text, NFC)
    assert unicodedata.is_normalized("NFC", result)
    assert "  " not in result
    assert result == result.strip()
    assert not any(unicodedata.category(character) == "Cc" for character in result)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a \t b\r\nc  ", "a b c"),
        ("Qui\u00a0? «\u202foui\u202f»", "Qui\u00a0? «\u202foui\u202f»"),
        ("a \u00a0 b", "a\u00a0b"),
        ("\ufeffcafe\u0301\u200b", "café"),
        ("hy\u00adphen\x07ated", "hyphenated"),
        ("نمی\u200cخواهم", "نمی\u200cخواهم"),  # Persian spells with ZWNJ
        ("क्\u200dष", "क्\u200dष"),  # and Hindi with ZWJ
        ("Auf\u200clage", "Auflage"),  # in Latin it only keeps a ligature apart
        ("👩\u200d⚕\ufe0f", "👩\u200d⚕\ufe0f"),
        ("ﬁ x²", "ﬁ x²"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert normalise(text, NFC) == expected


def test_nfkc_keeps_no_break_spaces() -> None:
    assert normalise("ﬁ\u00a0: x²", NFKC) == "fi\u00a0: x2"


def test_everything_can_be_switched_off() -> None:
    text = " a\x07  e\u0301\u200b "
    assert normalise(text, Normalise(unicode="none", controls=False, spaces=False)) == text


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("The 3 cats, (black)!", "the CATS black 17"),
        ("Straße", "STRASSE"),
        ("Le café : 5\u00a0€", "le CAFE\u0301"),
        ("ﬁn", "fin"),
        ("第3章。", "第４章"),
    ],
)
def test_leak_key_is_shared(left: str, right: str) -> None:
    assert leak_key(left) == leak_key(right) != ""


@pytest.mark.parametrize(("left", "right"), [("cat", "cats"), ("café", "cafe"), ("की", "का")])
def test_leak_key_differs(left: str, right: str) -> None:
    assert leak_key(left) != leak_key(right)


def test_leak_key_of_no_letters_is_empty() -> None:
    assert leak_key("12.5 % — (7)") == ""


@given(TEXT)
def test_leak_key_holds_letters_and_marks_only_and_is_stable(text: str) -> None:
    key = leak_key(text)
    assert all(unicodedata.category(character)[0] in "LM" for character in key)
    assert leak_key(key) == key
    assert leak_key(f"{text}. 42") == key

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.text.segment import segment

PIECES = [
    "a",
    "Dr.",
    "3.",
    "z. B.",
    "!",
    "。",
    "？",
    "…",
    " ",
    "\n",
    "\r\n",
    "\n\n",
    "<1>",
    "</1>",
    "A",
    "é",
    '"',
    "- ",
    "؟",
    ")",
]
LANGUAGES = ["en", "de", "fr", "ja", "ar", "hi", "cs", "not a language"]


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)),
    st.sampled_from(LANGUAGES),
    st.sampled_from([None, True, False]),
)
def test_parts_rejoin_exactly_and_none_is_empty(text: str, language: str, wrapped: bool | None) -> None:
    parts = segment(text, language, wrapped=wrapped)
    assert "".join(parts) == text
    assert all(parts)
    assert all(part.strip() for part in parts[1:])


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "It is the patient's. It was Bob’s. A.", ["It is the patient's. ", "It was Bob’s. ", "A."]),
        ("fr", "L'œuvre d'A. Dumas. Il lit.", ["L'œuvre d'A. Dumas. ", "Il lit."]),
        (
            "en",
            "Dr. Smith came. He said no. Then 3.5 of 4! Why?",
            ["Dr. Smith came. ", "He said no. ", "Then 3.5 of 4! ", "Why?"],
        ),
        ("en", "J. R. Tolkien wrote it. See no. 5 now.", ["J. R. Tolkien wrote it. ", "See no. 5 now."]),
        ("en", "So did I. (Really.) “Yes.” No", ["So did I. ", "(Really.) ", "“Yes.” ", "No"]),
        ("en", "<1>One.</1> <2/>Two. e.g. this", ["<1>One.</1> ", "<2/>Two. e.g. this"]),
        ("en", "1. First step", ["1. First step"]),
        ("en", "He bought 5. Then he left.", ["He bought 5. ", "Then he left."]),
        (
            "de",
            "Am 3. Oktober kam Dr. Weiß z. B. an. Danach ging er.",
            ["Am 3. Oktober kam Dr. Weiß z. B. an. ", "Danach ging er."],
        ),
        ("fr", "M. Dupont arrive. Il part.", ["M. Dupont arrive. ", "Il part."]),
        ("ja", "今日は。明日！来る", ["今日は。", "明日！", "来る"]),
        ("hi", "यह है। वह था।", ["यह है। ", "वह था।"]),
    ],
)
def test_sentences(language: str, text: str, expected: list[str]) -> None:
    assert segment(text, language) == expected


def test_line_breaks() -> None:
    long = "This line was broken for its length, as many lines of plain text are,\nand it goes on here. The end."
    assert segment(long) == [
        "This line was broken for its length, as many lines of plain text are,\nand it goes on here. ",
        "The end.",
    ]
    assert segment("Title\nText") == ["Title\n", "Text"]
    assert segment("Title\nText", wrapped=True) == ["Title\nText"]
    assert segment(long, wrapped=False)[0].endswith("are,\n")
    assert segment("- one item that is long enough to be one broken line\n- two") == [
        "- one item that is long enough to be one broken line\n",
        "- two",
    ]
    assert segment("a\n\n\nb") == ["a\n\n\n", "b"]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("ja", ["彼は「こんにちは。」と言った。", "（図１を参照。）", "次の文です。"]),
        ("ja", ["「行こう。」", "彼は笑った。"]),
        ("ja", ["本当？！", "『はい。』、そうです。"]),
        ("zh", ["他说：“好。”", "然后走了。", "（见图1。）", "下一句。"]),
        ("km", ["ប្រយោគទីមួយ។ ", "ប្រយោគទីពីរ។ ", "ប្រយោគទីបី។"]),
        ("my", ["ကျွန်တော်သွားသည်။ ", "သူလာသည်။"]),
        ("fr", ["« Oui. » ", "Puis il partit."]),
        ("bo", ["བཀྲ་ཤིས།  །", "བདེ་པོ་ཡིན་ནམ།"]),
        ("bo", ["བཀྲ་ཤིས་བདེ་ལེགས། ", "བདེ་པོ་ཡིན་ནམ།"]),
        ("am", ["ሰላም ነው። ", "እንዴት ነህ፧ ", "ደህና።"]),
        ("hi", ["यह है। ", "वह है॥ ", "ठीक।"]),
        ("ur", ["یہ ہے۔ ", "کیا؟ ", "ہاں۔"]),
    ],
)
def test_sentences_of_many_scripts(language: str, sentences: list[str]) -> None:
    assert segment("".join(sentences), language) == sentences


@given(
    st.lists(st.sampled_from(["यह पहला वाक्य है", "«दूसरा»", "এটি একটি বাক্য", "तीन ३ वाक्य"]), min_size=1, max_size=5),
    st.sampled_from(["", " "]),
)
def test_a_danda_ends_a_sentence_with_and_without_a_space(sentences: list[str], between: str) -> None:
    text = f"।{between}".join(sentences) + "।"
    parts = segment(text, "hi")
    assert "".join(parts) == text and [part.strip().rstrip("।") for part in parts] == sentences


def test_the_number_of_a_verse_stays_with_it() -> None:
    assert segment("धर्मक्षेत्रे कुरुक्षेत्रे ॥१॥ सञ्जय उवाच", "sa")[0].rstrip() == "धर्मक्षेत्रे कुरुक्षेत्रे ॥१॥"

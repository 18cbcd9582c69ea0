"""A translation that begins and ends as its source does."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.markup.formatting import formatted_as
from dragoman.core.markup.inline import Inline, Span
from dragoman.core.text.languages import Direction


@pytest.mark.parametrize(
    ("way", "source", "made", "wanted"),
    [
        ("en-fr", "open file", "Ouvrir le fichier.", "ouvrir le fichier"),
        ("en-fr", "Open file.", "ouvrir le fichier", "Ouvrir le fichier."),
        ("en-fr", "Really?", "Vraiment", "Vraiment\u202f?"),
        ("en-fr", "Really?", "Vraiment ?", "Vraiment ?"),
        ("en-fr", "really", "Vraiment ?", "vraiment"),
        ("en-fr", "meat, fish etc", "Viande, poisson etc.", "viande, poisson etc."),
        ("en-de", "open file", "Datei öffnen.", "Datei öffnen"),  # a noun
        ("en-de", "cat and dog", "Katze und Hund", "Katze und Hund"),
        ("en-de", "10 thousand", "10 Tsd.", "10 Tsd"),
        ("en-de", "10 million", "10 Mio.", "10 Mio."),
        ("en-de", "No.", "Nein", "Nein."),
        ("en-de", "at 5 p.m.", "um 17 Uhr", "um 17 Uhr"),
        ("fr-en", "lundi", "Monday", "Monday"),
        ("fr-en", "français et anglais", "French and English.", "French and English"),
        ("fr-en", "le chat", "The cat.", "the cat"),
        ("fr-en", "je dors", "I sleep", "I sleep"),
        ("fr-en", "otan", "NATO", "NATO"),
        ("en-fr", "iPhone case", "IPhone : étui", "iPhone : étui"),
        ("en-zh", "The door is open.", "门开着", "门开着。"),
        ("zh-en", "门开着。", "The door is open", "The door is open."),
        ("en-hi", "It rains.", "बारिश हो रही है", "बारिश हो रही है।"),
        ("en-ar", "Where?", "أين", "أين؟"),
        ("en-th", "It rains.", "ฝนตก", "ฝนตก"),
        ("en-fr", "", "Rien.", "Rien."),
        ("en-fr", "“Open” file", "« Ouvrir » le fichier.", "« Ouvrir » le fichier"),
        ("en-fr", "the end: ", "La fin : ", "la fin : "),
        ("en-fr", "Wait...", "Attends", "Attends…"),
        ("en-fr", "Really?!", "Vraiment", "Vraiment\u202f?!"),
        ("en-es", "What", "¿Qué?", "¿Qué?"),  # not half of the pair
        ("en-es", "Hello!", "Hola", "Hola"),
        ("en-fr", "and so on", "...", "..."),  # nothing else would be left
        ("en-tr", "open the door", "İzin ver", "izin ver"),
        ("en-tr", "light", "Işık", "ışık"),
        ("en-tr", "Work", "iş", "İş"),
        ("en-az", "Work", "ışıq", "Işıq"),
    ],
)
def test_beginning_and_end(way: str, source: str, made: str, wanted: str) -> None:
    found = formatted_as(Inline.of([source]), Inline.of([made]), Direction.parse(way))
    assert found.text == wanted


@pytest.mark.parametrize(
    "word",
    ["H2O", "A4", "B12", "U.S.", "T", "X-ray", "mRNA", "pH", "iPhone", "NATO", "www.example.com", "a.b@example.com"],
)
@pytest.mark.parametrize("source", ["small as it is", "Large as it is", "nato, h2o"])
def test_a_word_that_is_written_in_one_way_stays(word: str, source: str) -> None:
    made = Inline.of([f"{word} value"])
    assert formatted_as(Inline.of([source]), made, Direction("fr", "en")) == made
    assert formatted_as(Inline.of([word.lower()]), made, Direction("fr", "en")).text.lower() == made.text.lower()
    if word in ("H2O", "U.S.", "NATO"):  # more than the first letter is large
        assert formatted_as(Inline.of([word.lower()]), made, Direction("fr", "en")) == made


def test_tags_are_looked_behind_and_placeholders_are_not() -> None:
    way = Direction("en", "fr")
    opened, closed = Span(("<b>",), "tag", "open", 1), Span(("</b>",), "tag", "close", 1)
    source = Inline.of([opened, "open", closed, " file"])
    made = Inline.of([opened, "Ouvrir", closed, " le fichier."])
    assert formatted_as(source, made, way).text == "<b>ouvrir</b> le fichier"
    held = Span(("{x}",), "brace")
    for written in ("{x} is here", "%s files", "https://example.com/x is here", "<b>{x}</b> here"):
        assert formatted_as(Inline.of([written]), Inline.of(["Ici est"]), way).text == "Ici est"
    assert formatted_as(Inline.of(["{x} is here"]), Inline.of(["Ici est."]), way, end=False).text == "Ici est."
    source, made = Inline.of(["file ", held]), Inline.of(["Fichier ", held, "."])
    assert formatted_as(source, made, way).text == "fichier {x}."


SPANS = (Span(("<b>",), "tag", "open", 1), Span(("</b>",), "tag", "close", 1), Span(("{x1.}",), "brace"))
TEXT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20),
    st.text("aAiIİıéÉßŉǆ 5.0,!?…。¿¡\"'»)-:;\u202f\u0301中ش१", max_size=6),
)
PIECES = st.lists(TEXT | st.sampled_from(SPANS), max_size=5)
WAYS = ["en-fr", "de-en", "ja-de", "en-zh", "ar-ur", "en-tr", "en-es", "fr-el", "en-th"]


@given(PIECES, PIECES, st.sampled_from(WAYS))
def test_it_changes_a_letter_and_a_mark_at_most_and_once(
    source: list[str | Span], made: list[str | Span], way: str
) -> None:
    direction, theirs, ours = Direction.parse(way), Inline.of(source), Inline.of(made)
    once = formatted_as(theirs, ours, direction)
    assert formatted_as(theirs, once, direction) == once
    assert formatted_as(theirs, theirs, direction) == theirs
    assert once.spans == ours.spans
    assert abs(len(once.text) - len(ours.text)) <= max(len(theirs.text), len(ours.text)) + 2
    assert [sign for sign in once.text if sign.isdigit()] == [sign for sign in ours.text if sign.isdigit()]
    assert any(map(str.isalnum, once.plain)) == any(map(str.isalnum, ours.plain))


WORDS = st.lists(
    st.sampled_from(
        [
            "émile",
            "Émile",
            "zoë",
            "Élan",
            "ÉLAN",
            "été",
            "Über",
            "öffnen",
            "Ångström",
            "mRNA",
            "a",
            "É",
            "Ünlü.",
            "naïve?",
            "5",
            "…",
        ]
    ),
    min_size=1,
)


@given(WORDS, WORDS, st.sampled_from(WAYS))
def test_the_form_of_accents_does_not_matter(source: list[str], made: list[str], way: str) -> None:
    def formatted(*forms: str) -> str:
        theirs, ours = (
            Inline.of([unicodedata.normalize(f, " ".join(t))]) for f, t in zip(forms, (source, made), strict=True)
        )
        return unicodedata.normalize("NFC", formatted_as(theirs, ours, Direction.parse(way)).text)

    wanted = formatted("NFC", "NFC")
    assert [formatted("NFD", "NFC"), formatted("NFC", "NFD"), formatted("NFD", "NFD")] == [wanted] * 3

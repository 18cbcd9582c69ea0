from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.markup import markup
from dragoman.core.markup.flows import Outcome, Settings
from dragoman.core.markup.inline import Inline, Span
from dragoman.core.markup.placeholders import protect_placeholders
from dragoman.core.markup.protect import BRACKETS, TAGS, every_span
from dragoman.core.markup.rendering import Rendering, Sent, translate_inlines
from dragoman.core.records import MAX_TEXT
from dragoman.errors import ModelError

from .test_placeholders import FRAGMENTS, texts


def frames(text: str) -> Counter[tuple[str, ...]]:
    return Counter(span.frame for span in every_span(protect_placeholders(Inline.of([text]))))


def one(text: str, function, **options) -> Rendering:
    return translate_inlines([Inline.of([text])], function, **options)[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, max_size=4))
def test_a_function_that_gives_every_text_back_changes_nothing(sources: list[str]) -> None:
    results = translate_inlines([Inline.of([text]) for text in sources], list)
    assert [result.text.text for result in results] == sources
    assert all(result.outcome <= Outcome.MARKERS for result in results)


@settings(max_examples=60, deadline=None)
@given(
    texts,
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8)), min_size=1, max_size=5),
    st.integers(0, 4),
)
def test_whatever_a_translator_does_the_markup_holds(text: str, noise: list[str], way: int) -> None:
    def spoil(texts: list[str]) -> list[str]:
        spoilt = []
        for number, sent in enumerate(texts):
            extra = noise[number % len(noise)]
            words = sent.split(" ")
            spoilt.append(
                [
                    extra,
                    sent + extra,
                    extra + sent,
                    " ".join(reversed(words)),
                    TAGS.pattern.sub(extra.replace("\\", ""), sent),
                ][way]
            )
        return spoilt

    result = one(text, spoil)
    assert frames(result.text.text) == frames(text)


def test_remains_of_markers_do_not_stay_in_the_text() -> None:
    source = "Press <b>OK</b> to go on."
    mixed = one(source, lambda texts: ["Mit <1>OK</1] weiter</1>." for _ in texts])
    assert mixed.reasons[0] == "invented"
    assert mixed.outcome is Outcome.RETRY or mixed.outcome is Outcome.SPLIT or mixed.outcome is Outcome.REATTACHED
    assert "1]" not in mixed.text.text
    assert one("Go on.", lambda texts: ["Weiter <1]. "]).text.text == "Weiter ."
    own = "See [1] and <b>OK</b>."
    assert one(own, list).text.text == own


def test_each_outcome() -> None:
    source = "Press <b>OK</b> to go on."
    assert one("%s 12", str.upper).outcome is Outcome.VERBATIM
    assert one("Go on.", lambda texts: ["Weiter."]) == Rendering(Inline.of(["Weiter."]), Outcome.PLAIN, (), ("Go on.",))
    assert one(source, lambda texts: ["Mit <1>OK</1> weiter."]).outcome is Outcome.MARKERS
    assert one(source, lambda texts: ["Mit < 1 >OK</1> weiter."]).outcome is Outcome.REPAIRED
    again = one(source, lambda texts: ["Weiter."], retry=lambda texts: ["Mit [1]OK[/1] weiter."])
    assert (again.text.text, again.outcome, again.reasons) == ("Mit <b>OK</b> weiter.", Outcome.RETRY, ("missing",))
    apart = {"Press": "Drücke", "OK": "OK", "to go on": "Um fortzufahren."}
    split = one(source, lambda texts: [apart.get(text, "kaputt") for text in texts])
    assert (split.text.text, split.outcome) == ("Drücke <b>OK</b> um fortzufahren.", Outcome.SPLIT)
    assert split.asked == ("Press", "OK", "to go on")
    assert again.asked == ("Press [1]OK[/1] to go on.",)
    whole = {"Press OK to go on.": "Mit OK geht es weiter."}
    placed = one(source, lambda texts: [whole.get(text, "<i>") for text in texts])
    assert (placed.text.text, placed.outcome) == ("Mit <b>OK</b> geht es weiter.", Outcome.REATTACHED)
    nothing = one(source, lambda texts: [""] * len(texts))
    assert (nothing.text.text, nothing.outcome, nothing.asked) == (source, Outcome.SOURCE, ())


@pytest.mark.parametrize(
    ("source", "answer", "text", "outcome"),
    [
        ("Press <b>OK</b> now.", "Weiter < {0}OK{1} jetzt.", "Weiter <b>OK</b> jetzt.", Outcome.RETRY),
        ("Wait %s now.", "Warte {0} [jetzt.", "Warte %s jetzt.", Outcome.RETRY),
        ("If x < y, wait %s.", "Ist x < y, warte {0}.", "Ist x < y, warte %s.", Outcome.MARKERS),
        ("Less than five.", "< fünf.", "< fünf.", Outcome.PLAIN),
    ],
)
def test_a_lone_sign_of_a_marker_does_not_stay(source: str, answer: str, text: str, outcome: Outcome) -> None:
    def translate(texts: list[str]) -> list[str]:
        found = [(TAGS.pattern.findall(one) and TAGS) or BRACKETS for one in texts]
        return [
            answer.format(*(m[0] for m in style.pattern.finditer(one))) for style, one in zip(found, texts, strict=True)
        ]

    result = one(source, translate)
    assert (result.text.text, result.outcome) == (text, outcome)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Press <b>OK</b> now. Then go on.", "Drücke <b>OK</b> jetzt. Dann weiter."),
        ("<b>Then go on.</b>", "<b>Dann weiter.</b>"),
        ("Then go on.", "Dann < & weiter."),
    ],
)
def test_a_sign_that_breaks_the_markup_of_the_whole_text_does_not_stay(source: str, text: str) -> None:
    known = {"Then go on.": "Dann < & weiter."}
    assert one(source, lambda texts: [known.get(t, "Drücke <1>OK</1> jetzt.") for t in texts]).text.text == text


def test_markup_invented_twice_is_taken_out() -> None:
    result = one("Go on.", lambda texts: ["Weiter <b>jetzt</b>."] * len(texts))
    assert (result.text.text, result.outcome, result.reasons) == ("Weiter jetzt.", Outcome.RETRY, ("invented",))


def test_the_translator_sees_sentences_once_each_without_outer_pairs() -> None:
    seen: list[str] = []

    def remember(texts: list[str]) -> list[str]:
        seen.extend(texts)
        return texts

    one("<p>One. Two %s.</p>\n\n- Three. One.", remember)
    assert seen == ["One.", "Two <1/>.", "Three."]
    seen.clear()
    one("One. Two.", remember, settings=Settings(sentences=False))
    assert seen == ["One. Two."]


def test_the_translator_is_told_what_a_memory_would_hold() -> None:
    seen: list[str] = []
    code = Span(("<x/>",), "x", element=True)

    def remember(texts: list[str]) -> list[str]:
        seen.extend(text.bare if isinstance(text, Sent) else text for text in texts)
        return texts

    translate_inlines([Inline.of(["Open ", code, " %s <b>now</b> {x}"])], remember)
    assert seen == ["Open %s <b>now</b> {x}"]


def test_branches_are_translated_apart_and_an_apostrophe_quotes_no_brace() -> None:
    source = "{n, plural, one {the {x} file} other {# files}} left"
    words = {"the <1/> file": "l'<1/>fichier", "<1/> files": "<1/> fichiers", "<1/> left": "il reste <1/>"}
    result = one(source, lambda texts: [words[text] for text in texts])
    assert result.text.text == "il reste {n, plural, one {l’{x}fichier} other {# fichiers}}"
    assert result.outcome is Outcome.MARKERS


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["- ", "* ", "• ", "– ", "+\t", "  - ", ""]),
            st.sampled_from(["One word.", "5 tablets a day", "Take <b>two</b> of {n}.", "well-known", "1. Mai"]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([None, False]),
)
def test_the_signs_of_a_list_stay_whatever_a_translator_says(
    items: list[tuple[str, str]], wrapped: bool | None
) -> None:
    """One that knows nothing but sentences drops them."""
    asked: list[str] = []

    def sentences_only(texts: list[str]) -> list[str]:
        asked.extend(texts)
        return [text.lstrip("-*+•– \t").upper() for text in texts]

    source = Inline.of(["\n".join(sign + text for sign, text in items)])
    [made] = translate_inlines([source], sentences_only, wrapped=[wrapped])
    assert made.text.text.split("\n") == [sign + text.upper().replace("{N}", "{n}") for sign, text in items] or any(
        "<" in text for _, text in items
    )
    assert [len(line) - len(line.lstrip("-*+•– \t")) for line in made.text.text.split("\n")] == [
        len(sign) for sign, _ in items
    ]
    assert not any(text.startswith(("- ", "* ", "• ", "– ")) for text in asked)


def test_sub_flows_of_elements_are_translated() -> None:
    code = Span(('<ph>alt="<sub>', Inline.of(["Start"]), '</sub>"</ph>'), "ph", element=True)
    result = translate_inlines([Inline.of(["Click ", code])], lambda texts: [text.upper() for text in texts])[0]
    assert result.text.text == 'CLICK <ph>alt="<sub>START</sub>"</ph>'


def test_a_broken_line_is_broken_again_at_the_same_width() -> None:
    source = "This line was broken for its length, as many lines\nare, and it goes on here."
    result = one(source, lambda texts: [text.replace("many", "very very many") for text in texts])
    assert result.text.text == "This line was broken for its length, as very very\nmany lines are, and it goes on here."


def test_sequential_placeholders_keep_their_order() -> None:
    result = one("%s has %d files", lambda texts: [" ".join(reversed(text.split(" "))) for text in texts])
    assert [span.text for span in markup.spans(result.text.text)] == ["%s", "%d"]


def test_a_function_that_loses_texts_is_an_error() -> None:
    with pytest.raises(ModelError, match="gave 0 texts for 1"):
        one("text", lambda texts: [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "part"),
    [
        *(("a", part) for part in (" ", "\t", ":a", "!", "<a", "{", "`a", "'{n,plural,a{'")),
        *(("@ ", "a"), ("%", "0"), ("%(a)", "0"), ("{{", " "), ("{", " "), ("http://a", ")"), ("<a", " a")),
    ],
)
def test_no_text_of_the_greatest_length_takes_quadratic_time(start: str, part: str) -> None:
    text = (start + part * (MAX_TEXT // len(part)))[: MAX_TEXT - 2] + " a"
    begun = time.process_time()
    translate_inlines([Inline.of([text])], lambda texts: [one.upper() for one in texts])
    assert time.process_time() - begun < 5

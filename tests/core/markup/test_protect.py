from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.markup.inline import Inline, Span
from dragoman.core.markup.placeholders import protect_placeholders
from dragoman.core.markup.protect import (
    BRACKETS,
    TAGS,
    BrokenMarkupError,
    MarkerStyle,
    mark,
    marked_pair,
    unmark,
    verify,
)

from .test_placeholders import texts

SOURCE = protect_placeholders(Inline.of(["Press <b>OK</b> in :guilabel:`Menu`, %s of %d, or *stop* {0}<br/>"]))


@pytest.mark.parametrize("style", [TAGS, BRACKETS])
@settings(max_examples=60, deadline=None)
@given(texts)
def test_what_comes_back_as_it_was_sent_is_the_source(style: MarkerStyle, text: str) -> None:
    source = protect_placeholders(Inline.of([text]))
    marked = mark(source.pieces, style)
    pieces, loose = unmark(marked, marked.text)
    assert not loose
    assert Inline.of(pieces).text.split() == source.text.split()
    assert sorted(span.raw for span in Inline.of(pieces).spans) == sorted(span.raw for span in source.spans)


def test_markers_are_short_and_count_from_one() -> None:
    assert mark(SOURCE.pieces).text == "Press <1>OK</1> in <2/>, <3/> of <4/>, or <5>stop</5> <6/><7/>"
    assert mark(SOURCE.pieces, BRACKETS).text.startswith("Press [1]OK[/1] in [2/],")


def test_numbers_that_the_text_writes_itself_are_not_used() -> None:
    marked = mark(protect_placeholders(Inline.of(["See [1] and %s"])).pieces, BRACKETS)
    assert marked.text == "See [1] and [2/]"
    assert Inline.of(unmark(marked, "[2/] voir [1]")[0]).text == "%s voir [1]"


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (lambda text: text.replace("<2/>", ""), "missing"),
        (lambda text: text + "<2/>", "doubled"),
        (lambda text: text + "<9>", "unknown marker"),
        (lambda text: text.replace("<1>OK</1>", "</1>OK<1>"), "nesting"),
        (lambda text: text.replace("<3/> of <4/>", "<4/> of <3/>"), "order"),
        (lambda text: text.replace("<1>OK</1> in", "<1>OK in").replace("<5>stop</5>", "<5>st</1>op</5>"), "nesting"),
    ],
)
def test_what_is_broken_is_named(spoilt: Callable[[str], str], reason: str) -> None:
    marked = mark(SOURCE.pieces)
    with pytest.raises(BrokenMarkupError) as raised:
        unmark(marked, spoilt(marked.text))
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    "spoilt", ["< 1 >OK< / 1 >", "＜1＞OK＜／1＞", "&lt;1&gt;OK&lt;/1&gt;", "<1>OK<1>", "<1> OK </1>"]
)
def test_loosely_written_markers_are_read(spoilt: str) -> None:
    marked = mark(protect_placeholders(Inline.of(["Press <b>OK</b>."])).pieces)
    pieces, _ = unmark(marked, f"Appuyez {spoilt}.")
    assert Inline.of(pieces).text == "Appuyez <b>OK</b>."


def test_spaces_that_markup_needs_are_put_back() -> None:
    marked = mark(protect_placeholders(Inline.of(["The :func:`f` function"])).pieces)
    assert Inline.of(unmark(marked, "La fonction<1/>donc")[0]).text == "La fonction :func:`f` donc"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("<b>x</b> %s", None),
        ("x%s <b></b>", None),
        ("<b>x</b>", "not recognised"),
        ("<b>x</b> %s %s", "invented"),
        ("<b>x</b> %s {new}", "invented"),
    ],
)
def test_verifying_searches_the_text_anew(target: str, reason: str | None) -> None:
    source = Inline.of(["<b>a</b> %s"])
    if reason is None:
        verify(source, Inline.of([target]))
    else:
        with pytest.raises(BrokenMarkupError, match=reason):
            verify(source, Inline.of([target]))


def test_elements_nest_and_halves_may_overlap() -> None:
    outer = [Span((f"<{name}>",), "g", role, 1, element=True) for name, role in (("g", "open"), ("/g", "close"))]
    inner = [Span((f"<{name}>",), "pc", role, 2, element=True) for name, role in (("pc", "open"), ("/pc", "close"))]
    source = Inline.of([outer[0], "a", inner[0], "b", inner[1], outer[1]])
    crossed = Inline.of([outer[0], "a", inner[0], "b", outer[1], inner[1]])
    with pytest.raises(BrokenMarkupError, match="nesting"):
        verify(source, crossed)
    free = [Span(one.parts, "bpt", one.role, one.pair, nested=False, element=True) for one in (*outer, *inner)]
    verify(Inline.of([free[0], free[2], free[3], free[1]]), Inline.of([free[0], free[2], free[1], free[3]]))


@settings(max_examples=60, deadline=None)
@given(texts, st.randoms(use_true_random=False))
def test_shuffled_markers_are_refused_or_hold_every_span(text: str, luck: random.Random) -> None:
    source = protect_placeholders(Inline.of([text]))
    marked = mark(source.pieces)
    letters = TAGS.pattern.split(marked.text)
    luck.shuffle(letters)
    try:
        pieces, _ = unmark(marked, " ".join(one or "" for one in letters))
    except BrokenMarkupError:
        return
    assert sorted(span.frame for span in Inline.of(pieces).spans) == sorted(span.frame for span in source.spans)


def test_a_translation_has_the_markers_of_its_source() -> None:
    pair = marked_pair("Press <b>OK</b> in %s: <b>now</b>", "Drücken Sie in %s <b>jetzt</b> auf <b>OK</b>")
    assert pair == ("Press <1>OK</1> in <2/>: <3>now</3>", "Drücken Sie in <2/> <1>jetzt</1> auf <3>OK</3>")
    assert marked_pair("See {name}", "Siehe {name}", BRACKETS) == ("See [1/]", "Siehe [1/]")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("nothing here", "nichts hier"),
        ("a %s", "ein"),  # lost
        ("a {x}", "ein {y}"),  # another
        ("a {x}", "ein {x} {x}"),  # doubled
        ("%s of %d", "%d von %s"),  # the order means something
        ("{n, plural, one {day} other {days}}", "{n, plural, one {Tag} other {Tage}}"),
        ("<i>a <b>c</b></i>", "<i>a <b>c</i></b>"),  # pairs that cross
        ("a {x}", "ein {x} <1/>"),  # the text itself writes a marker
    ],
)
def test_pairs_with_other_markup_on_each_side_are_not_marked(source: str, target: str) -> None:
    assert marked_pair(source, target) is None


@settings(max_examples=60, deadline=None)
@given(texts, texts)
def test_what_is_marked_on_both_sides_can_be_unmarked(source: str, other: str) -> None:
    pair = marked_pair(source, f"{other} {source}")
    if pair is not None:
        marked = mark(protect_placeholders(Inline.of([source])).pieces)
        assert pair[0] == marked.text
        assert Inline.of(unmark(marked, pair[1])[0]).text.split() == f"{other} {source}".split()

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.markup import markup
from dragoman.core.markup.inline import Inline, Span
from dragoman.core.markup.placeholders import flatten, protect_placeholders

FRAGMENTS = [
    "%s", "%(name)s", "%1$d", "%d", "{0}", "{}", "{name}", "<b>", "</b>", "<br/>", "&amp;", ":func:`f`", ":ref:`t <x>`",
    "``c``", "`link <http://a.b>`_", "*e*", "**s**", "http://x.org/a?b=c.", "a@b.org", "{n, plural, one {# {x}} other {%s}}",
    "|s|", "[1]_", "%%", "%Y", " ", " word ", ". ", "'", "{", "}", "`", "*", "<", "\n", "<1>", "[2]", "{% if %}", "#", "é",
]  # fmt: skip
texts = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(FRAGMENTS), max_size=15).map("".join))


def found(text: str) -> list[tuple[str, str]]:
    return [(span.raw, span.role) for span in protect_placeholders(Inline.of([text])).spans]


@settings(max_examples=150, deadline=None)
@given(texts)
def test_protecting_keeps_the_text(text: str) -> None:
    protected = protect_placeholders(Inline.of([text]))
    assert protected.text == text
    assert flatten(protected) == Inline.of([text])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["%s", "{x}", "<b>", "&amp;", "``c``", "a@b.org", "word"]), max_size=8).map(" ".join))
def test_all_that_the_checks_look_for_is_protected(text: str) -> None:
    protected = protect_placeholders(Inline.of([text]))
    assert [span.text for span in markup.spans(text)] == [span.raw for span in protected.spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%s of %(n)s, %1$d; 100% of it", [("%s", "alone"), ("%(n)s", "alone"), ("%1$d", "alone")]),
        ("a <b>bold</b><br/> <i>", [("<b>", "open"), ("</b>", "close"), ("<br/>", "alone"), ("<i>", "alone")]),
        (":func:`f` :ref:`the text <x>`", [(":func:`f`", "alone"), (":ref:`", "open"), (" <x>`", "close")]),
        ("`the %s <http://a.b/c>`_.", [("`", "open"), ("%s", "alone"), (" <http://a.b/c>`_", "close")]),
        ("*em* and **strong**, 2 * 3 * 4", [("*", "open"), ("*", "close"), ("**", "open"), ("**", "close")]),
        ("(see http://x.org/y).", [("http://x.org/y", "alone")]),
        ("100%% on %Y-%m-%d, |today| [1]_", [(one, "alone") for one in ("%%", "%Y", "%m", "%d", "|today|", "[1]_")]),
        (
            ":ref:`a <b>`, the |c| :ref:`d`",
            [(":ref:`", "open"), (" <b>`", "close"), ("|c|", "alone"), (":ref:`d`", "alone")],
        ),
        ("plain text, no markup: 5 < 6 & 7", []),
    ],
)
def test_what_is_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


def test_the_branches_of_a_message_are_sub_flows() -> None:
    text = "You have {n, plural, offset:1 =0 {no files} one {# file in '{'it'}'} other {# <b>files</b> {k, select, a {x} other {y}}}}."
    (span,) = protect_placeholders(Inline.of([text])).spans
    assert span.frame == ("{n, plural, offset:1 =0 {", "} one {", "} other {", "}}")
    assert [flow.text for flow in span.flows] == [
        "no files",
        "# file in '{'it'}'",
        "# <b>files</b> {k, select, a {x} other {y}}",
    ]
    assert [one.raw for one in span.flows[2].spans] == ["#", "<b>", "</b>", "{k, select, a {x} other {y}}"]
    assert "#" in [one.raw for one in span.flows[1].spans]
    changed = span.with_flows([Inline.of(["aucun"]), *span.flows[1:]])
    assert changed.raw.startswith("{n, plural, offset:1 =0 {aucun} one {#")


def test_a_broken_message_is_protected_at_its_head_at_least() -> None:
    assert found("{n, plural, one {a")[0] == ("{n, plural,", "alone")


def test_elements_of_the_format_are_never_cut() -> None:
    element = Span(("<g id='1'>",), "g", element=True)
    text = Inline.of(["{na", element, "me} {n, plural, other {# ", element, "}} %s"])
    protected = protect_placeholders(text)
    assert protected.text == text.text
    assert [span.kind for span in protected.spans] == ["g", "plural", "placeholder"]
    assert flatten(protected) == text


def test_only_the_kinds_asked_for() -> None:
    protected = protect_placeholders(Inline.of(["<b>%s</b> {n, plural, other {x}}"]), frozenset({"tag"}))
    assert [span.raw for span in protected.spans] == ["<b>", "</b>"]


def test_reading_a_text_in_the_notation_of_another() -> None:
    source = Inline.of(["a ", Span(("<x/>",), "x", element=True), " b < c"])
    assert source.read("B < C <x/> A <x/>") == Inline.of(["B < C ", source.spans[0], " A <x/>"])
    assert source.read(source.text) == source

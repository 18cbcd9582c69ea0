"""Texts with tags: read and written back the same, and kept whole whatever a translator does."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.markup.inline import Span
from dragoman.core.markup.rendering import translate_inlines
from dragoman.server.markup import BLOCKS, cut, parse, write

TEXTS = [
    'Hello <x id="7"></x> and <b>the <i>dog</i></b><br>.',
    "<p>One</p><script>if (a < b) { c() }</script><p>Two &amp; three</p>",
    '<span translate="no">Acme <b>Corp</b></span> makes <a href="x>y">things</a>',
    "a < b and b > c, 3 < 4",
    "<b>never closed, <i>nor</b> this</i>",
    "<!-- a note --> text <![CDATA[ raw <b> ]]> end <?php echo 1 ?>",
    "<svg><path d='M0'/></svg> picture",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("is_html", [True, False])
def test_what_is_read_is_written_back(text: str, is_html: bool) -> None:
    assert html.unescape(write(parse(text, is_html=is_html))) == html.unescape(text)


@given(
    st.lists(
        st.sampled_from(
            ["<b>", "</b>", "<x/>", "<x id='1'>", "</x>", "word ", "& ", "<", ">", "&lt;", "é", "<p>", "\n"]
        )
    )
)
def test_any_mixture_is_read_and_written_back(parts: list[str]) -> None:
    text = "".join(parts)
    for is_html in (True, False):
        assert html.unescape(write(parse(text, is_html=is_html, ignore=["x"]))) == html.unescape(text)
    assert "".join(cut(text, BLOCKS, is_html=True)) == text


@pytest.mark.parametrize("text", TEXTS[:3])
@pytest.mark.parametrize(
    "bad", [str.upper, lambda text: "", lambda text: "words", lambda text: text + "<b>", str.strip]
)
def test_tags_survive_bad_translators(text: str, bad: object) -> None:
    source = parse(text, is_html=True)
    made = translate_inlines([source], lambda texts: [bad(one) for one in texts])[0].text  # type: ignore[operator]
    assert sorted(one.raw for one in made.spans) == sorted(one.raw for one in source.spans)


def test_what_is_ignored_is_one_span_with_its_content() -> None:
    made = parse('Press <x id="1">OK <b>now</b></x> twice', is_html=False, ignore=["X"])
    assert [one.raw for one in made.spans] == ['<x id="1">OK <b>now</b></x>']
    assert [one.raw for one in parse("<code>a <b> c</code> d", is_html=True).spans] == ["<code>a <b> c</code>"]
    empty = parse('a <x id="1"></x> b', is_html=False)
    assert [(one.raw, one.role) for one in empty.pieces if isinstance(one, Span)] == [('<x id="1"></x>', "alone")]


def test_a_text_is_cut_at_tags() -> None:
    assert cut("<par>One</par><par>Two</par>", ["par"], is_html=False) == [
        "",
        "<par>",
        "One",
        "</par>",
        "",
        "<par>",
        "Two",
        "</par>",
        "",
    ]


KEPT = ['<{0} translate="no">{1}</{0}>', '<{0} class="a notranslate">{1}</{0}>', "<{0} class=notranslate>{1}</{0}>"]
INSIDE = st.recursive(
    st.sampled_from(["stay", "a &amp; b", "<br>", '<img src="x">', "<!-- <p> -->"]),
    lambda inner: st.builds("<{0}>{1}</{0}>".format, st.sampled_from(["p", "div", "b", "li"]), inner),
    max_leaves=4,
)


@given(
    st.lists(
        st.one_of(
            st.builds(str.format, st.sampled_from(KEPT), st.sampled_from(["p", "div", "span", "td"]), INSIDE),
            INSIDE.map("<pre>{}</pre>".format),
            st.just('<script>write("<p>stay</p>")</script>'),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["<p>word</p>", "word<br>", " word "]),
)
def test_what_stays_is_never_cut(kept: list[str], between: str) -> None:
    """Blocks inside of what is not to be translated are no texts, and a block may say so itself."""
    text = between + between.join(kept) + between
    parts = cut(text, BLOCKS, is_html=True)
    assert "".join(parts) == text
    read = [parse(part, is_html=True) for part in parts]
    assert "".join(map(write, read)) == text
    words = [piece.strip() for one in read for piece in one.pieces if isinstance(piece, str) and piece.strip()]
    assert words == ["word"] * (len(kept) + 1)


def test_ignored_tags_of_xml_are_not_cut() -> None:
    text = "<d><s>One.</s><k><s>Stay.</s></k></d>"
    parts = cut(text, ["s"], is_html=False, ignore=["K"])
    assert "".join(parts) == text and "<k><s>Stay.</s></k>" in "".join(parts[-1:])

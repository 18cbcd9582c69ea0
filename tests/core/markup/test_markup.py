from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.markup.markup import keys, prose, spans

FOUND = [
    ("Press <b>OK</b> now.", [("tag", "<b>"), ("tag", "</b>")]),
    (
        "<a href=\"x.html\" class='y'>link</a><br/>",
        [("tag", "<a href=\"x.html\" class='y'>"), ("tag", "</a>"), ("tag", "<br/>")],
    ),
    ("<0>one</0><1/>", [("tag", "<0>"), ("tag", "</0>"), ("tag", "<1/>")]),
    ("<!-- a note --> text", [("tag", "<!-- a note -->")]),
    ("R&amp;D &#8211; &#x2014;", [("entity", "&amp;"), ("entity", "&#8211;"), ("entity", "&#x2014;")]),
    ("see :ref:`the guide <guide>` and ``len(x)``", [("role", ":ref:`the guide <guide>`"), ("code", "``len(x)``")]),
    (":c:func:`PyObject_Repr`", [("role", ":c:func:`PyObject_Repr`")]),
    ("Go to https://example.org/a_(b)?q=1#z.", [("url", "https://example.org/a_(b)?q=1#z")]),
    ("(see www.example.org)", [("url", "www.example.org")]),
    ("请访问https://example.org/了解详情", [("url", "https://example.org/")]),
    ("write to a.b@example.org, please", [("email", "a.b@example.org")]),
    ("%s of %1$d, %-5.2f%% and %(name)s", [("placeholder", p) for p in ("%s", "%1$d", "%-5.2f", "%(name)s")]),
    (
        "{name} {0:.2f} {} {{ user.name }} ${x}",
        [("placeholder", p) for p in ("{name}", "{0:.2f}", "{}", "{{ user.name }}", "${x}")],
    ),
    ("{count, plural, one {# file} other {# files}}", [("placeholder", "{count, plural,")]),
    ("{when, date, short}", [("placeholder", "{when, date, short}")]),
    (
        "Return to %{title} of {site}%{user.name}, 5%{x}",
        [("placeholder", p) for p in ("%{title}", "{site}", "%{user.name}", "{x}")],
    ),
    ("%1 of %2", [("placeholder", "%1"), ("placeholder", "%2")]),
    ("Hello :name, (:item_count) left", [("placeholder", ":name"), ("placeholder", ":item_count")]),
    ("&lt;b&gt;OK&lt;/b&gt;", [("tag", "&lt;b&gt;"), ("tag", "&lt;/b&gt;")]),
    (
        "&lt;a href=&quot;x&quot;&gt;go&lt;/a&gt; &amp;lt;br/&amp;gt;",
        [("tag", t) for t in ("&lt;a href=&quot;x&quot;&gt;", "&lt;/a&gt;", "&amp;lt;br/&amp;gt;")],
    ),
    ("a &lt; b and c &gt; d", [("entity", "&lt;"), ("entity", "&gt;")]),
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_finds(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(span.kind, span.text) for span in spans(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "A discount of 50% on shoes, 100 % de coton, 5%.",
        "if a < b and c > d",
        "Tom & Jerry; AT&T",
        "and/or, km/h, 1/2",
        "costs $5, {not a placeholder because of spaces}",
        "At 10:30 he said: `yes`",
        "EU:n jäsen, 5 %:n, std::vector, a ::before, :smile: :p note :Das",
    ],
)
def test_leaves_prose_alone(text: str) -> None:
    assert spans(text) == []


@given(st.lists(st.one_of(st.sampled_from([text for text, _ in FOUND]), st.text(max_size=8)), max_size=5).map(" ".join))
def test_spans_are_ordered_apart_and_true_to_the_text(text: str) -> None:
    found = spans(text)
    assert all(text[span.start : span.end] == span.text != "" for span in found)
    assert all(before.end <= after.start for before, after in zip(found, found[1:], strict=False))


@given(st.text(alphabet="a([{)]}.,", max_size=12))
def test_a_url_ends_before_the_punctuation_of_its_sentence(tail: str) -> None:
    url = f"http://x{tail}"
    found = spans(url)[0].text
    assert url.startswith(found)
    for place in range(len(found) + 1, len(url) + 1):  # whatever was left out had to be
        whole = url[:place]
        assert whole[-1] in ".,)]}" and all(
            whole[-1] != last or whole.count(first) < whole.count(last) for first, last in ("()", "[]", "{}")
        )
    assert found[-1] not in ".,"


@given(st.lists(st.sampled_from(["a ", "<b>", "{x}", "%s", " ", "&amp;"]), max_size=9).map("".join))
def test_prose_has_a_space_for_each_span(text: str) -> None:
    expected = text
    for span in reversed(spans(text)):
        expected = f"{expected[: span.start]} {expected[span.end :]}"
    assert prose(text) == expected


def test_keys_forget_what_a_translation_may_change() -> None:
    english = keys('<a title="Open">x</a> :ref:`Title <t>` https://example.org/en/ {n, plural, one {# a} other {# b}}')
    french = keys('<a title="Ouvrir">x</a> :ref:`Titre <t>` https://example.org/fr/ {n, plural, one {# c} many {# d}}')
    assert english == french
    assert english["url"] == {"example.org": 1}

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.memory.matching import Kind, Match, adapt, differences, same_text, similarity, tokens, words

TEXT = st.text(max_size=40) | st.text(alphabet="ab 12.,%s{}<>/&;:`@日本ーカタ'é́", max_size=40)


def plain(text: str) -> list[str]:
    return [token.plain for token in tokens(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Take 2 tablets, please.", ["take", "2", "tablets", "please"]),
        ("l’eau n'est", ["l", "eau", "n", "est"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("10mg of H1N1 at 12:30, 1,000.5 times", ["10", "mg", "of", "h1n1", "at", "12:30", "1,000.5", "times"]),
        ("日本語のテスト", ["日", "本", "語", "の", "テスト"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("１２ ﬁne", ["12", "fine"]),
        ("--- !", ["-", "-", "-", "!"]),
        ("", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert plain(text) == expected


PLACEHOLDERS = """
%s %1$d %(name)s %.2f {0} {user_name} ${home} #{x} <b> </b> [X7X] @@PH7@@ &nbsp; &#160; https://a.org/b?c=1 www.a.org
a.b@c.org :func:`print` ｟ph_1｠
"""


@pytest.mark.parametrize("placeholder", [*PLACEHOLDERS.split(), "{{ x }}", '<x id="7"/>'])
def test_a_placeholder_is_one_token(placeholder: str) -> None:
    found = tokens(f"see {placeholder} there.")
    assert [t.plain for t in found] == ["see", placeholder, "there"]
    assert found[1].kind is Kind.PLACEHOLDER


@pytest.mark.parametrize("text", ["100 % de", "5 < 7 and 8 > 3", "50%off", "a & b; c", "10:20"])
def test_what_is_no_placeholder(text: str) -> None:
    assert all(t.kind is not Kind.PLACEHOLDER for t in tokens(text))


@given(TEXT)
def test_words_are_the_tokens(text: str) -> None:
    assert words(text) == [(t.plain, t.kind) for t in tokens(text)]


@given(TEXT)
def test_spans_lie_in_order_and_hold_the_surface(text: str) -> None:
    at = 0
    for token in tokens(text):
        assert at <= token.start < token.end <= len(text)
        at = token.end


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("the cat sat", "The cat sat.", 1.0),
        ("the cat sat", "the dog sat", 2 / 3),
        ("the cat sat", "the cat", 2 / 3),
        ("a b c d", "e f g", 0.0),
        ("Take 2 tablets", "Take 3 tablets", 1 - 0.25 / 3),  # a number costs a quarter of a word
        ("Press {a} now", "Press {b} now", 1 - 0.25 / 3),
        ("Press 2 now", "Press {b} now", 2 / 3),  # a number is no placeholder
        ("", "", 1.0),
        ("", "a", 0.0),
    ],
)
def test_similarity(left: str, right: str, expected: float) -> None:
    assert similarity(left, right) == pytest.approx(expected)


def _levenshtein(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@given(TEXT, TEXT, TEXT)
def test_similarity_is_that_of_a_metric(a: str, b: str, c: str) -> None:
    x, y = tokens(a), tokens(b)
    longest = max(len(x), len(y))
    if longest:
        distance = 0.75 * _levenshtein([t.folded for t in x], [t.folded for t in y])
        distance += 0.25 * _levenshtein([t.plain for t in x], [t.plain for t in y])
        assert similarity(a, b) == pytest.approx(1 - distance / longest)
    assert similarity(a, b) == similarity(b, a)
    assert 0.0 <= similarity(a, b) <= 1.0
    assert (similarity(a, b) == 1.0) == (words(a) == words(b))
    lengths = [max(len(words(p)), len(words(q))) for p, q in ((a, b), (b, c), (a, c))]
    ab, bc, ac = ((1 - similarity(p, q)) * n for (p, q), n in zip(((a, b), (b, c), (a, c)), lengths, strict=True))
    assert ac <= ab + bc + 1e-9


def test_differences_name_what_parts_and_where() -> None:
    query, stored = "Take 3 small tablets daily", "Take 2 big tablets"
    found = differences(query, stored)
    assert [(d.kind, d.query, d.stored) for d in found] == [
        ("number", "3", "2"),
        ("word", "small", "big"),
        ("word", "daily", ""),
    ]
    assert all(query[slice(*d.query_span)] == d.query and stored[slice(*d.stored_span)] == d.stored for d in found)


def test_differences_in_the_surface_alone() -> None:
    assert [(d.kind, d.query, d.stored) for d in differences("Hello, you.", "hello you")] == [
        ("case", "Hello", "hello"),
        ("punctuation", ", ", " "),
        ("punctuation", ".", ""),
    ]
    assert differences("a  b", "a b") == []


@given(TEXT, TEXT)
def test_no_difference_means_the_same_text(a: str, b: str) -> None:
    found = differences(a, b)
    assert bool(found) != same_text(a, b) or (words(a) == words(b) == [])
    for d in found:
        assert a[slice(*d.query_span)] == d.query and b[slice(*d.stored_span)] == d.stored


@pytest.mark.parametrize(
    ("query", "source", "target", "expected"),
    [
        ("Take 3 tablets", "Take 2 tablets", "Prenez 2 comprimés", "Prenez 3 comprimés"),
        ("0.5 mg", "1.5 mg", "1,5 mg", "0,5 mg"),  # the target's decimal comma stays
        ("3 or 2", "2 or 3", "2 ou 3", "3 ou 2"),  # put in place at once, not one after the other
        ("Hello %s", "Hello %d", "Bonjour %d", "Bonjour %s"),
        ("Take 3 tablets", "Take 2 tablets", "Prenez deux comprimés", None),  # not there
        ("Take 3 tablets", "Take 2 tablets", "Prenez 2 fois 2 comprimés", None),  # which one?
        ("2 and 3", "2 and 2", "2 et 2", None),
        ("2 and 3", "2 and 2", "2", None),  # it also stands for the number that stays
        ("Take them", "Take 2", "Prenez 2", None),  # nothing to put in place
        ("same 2", "same 2", "pareil 2", None),
        ("1.2 and 3,4", "5.6 and 5,6", "5.6", None),  # one place for two
        # half of an expression would make another dose of it
        ("Take 1 000 mg", "Take 12.5 mg", "Prenez 12,5 mg", None),
        ("Take 1,000 mg", "Take 12.5 mg", "Prenez 12,5 mg", None),
        ("Take 1/2", "Take 2", "Prenez 2", None),
        ("Take ½", "Take 2", "Prenez 2", None),
        ("Take 1½", "Take 2", "Prenez 2", None),
        ("page 2-3", "page 21", "page 21", None),
        ("page 2 – 3", "page 21", "page 21", None),
        ("page 5", "pages 2-3", "pages 2-3", None),
        ("at -5 °C", "at 5 °C", "à 5 °C", None),
        ("< 5 mg", "10 mg", "10 mg", None),
        ("3 x 5 mg", "2 mg", "2 mg", None),
        ("3x5 mg", "2 mg", "2 mg", None),
        ("10⁻³ mg", "5 mg", "5 mg", None),
        ("10³ mg", "5 mg", "5 mg", None),
        ("3 万 mg", "5 mg", "5 mg", None),
        ("٢ mg", "5 mg", "5 mg", None),
        ("at 10:30", "at 9", "à 9", None),
        ("5 mg", "2 mg", "2 mg (2 fois)", None),
    ],
)
def test_adapt(query: str, source: str, target: str, expected: str | None) -> None:
    assert adapt(query, source, target) == expected


def test_per_cent_rounds_down() -> None:
    assert Match("", "", 0.999).percent == 99
    assert Match("", "", 0.29).percent == 29
    assert Match("", "", 1.0).percent == 100
    assert Match("", "", 1.0, exact=True, in_context=True).percent == 101


NUMBER = st.one_of(
    st.integers(0, 9999).map(str),
    st.tuples(st.integers(0, 99), st.sampled_from([".", ","]), st.integers(0, 99)).map(lambda x: f"{x[0]}{x[1]}{x[2]}"),
    st.tuples(st.integers(1, 99), st.sampled_from("-/–:×x \u00a0"), st.integers(0, 999)).map(
        lambda x: f"{x[0]}{x[1]}{x[2]:03}"
    ),
    st.sampled_from(["1/2", "½", "1½", "1 000", "2-3", "-5", "10^3", "1.000,5", "1,000.5"]),
)


@given(NUMBER, NUMBER, NUMBER, NUMBER)
def test_no_number_is_offered_that_was_not_asked_for(asked: str, stored: str, more: str, kept: str) -> None:
    """A wrong dose is worse than none: what is adapted holds the numbers of the text asked for, whole and no others."""
    query, source, target = (f"Take {n} mg every {m} h" for n, m in ((asked, more), (stored, kept), (stored, kept)))
    found = adapt(query, source, target)
    if found is not None:
        assert found == query


@pytest.mark.parametrize("number", ["3.5", "3,5", "0.25"])
def test_a_decimal_mark_is_never_put_where_the_stored_pair_tells_none(number: str) -> None:
    """`3.5` in French is `3,5`; a stored `2` does not say which one the target has."""
    assert adapt(f"Take {number} tablets", "Take 2 tablets", "Prenez 2 comprimés") is None
    assert adapt(f"Take {number} g", "Take 1.5 g", "Prenez 1,5 g") in (
        f"Prenez {number} g".replace(".", ","),
        f"Prenez {number} g".replace(",", "."),
    )
    assert adapt("Take 3 g", "Take 1.5 g", "Prenez 1,5 g") == "Prenez 3 g"

"""Keys: which values of JSON and YAML are translated, and that no other byte moves."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dragoman.errors import ArgumentError
from dragoman.store.formats.documents import Document, Keys
from dragoman.store.formats.documents.keys import as_pattern
from dragoman.store.formats.documents.model import Translated

PATHS: dict[str, tuple[str | int, ...]] = {
    "title": ("title",),
    "sub": ("title", "sub"),
    "first": ("items", 0, "text"),
    "second": ("items", 1, "text"),
    "id": ("items", 1, "id"),
    "deep": ("a", "b", 2, "c", "text"),
    "dotted": ("meta.title",),
    "number": ("items", "0", "text"),
}


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("title", "title sub"),
        ("title.sub", "sub"),
        ("items[].text", "first second"),
        ("items[1].text", "second"),
        ("items.[1].text", "second"),
        ("items", "first second id number"),
        ("items.0.text", "number"),
        ("items.*.text", "number"),
        ("**.text", "first second deep number"),
        ("**", " ".join(PATHS)),
        ("**.**.text", "first second deep number"),
        ("a.**[2].c", "deep"),
        ('"meta.title" , title.sub', "dotted sub"),
        ("items[],!items[].id", "first second"),
        ("!items", "title sub deep dotted"),
        ("!**.text,!title", "id dotted"),
        ("*.sub", "sub"),
        ("sub", ""),
    ],
)
def test_patterns_take_by_the_way_to_a_value(text: str, taken: str) -> None:
    keys = Keys(text)
    assert [name for name, path in PATHS.items() if keys.take(path)] == [n for n in PATHS if n in taken.split()]


@pytest.mark.parametrize(
    "text",
    ["", ",", "a,", "a..b", "a.", "[x]", "a b[", '"a', "a*", "**b", "!", "a]", "a[1", '"a\\q"', '"a\tb"', "x" * 2001],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="keys"):
        Keys(text)


def test_many_deep_steps_cost_little() -> None:
    assert Keys(".".join(["**"] * 300) + ".x").take(("a",) * 90 + ("x",))
    assert not Keys(".".join(["**.a"] * 200)).take(("b",) * 90)


def test_a_pattern_that_takes_nothing_is_told() -> None:
    document = Document.open(b'{"title": "One.", "n": 3}', "a.json", keys=Keys("title,tilte"))
    assert [(one.unit, one.reason) for one in document.problems] == [("tilte", "no text is under this key")]
    with pytest.raises(ArgumentError, match="this is text"):
        Document.open(b"One.", "a.txt", keys=Keys("title"))


@pytest.mark.parametrize(
    ("name", "data", "has"),
    [
        ("a.json", b'{"title": "One.", "n": 3, "items": [{"a.b": "x"}, {"a.b": "y"}]}', 'title, items[]."a.b".'),
        ("a.yml", b'en:\n  - One\n  - !x {y: Two}\n"!z": Three\n', 'en[], en[].y, "!z".'),
        (
            "a.json",
            json.dumps({f"k{n}": "x" for n in range(11)}).encode(),
            "k0, k1, k2, k3, k4, k5, k6, k7 and 3 more.",
        ),
    ],
)
def test_patterns_that_all_miss_are_refused_with_the_keys_that_there_are(name: str, data: bytes, has: str) -> None:
    with pytest.raises(ArgumentError) as told:
        Document.open(data, name, keys=Keys("tilte,n,!title"))
    assert str(told.value) == f"{name}: no text is under the keys 'tilte,n,!title'. It has {has}"


def test_an_empty_file_and_patterns_that_only_take_out_are_no_slip() -> None:
    for data, text in ((b"{}", "title"), (b'{"title": "x"}', "!title"), (b'{"title": "x"}', "title,!title")):
        assert not Document.open(data, "a.json", keys=Keys(text)).units
    assert Document.open(b'{"id": "x"}', "a.json", keys=Keys("!title")).units


@given(st.lists(st.text(max_size=5) | st.integers(0, 3), max_size=4))
def test_the_way_to_a_value_as_a_pattern_takes_it(path: list[str | int]) -> None:
    assert Keys(as_pattern(path)).take(path)


def test_keys_of_yaml_with_a_language_at_the_top_and_of_several_documents() -> None:
    data = b"en:\n  title: One word\n  id: none-of-it  # stays\n  list:\n    - text: 'Two'\n      key: k\n---\ntitle: Three\n"
    document = Document.open(data, "en.yml", keys=Keys("*.title,**.text,title"))
    assert [unit.source.plain for unit in document.units] == ["One word", "Two", "Three"]
    made = document.with_targets({unit.id: Translated(unit.source.plain.upper()) for unit in document.units})
    assert made == data.replace(b"One word", b"ONE WORD").replace(b"'Two'", b"'TWO'").replace(b"Three", b"THREE")


def test_at_keys_can_be_chosen() -> None:
    data = b'{"name": {"@value": "A text", "@language": "en"}}'
    assert not Document.open(data, "a.json").units
    assert [u.id for u in Document.open(data, "a.json", keys=Keys('**."@value"')).units] == ["name.@value"]


def test_an_alias_beside_its_anchor_in_a_list_is_one_text() -> None:
    for data in (
        b"- &a Hello world\n- *a\n- - *a\n",
        b"[&a Hello world, *a, [*a]]\n",
        b"- &a {t: Hello world}\n- *a\n",
    ):
        for keys in (None, Keys("**")):
            document = Document.open(data, "a.yaml", keys=keys)
            assert [unit.source.plain for unit in document.units] == ["Hello world"]
            made = document.with_targets({document.units[0].id: Translated("Salut")})
            assert made == data.replace(b"Hello world", b"Salut")


TREES = st.recursive(
    st.text("ab .", min_size=1, max_size=6) | st.integers(0, 9) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "a.b", "@c", "0"]), inner, max_size=3)
    ),
    max_leaves=12,
)
STEPS = st.sampled_from(["a", "b", '"a.b"', '"@c"', "0", "*", "[]", "[0]", "**"])
PATTERNS = st.lists(
    st.tuples(st.sampled_from(["", "", "!"]), st.lists(STEPS, min_size=1, max_size=4)), min_size=1, max_size=3
)


def values(tree: Any, path: tuple[str | int, ...] = (), blank: bool = False) -> list[tuple[tuple[str | int, ...], str]]:
    if isinstance(tree, dict):
        return [one for key, value in tree.items() for one in values(value, (*path, key), blank)]
    if isinstance(tree, list):
        return [one for number, value in enumerate(tree) for one in values(value, (*path, number), blank)]
    return [(path, tree)] if isinstance(tree, str) and (blank or tree.strip()) else []


def marked(tree: Any, keys: Keys, path: tuple[str | int, ...] = ()) -> Any:
    if isinstance(tree, dict):
        return {key: marked(value, keys, (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [marked(value, keys, (*path, number)) for number, value in enumerate(tree)]
    return "<" if isinstance(tree, str) and tree.strip() and keys.take(path) else tree


@given(tree=TREES, patterns=PATTERNS)
def test_what_is_taken_is_translated_and_nothing_else(tree: Any, patterns: list[tuple[str, list[str]]]) -> None:
    keys = Keys(",".join(sign + ".".join(steps) for sign, steps in patterns))
    for name, data, load in (
        ("a.json", json.dumps(tree, indent=1), json.loads),
        ("a.yaml", json.dumps(tree), YAML(typ="safe", pure=True).load),
    ):
        if keys.miss([path for path, _ in values(tree, blank=True)]):
            with pytest.raises(ArgumentError, match="no text is under the keys"):
                Document.open(data.encode(), name, keys=keys)
            continue
        document = Document.open(data.encode(), name, keys=keys)
        assert len(document.units) == sum(keys.take(path) for path, _ in values(tree))
        made = document.with_targets({unit.id: Translated("<") for unit in document.units}).decode()
        assert load(made) == marked(tree, keys)


@given(st.text(st.characters(categories=["L", "Mn"]), min_size=1, max_size=8), *[st.sampled_from(["NFC", "NFD"])] * 2)
def test_a_key_is_the_same_with_its_accents_composed_or_apart(key: str, typed: Any, written: Any) -> None:
    """A key that is kept out must not be translated because another program wrote its accents in another way."""
    keys = Keys("!" + json.dumps(unicodedata.normalize(typed, key), ensure_ascii=False))
    assert not keys.take([unicodedata.normalize(written, key)])
    assert keys.take([key + "x"]) or unicodedata.normalize("NFC", key + "x") == unicodedata.normalize("NFC", key)

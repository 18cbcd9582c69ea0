"""One retriever for training, evaluation and serving: what it finds, and what it must never find."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus import leaks
from dragoman.core.prompt.terms import Term
from dragoman.core.records import Context, Example
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import leak_key
from dragoman.store.memory.glossary import Glossary
from dragoman.store.memory.retrieval import BANDS, Excluded, Retriever, band
from dragoman.store.memory.translation_memory import Memory

EN_FR = Direction("en", "fr")
PAIRS = [
    ("Take 2 tablets in the morning.", "Prenez 2 comprimés le matin."),
    ("Take 2 tablets in the evening.", "Prenez 2 comprimés le soir."),
    ("Keep out of the reach of children.", "Tenir hors de portée des enfants."),
    ("The weather is fine.", "Il fait beau."),
]


def example(source: str, target: str) -> Example:
    return Example(source, target, "en", "fr")


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    memory = Memory.open(tmp_path / "m.sqlite", create=True)
    memory.add([example(*pair) for pair in PAIRS])
    return memory


def test_the_best_example_stands_last_and_the_gate_is_told(memory: Memory) -> None:
    texts = ["Take 3 tablets in the morning.", "The weather is what people talk about on trains."]
    near, far = Retriever(memory).find(texts, EN_FR, shots=2)
    assert [match.target for match in near.matches] == [PAIRS[0][1], PAIRS[1][1]]
    assert near.assist == Context((PAIRS[1], PAIRS[0]))
    assert not near.gated
    assert far.matches == () and far.gated
    assert far.nearest is not None and far.nearest.source == "The weather is fine."
    high = Retriever(memory).find(texts, EN_FR, shots=2, floor=0.5)
    assert high[0].matches == near.matches
    assert high[1].nearest is None


def test_both_directions(memory: Memory) -> None:
    (found,) = Retriever(memory).find(["Prenez 4 comprimés le matin."], EN_FR.reversed)
    assert found.matches[0].target == PAIRS[0][0]


def test_an_example_never_finds_itself_its_twins_or_what_is_held_out(memory: Memory) -> None:
    memory.add([example("Take 9 tablets in the morning.", "x"), example("y", "PRENEZ 5 COMPRIMÉS LE MATIN")])
    first = example(*PAIRS[0])
    (found,) = Retriever(memory).find([first.source], EN_FR, shots=9, min_match=0.0, excludes=[Excluded.of(first)])
    sources = [match.source for match in found.matches]
    assert PAIRS[1][0] in sources
    assert not {"y", "Take 9 tablets in the morning.", PAIRS[0][0]} & set(sources)
    held = Excluded.of(first, leaks.keys_of([example(*PAIRS[1])]))
    (found,) = Retriever(memory).find([first.source], EN_FR, shots=9, min_match=0.0, excludes=[held])
    assert PAIRS[1][0] not in [match.source for match in found.matches]


@given(st.lists(st.text("abc1. "), max_size=4), st.lists(st.text("abc1. "), max_size=4), st.text("abc1. "))
def test_excluded_is_the_union(own: list[str], shared: list[str], key: str) -> None:
    both = Excluded(frozenset(own), frozenset(shared))
    assert (key in both) == (key in own or key in shared)
    assert set(both) == {*own, *shared}
    assert len(both) == len({*own, *shared})
    assert bool(both) == bool(own or shared)


def test_terms_come_once_and_only_those_of_the_reference() -> None:
    terms = [
        Term("tablet", "comprimé", "en", "fr"),
        Term("tablet", "tablette", "en", "fr"),
        Term("morning", "matin", "en", "fr"),
    ]
    retriever = Retriever(glossary=Glossary(terms))
    (found,) = retriever.find(["Take 2 tablets in the morning"], EN_FR)
    assert found.assist == Context((), (("tablet", "comprimé"), ("morning", "matin")))
    assert [term.target for term in retriever.terms("Two tablets, this morning", EN_FR, "Deux tablettes")] == [
        "tablette"
    ]
    (found,) = retriever.find(["Two tablets, this morning"], EN_FR, terms=1)
    assert found.assist.terms == (("tablet", "comprimé"),)
    assert not Retriever().find(["Two tablets"], EN_FR)[0].assist


def test_bands() -> None:
    assert [band(m) for m in (0, 0.499, 0.5, 0.7, 0.85, 0.95, 1.0)] == ["<50", "<50", *BANDS[1:], "95-100"]


def test_held_out_keys_have_no_empty_one() -> None:
    assert leaks.keys_of([example("12", "La dose")]) == {leak_key("La dose")}

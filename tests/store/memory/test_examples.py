"""Examples of a whole set: kept until what they were made of changes, and the same in any number of processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.core.listen import SILENT
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.assist import GlossaryUse, MemoryUse
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.corpus import records
from dragoman.store.memory import examples
from dragoman.store.memory.examples import Shot, Wanted
from dragoman.store.memory.retrieval import Retriever
from dragoman.store.memory.translation_memory import Memory, memory_file
from tests.heard import Heard

WANTED = Wanted(("en-fr",), 2, 0.5, 1.0, "default")


def rows() -> list[Example]:
    nouns = ["cat", "dog", "house", "tree", "book", "nurse", "tablet"]
    return [
        Example(f"The {a} stands beside the {b} today.", f"{a} près de {b}.", "en", "fr") for a in nouns for b in nouns
    ]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "prepare"
    records.write(folder / "train", rows(), Example)
    records.write(folder / "test", [Example("The cat stands beside the horse today.", "x", "en", "fr")], Example)
    return folder


def found(texts: Path, wanted: Wanted = WANTED, threads: int = 1) -> list[list[Shot]]:
    memory, _ = examples.open_memory(MemoryUse(), Recipe.parse("pairs: en-fr"), texts, SILENT)
    return list(examples.examples(rows, texts, memory, wanted, SILENT, threads=threads))


def test_the_memory_of_the_training_texts_is_made_once(texts: Path) -> None:
    recipe = Recipe.parse("pairs: en-fr")
    memory, tenant = examples.open_memory(MemoryUse(tenant="other"), recipe, texts, SILENT)
    assert (memory.path.name, tenant) == (examples.OF_TRAINING, "default")
    first = memory.fingerprint
    assert examples.open_memory(MemoryUse(), recipe, texts, SILENT)[0].fingerprint == first
    records.write(texts / "train", rows()[1:], Example)
    again, _ = examples.open_memory(MemoryUse(), recipe, texts, SILENT)
    assert again.fingerprint != first
    assert sum(holding.segments for holding in again.stats()) == len(rows()) - 1
    again.path.with_suffix(".json").unlink()  # stopped before it was finished
    assert examples.open_memory(MemoryUse(), recipe, texts, SILENT)[0].fingerprint != again.fingerprint


def test_the_run_s_own_memory_and_a_named_one_come_first(texts: Path, tmp_path: Path) -> None:
    run = texts.parent
    recipe = Recipe.parse("pairs: en-fr", folder=tmp_path)
    Memory.open(memory_file(run), create=True).add(rows()[:3], "mine")
    memory, tenant = examples.open_memory(MemoryUse(tenant="mine"), recipe, texts, SILENT)
    assert (memory.path, tenant) == (memory_file(run), "mine")
    with Memory.open(tmp_path / "tm.sqlite", create=True) as other:
        other.add(rows()[:1])
    assert examples.open_memory(MemoryUse(path="tm.sqlite"), recipe, texts, SILENT)[0].path == tmp_path / "tm.sqlite"
    with pytest.raises(DataError, match="there is no translation memory"):
        examples.open_memory(MemoryUse(path="none.sqlite"), recipe, texts, SILENT)
    for tenant, pairs in (("mistyped", "en-fr"), ("mine", "en-de")):
        with pytest.raises(DataError, match=f"holds nothing for {pairs} of tenant '{tenant}'.*holds: en-fr of 'mine'"):
            examples.open_memory(MemoryUse(tenant=tenant), Recipe.parse(f"pairs: {pairs}"), texts, SILENT)


def test_a_named_glossary(tmp_path: Path) -> None:
    (tmp_path / "terms.tsv").write_text("cat\tchat\n", encoding="utf-8")
    recipe = Recipe.parse("pairs: en-fr", folder=tmp_path)
    glossary = examples.open_glossary(GlossaryUse(path="terms.tsv"), recipe, tmp_path, SILENT)
    assert [term.target for term in glossary.terms_in("Two cats", Direction("en", "fr"))] == ["chat"]


def test_a_glossary_that_is_of_no_use_is_refused_and_its_bad_rows_are_told(tmp_path: Path) -> None:
    use, recipe, listener = GlossaryUse(path="terms.csv"), Recipe.parse("pairs: en-fr", folder=tmp_path), Heard()
    (tmp_path / "terms.csv").write_text("cat,Katze,en,de\nalone\n", encoding="utf-8")
    with pytest.raises(DataError, match="terms.csv: has no terms for en-fr; those that it has: en-de"):
        examples.open_glossary(use, recipe, tmp_path, listener)
    assert listener.warned == [f"{tmp_path / 'terms.csv'}:2: columns: 1 columns"]


def test_the_same_as_the_retriever_in_any_number_of_processes(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = found(texts)
    assert len(one) == len(rows())
    memory, _ = examples.open_memory(MemoryUse(), Recipe.parse("pairs: en-fr"), texts, SILENT)
    for row, shots in list(zip(rows(), one, strict=True))[:5]:
        (direct,) = Retriever(memory).find([row.source], row.direction, shots=9, min_match=0.5)
        direct_pairs = [(m.source, m.target) for m in direct.matches if m.source != row.source]
        assert [shot[:2] for shot in shots] == direct_pairs[:2]
    for file in (texts.parent / "memory").glob("matches-*"):
        file.unlink()
    monkeypatch.setattr(examples, "_ALONE", 0)
    monkeypatch.setattr(examples, "_CHUNK", 10)
    assert found(texts, threads=2) == one


def test_kept_until_something_changes(texts: Path) -> None:
    found(texts)
    files = set((texts.parent / "memory").glob("matches-*"))
    found(texts)
    assert set((texts.parent / "memory").glob("matches-*")) == files
    found(texts, replace(WANTED, shots=1))
    records.write(texts / "test", [rows()[3]], Example)  # held out now: never an example
    assert all(shot.source != rows()[3].source for shots in found(texts) for shot in shots)
    for number in range(5):
        found(texts, replace(WANTED, min_match=0.5 + number / 100))
    assert len(list((texts.parent / "memory").glob("matches-*"))) == 4

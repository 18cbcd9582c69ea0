"""Training prompts with examples and terms: the shares, what is never shown, and that it is the same every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dragoman.core.prompt.terms import Term
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.engine.load import Loaded
from dragoman.engine.phases.sft_rows import Data, training_data
from dragoman.errors import RecipeError
from dragoman.store.corpus import records
from dragoman.store.memory.glossary import Glossary, glossary_file
from dragoman.store.memory.translation_memory import Memory, memory_file
from tests.tiny import tiny

COUNT = 40


def pair(number: int, animal: str = "cat", tier: str = "Katze") -> Example:
    word = "abcdefghij"[number % 10] * (number // 10 + 1)
    return Example(f"the {animal} sees {word} house.", f"die {tier} sieht {word} Haus.", "en", "de", "t.tsv", number)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "prepare"
    records.write(folder / "train", [*map(pair, range(COUNT)), Example("zzz", "yyy", "en", "de")], Example)
    records.write(folder / "dev", [pair(1, "dog", "Hund")], Example)
    return folder


def recipe(sft: str, pairs: str = "[en-de]") -> Recipe:
    return Recipe.parse(f"pairs: {pairs}\nmodel: {{new: {{}}}}\nplan: {{threads: 1}}\ntrain: [{{sft: {sft}}}]\n")


def made(sft: str, texts: Path, loaded: Loaded | None = None, pairs: str = "[en-de]") -> Data:
    given = recipe(sft, pairs)
    assert given.train[0].sft is not None
    return training_data(given, given.train[0].sft, loaded or tiny(), texts)


def prompts(data: Data, loaded: Loaded) -> list[str]:
    return [loaded.tokenizer.decode(data.corpus.row(row)[0]) for row in range(len(data.corpus))]


def test_every_sentence_has_a_prompt_for_each_number_of_examples(texts: Path) -> None:
    loaded = tiny()
    data = made("{shots: {0: 0.5, 1: 0.4, 2: 0.1}, memory: {poor: 0}}", texts, loaded)
    assert data.directions == {"en-de": COUNT + 1}
    assert data.corpus.sentence is not None
    by_sentence = np.bincount(data.corpus.sentence, data.corpus.weight)
    assert by_sentence == pytest.approx([1.0] * (COUNT + 1))
    assert np.bincount(data.corpus.sentence).tolist() == [3] * COUNT + [1]  # nothing is like the last one
    counts = Counter(text.count("<|en|>") - 1 for text in prompts(data, loaded))
    assert counts == {0: COUNT + 1, 1: COUNT, 2: COUNT}
    facts = data.assists
    assert facts["wanted"] == {"0": 20.5, "1": 16.4, "2": 4.1}
    assert facts["given"] == {"0": 21.0, "1": 16.0, "2": 4.0}
    assert facts["gated"] == 1
    assert facts["bands"] == {"70-85": COUNT}
    assert facts["memory"] == {"segments": COUNT + 1, "of_training_texts": True}
    assert len(data.examples) == 2


def test_no_sentence_sees_itself_a_twin_or_what_is_held_out(texts: Path) -> None:
    own = Memory.open(memory_file(texts.parent), create=True)
    held = next(iter(records.read(texts / "dev", Example)))
    twin = Example("The cat sees A house!", "other", "en", "de")
    own.add([*records.read(texts / "train", Example), held, twin])
    loaded = tiny()
    data = made("{shots: {3: 1.0}, memory: {poor: 0, min_match: 0.1}}", texts, loaded)
    assert data.assists["memory"] == {"segments": COUNT + 3, "of_training_texts": False}
    for text in prompts(data, loaded):
        assert "dog" not in text
        *shots, query = text.split("<|en|>")[1:]
        assert all(shot.split("<|de|>")[0] != query.split("<|de|>")[0] for shot in shots)
    first = prompts(data, loaded)[0]
    assert "A house" not in first
    allowed = made("{shots: {3: 1.0}, memory: {poor: 0, min_match: 0.1, leave_one_out: false}}", texts, loaded)
    assert "A house" in prompts(allowed, loaded)[0] or first.count("a house") == 1


def test_it_is_the_same_every_time_and_searched_once(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = "{shots: {0: 0.5, 2: 0.5}, memory: {poor: 0.3, min_match: 0.3}}"
    first = made(wish, texts, pairs="[en-de, de-en]")
    monkeypatch.setattr(Memory, "search", None)
    second = made(wish, texts, pairs="[en-de, de-en]")
    assert np.array_equal(first.corpus.ids, second.corpus.ids)
    assert np.array_equal(first.corpus.weight, second.corpus.weight)
    assert first.assists == second.assists
    assert first.directions == {"en-de": COUNT + 1, "de-en": COUNT + 1}


def test_poor_examples_are_other_pairs(texts: Path) -> None:
    loaded = tiny()
    data = made("{shots: {1: 1.0}, memory: {poor: 1.0, min_match: 0.9}}", texts, loaded)
    assert data.assists["poor"] == COUNT + 1
    assert data.assists["gated"] == COUNT + 1
    for text in prompts(data, loaded):
        (shot, query) = text.split("<|en|>")[1:]
        assert shot.split("<|de|>")[0] != query.split("<|de|>")[0]


def test_a_prompt_loses_what_does_not_fit(texts: Path) -> None:
    long = [Example(f"the cat {word * 12}", f"die Katze {word * 12}", "en", "de") for word in ("ab ", "ba ")]
    records.write(texts / "train", long, Example)
    data = made("{shots: {1: 1.0}, memory: {poor: 1.0, min_match: 0.1}}", texts)
    assert data.assists["no_room"] == 2
    assert data.assists["given"] == {"0": 2.0}
    assert data.directions == {"en-de": 2}
    assert data.too_long == {}


def test_terms_are_those_that_the_reference_obeys(texts: Path) -> None:
    with pytest.raises(RecipeError, match="has none. Import one with `dragoman glossary import`"):
        made("{glossary: true}", texts)
    terms = [Term("house", "Haus", "en", "de"), Term("cat", "Kater", "en", "de"), Term("zzz", "yyy", "en", "de")]
    Glossary(terms).save(glossary_file(texts.parent))
    loaded = tiny()
    data = made("{glossary: {share: 1.0, terms: 1}}", texts, loaded)
    found = prompts(data, loaded)
    assert all(text.count("<|term|>house<|means|>Haus<|en|>") == 1 for text in found[:-1])
    assert found[-1].startswith("<s><|term|>zzz<|means|>yyy<|en|>zzz<|de|>yyy")
    assert data.assists["terms"] == data.assists["with_terms"] == COUNT + 1
    half = made("{glossary: {share: 0.5}}", texts, loaded).assists["with_terms"]
    assert 0.25 * COUNT < half < 0.75 * COUNT

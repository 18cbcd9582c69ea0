"""Synthetic rows in training: share, tag, direction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.core.prompt.prompts import FORMATS, SYNTHETIC, render, tagged
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine.phases.sft_rows import Data, training_data
from dragoman.errors import DataError, ModelError, RecipeError
from dragoman.store.corpus import records
from tests.tiny import tiny, tiny_tokenizer

EN_DE = Direction("en", "de")
SYNTHESISE = "synthesise: {teachers: {m: {run: x}}, make: [{back: {teacher: m, pair: en-de}}]}"


def recipe(sft: str, pairs: str = "en-de") -> Recipe:
    return Recipe.parse(f"pairs: [{pairs}]\nmodel: {{new: {{}}}}\n{SYNTHESISE}\ntrain: [{{sft: {sft}}}]")


def write(folder: Path, real: int, synthetic: int) -> tuple[Path, Path]:
    def rows(count: int, word: str, weight: float = 1.0) -> list[Example]:
        return [Example(f"the {word} {n}.", f"das {word} {n}.", "en", "de", weight=weight) for n in range(count)]

    records.write(folder / "train", rows(real, "house", 2.0), Example)
    records.write(folder / "rows", rows(synthetic, "tree"), Example)
    return folder, folder / "rows"


def data(folder: Path, sft: str, real: int = 30, synthetic: int = 20, pairs: str = "en-de") -> Data:
    chosen = recipe(sft, pairs)
    phase = chosen.train[0].sft
    assert phase is not None
    texts, made = write(folder, real, synthetic)
    return training_data(chosen, phase, tiny(), texts, made=made)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_the_share_is_that_of_an_epoch(tmp_path: Path, share: float) -> None:
    found = data(tmp_path, f"{{synthetic: {{share: {share}}}}}")
    assert found.directions == {"en-de": 30, "en-de synthetic": 20}
    real, synthetic = found.corpus.weight[:30].sum(), found.corpus.weight[30:].sum()
    assert real == pytest.approx(60)  # the rows' own weights stay
    assert synthetic / (real + synthetic) == pytest.approx(share)


def test_without_a_share_every_row_comes_once_and_with_one_no_real_row_comes(tmp_path: Path) -> None:
    found = data(tmp_path / "a", "{synthetic: {}}")
    assert found.corpus.weight[30:].tolist() == [1.0] * 20
    found = data(tmp_path / "b", "{synthetic: {share: 1}}")
    assert found.directions == {"en-de synthetic": 20} and found.corpus.weight.tolist() == [1.0] * 20
    found = data(tmp_path / "c", "{}")
    assert found.directions == {"en-de": 30}  # real rows only, unless the phase asks for others


def test_synthetic_rows_are_tagged_and_serve_their_own_direction_only(tmp_path: Path) -> None:
    found = data(tmp_path / "a", "{synthetic: {}}", pairs="en-de, de-en")
    assert found.directions == {"en-de": 30, "de-en": 30, "en-de synthetic": 20}
    [shown] = [row for row in found.examples if any(piece.text == SYNTHETIC for piece in row.pieces)]
    assert [piece.text for piece in shown.pieces[:4]] == ["", SYNTHETIC, "<|en|>", "the tree 0."]
    assert not any(piece.trained for piece in shown.pieces[:2])
    plain = data(tmp_path / "b", "{synthetic: {tag: false}}")
    assert not any(piece.text == SYNTHETIC for row in plain.examples for piece in row.pieces)
    with pytest.raises(DataError, match="no synthetic row for de-en"):
        data(tmp_path / "c", "{directions: [de-en], synthetic: {}}", pairs="en-de, de-en")


def test_synthetic_rows_go_beside_prompts_with_examples(tmp_path: Path) -> None:
    found = data(tmp_path, "{synthetic: {share: 0.5}, shots: {0: 0.5, 1: 0.5}}")
    assert found.directions == {"en-de": 30, "en-de synthetic": 20}
    assert found.corpus.weight[-20:].sum() == pytest.approx(60)


def test_what_cannot_work_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train.0.sft.synthetic: needs a `synthesise` section"):
        Recipe.parse("pairs: [en-de]\nmodel: {new: {}}\ntrain: [{sft: {synthetic: {}}}]")
    chosen = recipe("{synthetic: {}}").train[0].sft
    assert chosen is not None
    texts, made = write(tmp_path, 3, 3)
    older = replace(tiny(), tokenizer=tiny_tokenizer(controls=()))
    with pytest.raises(ModelError, match=r"no token for synthetic text.*tag: false"):
        training_data(recipe("{synthetic: {}}"), chosen, older, texts, made=made)
    with pytest.raises(DataError, match="give the recipe a `synthesise` section"):
        training_data(recipe("{synthetic: {}}"), chosen, tiny(), texts)


def test_the_tag_stands_at_the_start_of_every_kind_of_prompt() -> None:
    for name in FORMATS:
        made = tagged(FORMATS[name], render(FORMATS[name], EN_DE, "Hello.", "Hallo."))
        plain = render(FORMATS[name], EN_DE, "Hello.", "Hallo.")
        if made.turns:
            assert made.turns[0].text == f"{SYNTHETIC} {plain.turns[0].text}" and made.answer == plain.answer
        else:
            text = "".join(piece.text for piece in made.pieces)
            assert text.removeprefix(SYNTHETIC).lstrip() == "".join(piece.text for piece in plain.pieces)
            assert [p for p in made.pieces if p.trained] == [p for p in plain.pieces if p.trained]

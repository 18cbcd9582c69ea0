"""A string is never taken for a list of texts."""

from __future__ import annotations

from pathlib import Path

import pytest

import dragoman
from dragoman import Direction, Recipe, RecipeError
from dragoman.core.arguments import several


@pytest.mark.parametrize("wrong", ["Take", b"Take", "", "私"])
def test_a_bare_string_is_refused_with_what_to_write(wrong: str) -> None:
    with pytest.raises(TypeError, match=r"takes a list, not one string. Write \["):
        several(wrong)


def test_what_is_no_text_is_named() -> None:
    with pytest.raises(TypeError, match="holds int 3"):
        several(["a", 3])  # type: ignore[list-item]
    assert several(iter(["a", "b"])) == ["a", "b"]


def test_directions_may_be_written() -> None:
    assert Direction.of("en-fr") == Direction.of(Direction("en", "fr"))
    with pytest.raises(TypeError, match="neither"):
        Direction.of(("en", "fr"))  # type: ignore[arg-type]


def test_a_recipe_made_by_a_program_is_explained_too() -> None:
    with pytest.raises(RecipeError, match=r"^recipe: train.0.sft.epoch: unknown key. Did you mean 'epochs'\?$"):
        Recipe(pairs=["en-fr"], train=[{"sft": {"epoch": 3}}])
    with pytest.raises(RecipeError, match="recipe: pairs: is missing"):
        Recipe.model_validate({})


def test_names_where_lists_are_meant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes a list of two or more runs"):
        dragoman.compare(str(tmp_path))
    with pytest.raises(TypeError, match="overrides: takes a list"):
        dragoman.run(tmp_path / "recipe.yaml", overrides="seed=3")
    with pytest.raises(TypeError, match="comes from no file"):
        dragoman.run(Recipe(pairs=["en-fr"]))
    with pytest.raises(RecipeError, match="no such stage: prepar"):
        dragoman.run(Recipe(pairs=["en-fr"]), tmp_path, stages="prepar")

"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.cli.options import with_backend
from dragoman.core.recipe import Recipe
from dragoman.errors import RecipeError

RECIPE = """
pairs: [en-de]
prepare: {parallel: x.tsv, monolingual: {de: y.txt}}
model: {base: some/model}
evaluate: {}
synthesise:
  teachers: {own: {run: other}, far: {run: {folder: far, beam: 3}}, big: {local: {model: some/other}}}
  make: [{back: {teacher: own, rows: 10}}]
"""


def test_a_backend_goes_where_a_stage_translates(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.partition("synthesise:")[0])
    assert with_backend(path, ["name=x"], "evaluate", "auto") == ["name=x"]
    given = with_backend(path, ["name=x"], "evaluate", "http://127.0.0.1:8080/v1#clinic")
    evaluate = Recipe.load(path, given).evaluate
    assert evaluate is not None and evaluate.backend == "http://127.0.0.1:8080/v1#clinic"
    with pytest.raises(RecipeError, match="--backend: 'fast' is no backend"):
        with_backend(path, None, "evaluate", "fast")
    with pytest.raises(RecipeError, match="no teacher that is a run of dragoman"):
        with_backend(path, None, "synthesise", "ctranslate2")
    path.write_text(RECIPE)
    synthesise = Recipe.load(path, with_backend(path, None, "synthesise", "ctranslate2-int8")).synthesise
    assert synthesise is not None
    runs = {key: one.run for key, one in synthesise.teachers.items() if one.run is not None}
    assert {key: (one.folder, one.beam, one.backend) for key, one in runs.items()} == {
        "own": ("other", 1, "ctranslate2-int8"),
        "far": ("far", 3, "ctranslate2-int8"),
    }

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragoman import new
from dragoman.core.bases import Choice, choose
from dragoman.core.recipe import Adapt, Recipe
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError

EN_FR = Direction("en", "fr")


@pytest.mark.parametrize(
    "base",
    ["Qwen/Qwen3-0.6B-Base", None, "some: odd #name", choose([EN_FR]), choose([Direction("en", "gag")], memory=1)],
)
@pytest.mark.parametrize("name", ["clinic", "no", "3: #x", "été"])
@pytest.mark.parametrize("pairs", [[EN_FR], [Direction("pt-BR", "zh-Hant"), Direction("no", "en")]])
def test_the_recipe_is_valid_as_it_is_written(base: str | Choice | None, name: str, pairs: list[Direction]) -> None:
    recipe = Recipe.parse(new.text(name, pairs, files=["a b.tsv", "c: d.tmx", "- e"], base=base))
    assert (recipe.name, recipe.pairs) == (name, pairs)
    assert recipe.model is not None
    assert recipe.model.base == (base.base.id if isinstance(base, Choice) else base)
    assert (recipe.model.new is None) == (base is not None)
    assert isinstance(recipe.train[0].adapt, Adapt) == (base is not None)
    assert recipe.prepare is not None
    assert [source.path for source in recipe.prepare.parallel] == ["a b.tsv", "c: d.tmx", "- e"]


@pytest.mark.parametrize("base", [choose([EN_FR]), "Qwen/Qwen3-0.6B-Base", None])
def test_every_key_that_is_commented_out_is_a_real_one(base: str | Choice | None) -> None:
    text = new.text("x", [EN_FR], base=base)
    switched_on, count = re.subn(r"^#(  +\S|\w+: \{)", r"\1", text, flags=re.MULTILINE)
    assert count > 10
    changed = Recipe.parse(switched_on)
    assert changed.plan.hours == 12
    assert changed.deploy is not None
    assert changed.monitor is not None
    assert changed.prepare is not None
    assert changed.prepare.parallel[-1].use == "test"


@pytest.mark.parametrize("base", [choose([EN_FR]), "Qwen/Qwen3-0.6B-Base", None])
def test_the_other_way_to_start_a_model_is_valid_too(base: str | Choice | None) -> None:
    text = new.text("x", [EN_FR], base=base)
    old, other = ("base", "new") if base else ("new", "base")
    swapped = re.sub(
        rf"^  # {other}:", f"  {other}:", re.sub(rf"^  {old}:.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE
    )
    model = Recipe.parse(swapped).model
    assert model is not None
    assert (model.new is None) == (base is None)


def test_files_are_named_as_seen_from_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.tmx").touch()
    monkeypatch.chdir(tmp_path)
    path = new.write(Path("clinic"), [EN_FR], files=[Path("texts/a.tmx")])
    recipe = Recipe.load(path)
    assert recipe.prepare is not None
    assert Path(recipe.resolve(recipe.prepare.parallel[0].path)).is_file()
    assert recipe.prepare.parallel[0].path == "../texts/a.tmx"


def test_nothing_is_overwritten_and_no_missing_file_is_named(tmp_path: Path) -> None:
    path = new.write(tmp_path / "p", [EN_FR])
    assert (tmp_path / "p" / "data").is_dir()
    with pytest.raises(DataError, match=r"recipe\.yaml: there is a recipe already"):
        new.write(tmp_path / "p", [EN_FR])
    with pytest.raises(DataError, match=r"none\.tsv: no such file"):
        new.write(tmp_path / "q", [EN_FR], files=[tmp_path / "none.tsv"])
    assert not (tmp_path / "q").exists()
    assert str(path) in path.read_text()

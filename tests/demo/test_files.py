"""The demo's files: read back with dragoman's own readers, without overlap, the same bytes each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragoman import demo
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example, Rejected, Text
from dragoman.core.text.languages import Direction
from dragoman.demo.corpus import generate
from dragoman.errors import DataError
from dragoman.store.formats.readers import read_parallel, read_text
from dragoman.store.run.artifact import file_digest

SIZES = demo.Sizes(french=900, german=700, clinic=600, text=200, test=60, unseen=10)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> demo.DemoFiles:
    return demo.write(tmp_path_factory.mktemp("demo"), sizes=SIZES)


def _pairs(path: str, written: demo.DemoFiles, which: int) -> list[Example]:
    recipe = Recipe.load(written.recipes[which])
    assert recipe.prepare
    assert recipe.evaluate
    sources = [*recipe.prepare.parallel, *recipe.evaluate.files]
    source = next(s for s in sources if s.path.endswith(path))
    found = list(read_parallel(source, recipe))
    return [row for row in found if isinstance(row, Example)]


def test_recipes_are_valid_and_in_order(written: demo.DemoFiles) -> None:
    general, clinic = (Recipe.load(path) for path in written.recipes)
    assert general.model
    assert general.model.new
    assert clinic.model
    assert clinic.model.base == "../general"
    assert Path(clinic.resolve(clinic.model.base)).resolve() == written.recipes[0].parent.resolve()
    for path in written.recipes:
        assert "GENERATED" in path.read_text(encoding="utf-8")


def test_every_file_of_the_recipes_exists_and_is_read(written: demo.DemoFiles) -> None:
    for which, recipe_path in enumerate(written.recipes):
        recipe = Recipe.load(recipe_path)
        assert recipe.prepare
        for source in recipe.prepare.parallel:
            name = Path(source.path).name
            rows = list(read_parallel(source, recipe))
            assert len(rows) == written.rows[name]
            empty = written.spoilt.get(name, {}).get("empty", 0)
            unreadable = sum(isinstance(row, Rejected) for row in rows)
            assert unreadable <= empty
            pairs = _pairs(name, written, which)
            assert {str(pair.direction) for pair in pairs} == {name.split(".")[1]}
        for language, texts in recipe.prepare.monolingual.items():
            rows = [row for source in texts for row in read_text(source, language, recipe)]
            assert len(rows) == SIZES.text
            assert all(isinstance(row, Text) for row in rows)


def test_no_text_of_a_test_set_is_trained_on(written: demo.DemoFiles) -> None:
    def keys(pairs: list[Example]) -> set[str]:
        return {re.sub(r"\d", "", text) for pair in pairs for text in (pair.source, pair.target)}

    for which, name, test in (
        (0, "general.en-fr.tsv.gz", "general-test.en-fr.tsv"),
        (0, "general.en-de.tsv.gz", "general-test.en-de.tsv"),
        (1, "clinic.en-fr.tmx", "clinic-test.en-fr.tsv"),
    ):
        assert not keys(_pairs(name, written, which)) & keys(_pairs(test, written, which))


def test_the_clinic_measures_the_general_domain_too(written: demo.DemoFiles) -> None:
    recipe = Recipe.load(written.recipes[1])
    assert recipe.evaluate
    assert [Path(s.path).name for s in recipe.evaluate.files] == ["general-test.en-fr.tsv"]
    general = _pairs("general-test.en-fr.tsv", written, 1)
    assert len(general) == SIZES.test


def test_the_same_seed_gives_the_same_bytes(written: demo.DemoFiles, tmp_path: Path) -> None:
    again = demo.write(tmp_path, sizes=SIZES)
    assert [file_digest(p) for p in again.files] == [file_digest(p) for p in written.files]
    assert (again.rows, again.spoilt) == (written.rows, written.spoilt)
    other = demo.write(tmp_path / "other", seed=8, sizes=SIZES)
    assert file_digest(other.files[0]) != file_digest(written.files[0])
    assert Recipe.load(other.recipes[0]).seed == 8


def test_a_spoilt_share_is_told(written: demo.DemoFiles) -> None:
    assert set(written.spoilt) == {"general.en-fr.tsv.gz", "general.en-de.tsv.gz", "clinic.en-fr.tmx"}
    rows = sum(written.rows[name] for name in written.spoilt)
    assert 0.01 < sum(sum(kinds.values()) for kinds in written.spoilt.values()) / rows < 0.05
    assert "spoilt on purpose" in (written.folder / "data" / "README.txt").read_text(encoding="utf-8")


def test_shown_sentences_stand_in_no_file(written: demo.DemoFiles) -> None:
    for domain in demo.DOMAINS:
        shown = demo.show_sentences(written.folder, [Direction("en", "fr"), Direction("fr", "en")], 3, domain)
        assert [str(s.direction) for s in shown] == ["en-fr"] * 3 + ["fr-en"] * 3
        assert shown[0].source == shown[3].reference
        used = {pair.source for pair in _pairs("general.en-fr.tsv.gz", written, 0)}
        assert not used & {s.source for s in shown}
    everything = {row[0] for row in generate("general", 3000, 7)}
    assert shown[0].source not in everything


def test_errors(written: demo.DemoFiles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Write the demo's files first"):
        demo.show_sentences(tmp_path, [Direction("en", "fr")])
    with pytest.raises(DataError, match="not es"):
        demo.show_sentences(written.folder, [Direction("en", "es")])
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(DataError, match="Name another folder"):
        demo.write(blocked)

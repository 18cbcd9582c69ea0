"""What each stage says that it reads of the recipe is all that it reads, and what it does not read remakes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dragoman import pipeline
from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.values import Section
from dragoman.store.run.artifact import Artifact
from dragoman.store.run.run_state import Workspace

RECIPE = """
name: small
pairs: [en-de]
prepare:
  parallel: [data.tsv]
  monolingual: {en: [text.txt]}
  checks: {language: null}
  holdout: {dev: 20, test: 20}
model: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 344, context: 64}}
plan: {precision: fp32, threads: 1}
train:
  - sft: {tokens: 1k, batch_tokens: 512, compile: false, evaluate_sentences: 4}
  - hybrid: {tokens: 1k, batch_tokens: 512, compile: false, evaluate_sentences: 4, tasks: {mt: {weight: 1}, lm: {weight: 1, languages: [en]}}}
  - prune: {sparsity: 0.25, evaluate_sentences: 4}
evaluate: {bootstrap: 20, randomisation: 20}
"""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any, str]]:
    """(path, section, field) of every value in a recipe that is no section itself."""
    for name in type(value).model_fields:
        found = value.__dict__[name]
        here = f"{path}.{name}" if path else name
        if isinstance(found, Section):
            yield from leaves(found, here)
        elif isinstance(found, list) and found and isinstance(found[0], Section):
            for number, entry in enumerate(found):
                yield from leaves(entry, f"{here}.{number}")
        else:
            yield here, value, name


def declared(stage: pipeline.Stage, path: str) -> bool:
    def within(keys: tuple[str, ...]) -> bool:
        return any(path == key or path.startswith(f"{key}.") for key in keys)

    return within(stage.reads) and not within(stage.ignores)


@pytest.mark.slow
def test_a_stage_reads_nothing_of_the_recipe_that_it_does_not_declare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["cat", "dog", "man", "car", "book", "house", "tree", "boat"]
    rows = [f"the {a} sees the {b} {c}.\tder {a} sieht den {b} {c}.\n" for a in words for b in words for c in words]
    (tmp_path / "data.tsv").write_text("source\ttarget\n" + "".join(rows[:300]))
    (tmp_path / "text.txt").write_text("".join(row.split("\t")[0] + "\n" for row in rows[300:]))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    recipe = Recipe.load(tmp_path / "recipe.yaml")
    places = {(id(section), name): path for path, section, name in leaves(recipe)}
    read: dict[str, set[str]] = {}
    working: list[str] = []
    own = Section.__getattribute__

    def noted(self: Section, name: str) -> Any:
        if working and (path := places.get((id(self), name))) is not None:
            read.setdefault(working[-1], set()).add(path)
        return own(self, name)

    function = pipeline._function

    def watched(name: str) -> pipeline.Run:
        def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
            working.append(name)
            try:
                return function(name)(recipe, inputs, out, key, listener)
            finally:
                working.pop()

        return run

    monkeypatch.setattr(Section, "__getattribute__", noted)
    monkeypatch.setattr(pipeline, "_function", watched)
    pipeline.run(recipe, tmp_path)
    assert read.keys() == {stage.name for stage in pipeline.STAGES if stage.name != "synthesise"} & read.keys()
    assert {"prepare", "model", "plan", "train", "evaluate"} <= read.keys()
    for stage in pipeline.STAGES:
        undeclared = {path for path in read.get(stage.name, ()) if not declared(stage, path)}
        undeclared = {path for path in undeclared if not path.startswith(stage.aside)} if stage.aside else undeclared
        assert not undeclared, f"{stage.name} reads {sorted(undeclared)}"


def other(value: Any) -> Any:
    """Another value: whether it is a possible one does not matter to a key."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, dict):
        return {**value, "other": []}
    return [*value, *(value or ["other"])] if isinstance(value, list) else f"{value} other"


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_changing_a_key_remakes_the_stages_that_read_it_and_no_others() -> None:
    recipe = Recipe.parse(RECIPE)
    before = {stage.name: pipeline._read(stage, recipe) for stage in pipeline.STAGES}
    paths = [path for path, *_ in leaves(recipe)]
    assert len(paths) > 100
    for path in paths:
        changed = replaced(recipe, path.split("."), other)
        differing = {stage.name for stage in pipeline.STAGES if pipeline._read(stage, changed) != before[stage.name]}
        assert differing == {stage.name for stage in pipeline.STAGES if declared(stage, path)}, path


def test_a_stage_takes_what_it_declares_and_work_that_came_to_the_same_counts_as_the_same(tmp_path: Path) -> None:
    def digest(recipe: Recipe, name: str, **changed: str) -> dict[str, str]:
        texts = {part: "x" for part in ("train", "dev", "test", "text")} | changed
        done = {"prepare": Artifact(tmp_path, "prepare", "new key", {"contents": texts})}
        stage = next(stage for stage in pipeline.STAGES if stage.name == name)
        return pipeline._parts(stage, recipe, done, Workspace(tmp_path))

    new = Recipe.parse("pairs: en-de\nmodel: {new: {}}\n")
    base = Recipe.parse("pairs: en-de\nmodel: {base: some/model}\n")
    for part in ("train", "dev", "test", "text"):
        for recipe, name, taken in (
            (new, "model", part in ("train", "text")),
            (base, "model", part == "dev"),
            (base, "train", True),
            (base, "evaluate", False),  # it takes all of `prepare`, whose key is the same here
        ):
            assert (digest(recipe, name) != digest(recipe, name, **{part: "y"})) == taken, (name, part)


def replaced(section: Any, path: list[str], change: Callable[[Any], Any]) -> Any:
    """The recipe with another value at a path."""
    first, *rest = path
    if isinstance(section, list):
        return [replaced(e, rest, change) if str(n) == first else e for n, e in enumerate(section)]
    value = section.__dict__[first]
    made = section.model_copy(update={first: replaced(value, rest, change) if rest else change(value)})
    return made


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("prepare.checks.numbers", {"prepare"}),
        ("prepare.deduplicate.near", {"prepare"}),
        ("plan.hours", {"plan"}),
        ("evaluate.bootstrap", {"evaluate"}),
        ("study", set()),
        ("search", set()),
        ("name", {"evaluate", "deploy"}),
        ("train.0.sft.epochs", {"plan", "train", "evaluate"}),
        ("prepare.normalise.unicode", {"prepare", "model", "plan", "train", "evaluate", "monitor"}),
    ],
)
def test_what_is_declared(path: str, stages: set[str]) -> None:
    assert {stage.name for stage in pipeline.STAGES if declared(stage, path)} == stages

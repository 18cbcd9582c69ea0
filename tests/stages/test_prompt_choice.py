"""The prompt of an untouched base is measured on development pairs, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.core.listen import SILENT
from dragoman.core.prompt.prompts import FORMATS
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.engine.load import CARD, Card
from dragoman.stages import model
from dragoman.stages.model import prompt_choice
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact
from tests.runs import pairs
from tests.tiny import tiny


def finnish(split: str) -> list[Example]:
    """Pairs in a language that the tiny vocabulary has no token for."""
    return [replace(pair, target_language="fi") for pair in pairs(split)]


def made(folder: Path, *, saved: bool = False, prompt: str = "auto", prepared: bool = True) -> tuple[Artifact, Card]:
    tiny(folder / "base", form="adaptive")
    if not saved:
        (folder / "base" / CARD).unlink()
    records.write(folder / "prepare" / "dev", finnish("dev"), Example)
    records.write(folder / "prepare" / "train", finnish("train"), Example)
    recipe = Recipe.model_validate({"pairs": ["en>fi"], "model": {"base": str(folder / "base"), "prompt": prompt}})
    texts = {"prepare": Artifact.finish(folder / "prepare", "prepare", "k", {})} if prepared else {}
    (folder / "model").mkdir()
    found = model.run(recipe, texts, folder / "model", "k", SILENT)
    return found, Card.read(folder / "model" / "model")


def test_the_best_prompt_is_taken_told_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    likely = {"adaptive": -1.0, "alma": -1.1, "native": -1.2, "parrot": -3.0}
    chrf = {"adaptive": 10.0, "alma": 30.0, "native": 20.0}
    monkeypatch.setattr(prompt_choice, "_likelihood", lambda loaded, form, sample: likely[form.name])
    monkeypatch.setattr(
        prompt_choice,
        "_translated",
        lambda loaded, form, sample, trial: replace(trial, chrf=chrf[form.name], copied=0, empty=0),
    )
    found, card = made(tmp_path)
    assert found.facts["prompt"] == card.prompt.name == "alma"
    tried = found.facts["prompts_tried"]
    assert [row["prompt"] for row in tried if row["chrf"] is None] == ["parrot"]
    assert card.facts == {"prompts_tried": tried}


@pytest.mark.slow
def test_measuring_a_real_tiny_model_gives_the_same_twice(tmp_path: Path) -> None:
    one, two = (made(tmp_path / name)[0].facts["prompts_tried"] for name in ("a", "b"))
    assert one == two
    assert [row["prompt"] for row in one] == ["adaptive", "alma", "native"]  # parrot is longer than the context
    assert all(row["log_probability"] < 0 for row in one)


@pytest.mark.parametrize("case", [{"saved": True}, {"prompt": "adaptive"}, {"prepared": False}])
def test_nothing_is_measured_where_the_prompt_is_known_or_no_text_is_there(
    tmp_path: Path, case: dict[str, bool]
) -> None:
    found, card = made(tmp_path, **case)  # type: ignore[arg-type]
    assert found.facts["prompts_tried"] == []
    assert card.prompt == FORMATS["adaptive"]


def test_large_models_are_measured_on_fewer_sentences_or_not_at_all() -> None:
    assert prompt_choice.sentences(1_000_000, "cpu") == 48
    assert prompt_choice.sentences(135_000_000, "cpu") > prompt_choice.sentences(270_000_000, "cpu") >= 8
    assert prompt_choice.sentences(7_000_000_000, "cpu") == 0
    assert prompt_choice.sentences(7_000_000_000, "cuda") > 8

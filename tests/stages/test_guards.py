"""Guard rails: what a phase breaks besides what it teaches."""

from __future__ import annotations

import pytest

from dragoman.core.recipe import StopIf
from dragoman.core.records import Example, Hypothesis
from dragoman.errors import RecipeError
from dragoman.stages.train.guards import Guards

DEV = [Example(f"the cat sees {n} dogs.", f"Katze sieht {n} Hunde.", "en", "de", "toy.tsv") for n in range(4)]


def guards(**limits: float) -> Guards:
    return Guards(StopIf(**limits), [], DEV, ["en", "de"])


def test_a_rail_is_broken_above_its_limit_only() -> None:
    rail = guards(off_target=0.25)
    assert rail.broken({"off_target": 0.25}) == ""
    assert rail.broken({"off_target": 0.5}) == "translations in another language: 0.5 (stop_if.off_target: 0.25)"
    assert guards().broken({"off_target": 1.0, "forgetting": 9.0}) == ""


def test_one_shot_translation_is_held_against_its_best() -> None:
    rail = guards(in_context=2.0)
    assert rail.broken({"one_shot_chrf": 30.0}) == ""
    assert rail.broken({"one_shot_chrf": 34.0}) == ""
    assert rail.broken({"one_shot_chrf": 32.5}) == ""
    restored = guards(in_context=2.0)
    restored.restore(rail.state())
    assert "stop_if.in_context: 2" in restored.broken({"one_shot_chrf": 31.5})


def test_the_bound_of_one_shot_translation_follows_the_best() -> None:
    rail = guards(in_context=2.0, off_target=0.25)
    assert rail.bounds() == {"off_target": 0.25}  # nothing was measured yet
    for shot, bound in ((30.0, 28.0), (34.0, 32.0), (32.5, 32.0)):
        rail.broken({"one_shot_chrf": shot})
        assert rail.bounds() == {"off_target": 0.25, "one_shot_chrf": bound}
    assert guards().bounds() == {}


def test_translations_in_another_language_are_counted() -> None:
    found = [
        Hypothesis(text, -0.1, 5, True) for text in (*(p.target for p in DEV[:3]), "кошка видит собак и ещё собак")
    ]
    assert guards().translations(DEV, found)["off_target"] == 0.25


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"stop_if\.forgetting needs general text"):
        guards(forgetting=0.1)
    with pytest.raises(RecipeError, match="in_context, chrf, length need development pairs"):
        Guards(StopIf(in_context=1.0), [], [], ["en", "de"])

"""The mixture study: its grid, its laws, its page, and all of it once with a tiny model."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragoman.core.recipe import Recipe
from dragoman.errors import DataError, RecipeError
from dragoman.report import mixture_laws as page
from dragoman.studies import mixture
from tests.commands import Command
from tests.studies.conftest import make_project

TASKS = "{mt: {weight: 2}, interlinear: {weight: 1}, lm: {weight: 4}, replay: {from: general.txt}}"
TRAIN = "train:\n  - hybrid: {tokens: 4_000, tasks: %s, curriculum: fair}\n"


def recipe(tasks: str = TASKS) -> Recipe:
    return Recipe.parse("pairs: [en-de]\n" + TRAIN % tasks)


# ---------------------------------------------------------------- the grid


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_an_arm_has_its_share_and_the_tasks_of_a_kind_their_proportions(share: float) -> None:
    number, hybrid = mixture._hybrid(recipe())
    changes = mixture.changed(number, hybrid, share, 9000)
    arm = Recipe.parse("pairs: [en-de]\n" + TRAIN % TASKS, overrides=changes).train[0].hybrid
    assert arm is not None
    weights, before = arm.weights, hybrid.weights
    assert weights["mt"] + weights["interlinear"] == pytest.approx(share)
    assert weights["mt"] == pytest.approx(2 * weights["interlinear"])
    assert weights["replay"] / weights["lm"] == pytest.approx(before["replay"] / before["lm"])
    assert (arm.tokens, arm.curriculum.method, arm.tasks.replay.floor) == (9000, "static", 0.0)  # type: ignore[union-attr]


@pytest.mark.parametrize("tasks", ["{mt: {}}", "{lm: {}}", "{mt: {}, interlinear: {}}"])
def test_a_mixture_needs_both_kinds_of_tasks(tasks: str) -> None:
    with pytest.raises(RecipeError, match="against that of other tasks"):
        mixture._hybrid(recipe(tasks))


def test_one_hybrid_phase_is_varied() -> None:
    with pytest.raises(RecipeError, match="varies one hybrid phase; the recipe has 0"):
        mixture._hybrid(Recipe.parse("pairs: [en-de]\ntrain: [{sft: {}}]\n"))


@pytest.mark.parametrize(
    "shares, tokens, budget, limit, error, message",
    [
        ([0.1, 0.5, 1.0], [1000], None, 0.05, RecipeError, "between 0 and 1"),
        ([0.1, 0.5], [1000], None, 0.05, RecipeError, "three different shares"),
        ([0.1, 0.5, 0.9], [0], None, 0.05, RecipeError, "above 0"),
        ([0.1, 0.5, 0.9], [1000], None, 0.0, RecipeError, "limit"),
        ([0.1, 0.5, 0.9], [1000, 2000], 5000, 0.05, DataError, "5,000 tokens is outside 1,000 to 2,000"),
    ],
)
def test_a_grid_that_says_nothing_is_refused_before_anything_runs(
    shares: list[float], tokens: list[int], budget: int | None, limit: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        mixture._check(shares, tokens, budget, limit)


def test_numbers_of_the_command_line() -> None:
    assert mixture.numbers("0.1, 0.5", "--shares") == [0.1, 0.5]
    assert mixture.counts("500k,2M", "--tokens") == [500_000, 2_000_000]
    with pytest.raises(RecipeError, match="--shares takes numbers"):
        mixture.numbers("half", "--shares")
    with pytest.raises(RecipeError, match="--tokens takes numbers of tokens"):
        mixture.counts("many", "--tokens")


# ---------------------------------------------------------------- laws and page


def points(budgets: tuple[int, ...], *, general: bool = True) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "arm": f"share-{share:g}-{size}",
            "seed": seed,
            "asked": share,
            "delivered": share,
            "tokens": size,
            "translation": 2.0 + 0.8 * (share - 0.6) ** 2 + 0.2 * (1e6 / size) ** 0.3 + 0.002 * rng.standard_normal(),
            "general": 3.0 + 0.4 * share**1.5 + 0.002 * rng.standard_normal() if general else None,
            "chrf": 30.0,
        }
        for share in (0.1, 0.25, 0.5, 0.75, 0.9)
        for size in budgets
        for seed in (1, 2)
    ]


@pytest.mark.slow
def test_at_one_budget_each_measure_has_its_own_form() -> None:
    found = mixture.laws(points((1_000_000,)), [1_000_000], 0.1)
    assert [law["form"] for law in found["laws"]["general"]] == ["CMR"]
    assert [law["form"] for law in found["laws"]["translation"]] == ["D-CPT at one budget"]
    best = next(choice for choice in found["choices"] if choice["kind"] == "best")
    assert best["share"] == pytest.approx(0.6, abs=0.1)
    critical = next(choice for choice in found["choices"] if choice["kind"] == "critical")
    true = ((found["ceiling"] - 3.0) / 0.4) ** (1 / 1.5)
    assert critical["share"] == pytest.approx(true, abs=0.03)
    assert {curve["measure"] for curve in found["curves"]} == {"translation", "general"}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.slow
def test_what_was_not_measured_or_not_run_is_told() -> None:
    found = mixture.laws(points((1_000_000,), general=False), [1_000_000], 0.1)
    assert found["ceiling"] is None
    assert any("no law of the loss on general text: no run measured it" in told for told in found["not_fitted"])
    assert {choice["kind"] for choice in found["choices"]} == {"best"}
    few = mixture.laws(points((1_000_000,))[:2], [1_000_000], 0.1)
    assert len(few["not_fitted"]) == 2 and few["choices"] == []


@pytest.mark.slow
def test_the_page_shows_runs_laws_and_choices() -> None:
    given = points((1_000_000,))
    found = {"translates": ["mt"], "points": given, "limit": 0.1, **mixture.laws(given, [1_000_000], 0.1)}
    html = page.page({"name": "toy", "mixture": found})
    assert html.count("<svg") == 2
    assert "share-0.25-1000000" in html and "loss(r) = a r^s + b" in html
    assert "largest share within the limit" in html
    assert html.count("<small>of general text</small>") == 1  # the loss at the critical share is another one
    assert "<small>1\u202f000\u202f000 tokens</small>" in html
    assert html.count(">nats per token</text>") == 2 and html.count(">limit</text>") == 1
    assert "<div>a " in html and not re.search(r"</(?:small|span)>,", html)  # a parameter a line
    text = page.table(found)
    assert "1,000,000 tokens, largest share within the limit on general text: share 0." in text
    with pytest.raises(DataError, match="none of mixtures"):
        page.page({"name": "toy"})


# ---------------------------------------------------------------- from a recipe to the page


@pytest.mark.long
@pytest.mark.slow
def test_a_small_grid_runs_to_its_page(tmp_path: Path, dragoman: Command) -> None:
    project = make_project(tmp_path)
    text = (project / "recipe.yaml").read_text(encoding="utf-8")
    phase = (
        "train:\n  - hybrid: {tokens: 3_000, tasks: {mt: {}, lm: {languages: [en]}}, batch_tokens: 512, "
        "learning_rate: 3e-3, optimiser: adamw, evaluate_sentences: 4, compile: false}\n"
    )
    text = re.sub(r"train:\n.*\n.*\n", phase, text)
    text = text.replace("parallel: [real.tsv]", "parallel: [real.tsv]\n  monolingual: {en: mono.txt}")
    (project / "recipe.yaml").write_text(text.replace("seeds: [1, 2]", "seeds: [1]"), encoding="utf-8")
    lines = [f"the {a} knows {b} and {c}.\n" for a in ("cat", "dog", "man") for b in "abcdefgh" for c in "mnopqrst"]
    (project / "mono.txt").write_text("".join(lines), encoding="utf-8")
    found = mixture.run(project / "recipe.yaml", [], project / "study", shares=[0.15, 0.3, 0.5, 0.7, 0.85])
    grid = found["mixture"]["points"]
    assert [point["asked"] for point in grid] == [0.15, 0.3, 0.5, 0.7, 0.85]
    for point in grid:
        assert point["translation"] > 0 and point["general"] > 0
        assert point["delivered"] == pytest.approx(point["asked"], abs=0.12)  # a few dozen rows
    assert [law["form"] for law in found["mixture"]["laws"]["general"]] == ["CMR"]
    assert json.loads((project / "study" / "study.json").read_text())["mixture"] == found["mixture"]
    rows = list(csv.DictReader((project / "study" / page.TABLE).read_text(encoding="utf-8").split("\n")))
    assert [row["arm"] for row in rows] == [point["arm"] for point in grid]
    pages = [project / "study" / name for name in ("study.html", page.PAGE)]
    before = [path.read_text(encoding="utf-8") for path in pages]
    for path in pages:
        path.unlink()
    assert dragoman("study", "report", project / "study").out == f"{pages[0]}\n{pages[1]}\n"
    assert [path.read_text(encoding="utf-8") for path in pages] == before

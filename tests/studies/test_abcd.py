"""The founding study from a recipe to its page, twice."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.recipe import Recipe
from dragoman.errors import DataError, RecipeError
from dragoman.report import study as report
from dragoman.studies import abcd, record
from dragoman.studies.arms import Outcome
from tests.heard import Heard
from tests.studies.conftest import make_project

BROKEN = "study.synthetic=[synthetic.tsv, nowhere.tsv]"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A and B finished, C and D failed for want of a file."""
    project = make_project(tmp_path_factory.mktemp("abcd"))
    abcd.run(project / "recipe.yaml", [BROKEN], project / "study")
    return project / "study"


# ---------------------------------------------------------------- what the arms are


def test_the_founding_arms(project: Path) -> None:
    base, arms = abcd.read(project / "recipe.yaml", [])
    found = {arm.name: arm.recipe for arm in arms}
    assert list(found) == ["A", "B", "C", "D"]
    assert found["A"].train == [] and found["B"].train == found["C"].train == found["D"].train == base.train
    files = {name: [source.path for source in recipe.prepare.parallel] for name, recipe in found.items()}  # type: ignore[union-attr]
    assert files == {
        "A": ["real.tsv"], "B": ["real.tsv"], "C": ["synthetic.tsv"], "D": ["real.tsv", "synthetic.tsv"]
    }  # fmt: skip


def test_the_founding_settings_hold_where_the_recipe_says_nothing_and_each_can_be_set(project: Path) -> None:
    text = (project / "recipe.yaml").read_text()
    (project / "recipe.yaml").write_text(re.sub(r"train:\n.*\n.*\n", "", text))
    base, _ = abcd.read(project / "recipe.yaml", [])
    [phase] = base.train
    assert phase.sft is not None and base.prepare is not None
    assert (phase.sft.epochs, phase.sft.learning_rate, phase.sft.batch_tokens) == (2, 1e-4, 1024)
    lora: Any = phase.adapt
    assert (lora.rank, lora.alpha, lora.dropout) == (16, 64, 0.1)
    assert base.prepare.checks.max_tokens == 256
    overrides = ["train.0.sft.epochs=5", "train.0.adapt.rank=8", "prepare.checks.max_tokens=100"]
    base, arms = abcd.read(project / "recipe.yaml", overrides)
    for recipe in (base, arms[1].recipe):
        assert recipe.train[0].sft is not None and recipe.prepare is not None
        lora = recipe.train[0].adapt
        assert (recipe.train[0].sft.epochs, recipe.train[0].sft.learning_rate) == (5, 1e-4)
        assert (lora.rank, lora.alpha, recipe.prepare.checks.max_tokens) == (8, 64, 100)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model={new: {}}", "compares with an untouched base"),
        ("prepare=null", "tunes on real texts"),
        ("study.synthetic=[]", "or run `dragoman synthesise` with this recipe first"),
        ("study=null", "For arms of your own give `study.arms`"),
    ],
)
def test_what_is_missing_is_said(project: Path, override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        abcd.read(project / "recipe.yaml", [override])


def test_named_arms_take_the_place_of_the_founding_ones(project: Path) -> None:
    arms = 'study.arms={low: {train.0.adapt.rank: 2}, high: ["train.0.adapt.rank=8"]}'
    _, found = abcd.read(project / "recipe.yaml", [arms])
    ranks = {arm.name: arm.recipe.train[0].adapt.rank for arm in found}  # type: ignore[union-attr]
    assert ranks == {"low": 2, "high": 8}
    _, found = abcd.read(project / "recipe.yaml", [arms, "study.arms.low.seed=3"])
    assert found[0].recipe.seed == 3


# ---------------------------------------------------------------- what comes out


def test_the_record(study: Path) -> None:
    found = report.read(study)
    assert [arm["name"] for arm in found["arms"]] == ["A", "B", "C", "D"]
    told = {arm["name"]: [bool(run["failed"]) for run in arm["runs"]] for arm in found["arms"]}
    assert told == {"A": [False], "B": [False, False], "C": [True, True], "D": [True, True]}
    assert "nowhere.tsv" in found["arms"][2]["runs"][0]["failed"]
    [entry] = found["sets"]
    assert (entry["set"], entry["direction"], entry["segments"]) == ("test", "en-de", 20)
    assert list(entry["scores"]) == ["bleu", "chrf"]
    chrf = entry["scores"]["chrf"]
    assert list(chrf) == ["A", "B"]
    assert (len(chrf["A"]["seeds"]), len(chrf["B"]["seeds"])) == (1, 2)
    for arm, folder in (("A", "A/seed-1"), ("B", "B/seed-2")):
        scores = json.loads((study / "arms" / folder / "evaluate" / "scores.json").read_text())
        assert chrf[arm]["seeds"][-1] == scores["sets"][0]["results"][-1]["scores"]["chrf"]["value"]
    [contrast] = entry["contrasts"]["chrf"]
    assert contrast["gain"] == pytest.approx(chrf["B"]["value"] - chrf["A"]["value"])
    assert [change["key"] for change in next(a for a in found["ablations"] if a["second"] == "B")["changes"]] == [
        "train"
    ]
    assert [(curve["arm"], curve["seed"]) for curve in found["curves"]] == [("B", 1), ("B", 2)]
    assert found["arms"][1]["cost"]["tokens"] > 0 and found["arms"][0]["cost"]["tokens"] == 0
    assert len(entry["samples"]) == 8 and set(entry["samples"][0]["arms"]) == {"A", "B"}


def test_the_tables_are_the_record(study: Path) -> None:
    found = report.read(study)
    with (study / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["metric"], row["arm"]) for row in rows] == [(m, a) for m in ("BLEU", "chrF2++") for a in ("A", "B")]
    chrf = found["sets"][0]["scores"]["chrf"]["B"]
    assert float(rows[3]["value"]) == pytest.approx(chrf["value"], abs=1e-4)
    assert rows[3]["letters"] == chrf["letters"]
    with (study / "contrasts.csv").open(encoding="utf-8", newline="") as file:
        contrasts = list(csv.DictReader(file))
    assert [(row["first"], row["second"]) for row in contrasts] == [("A", "B")] * 2
    told = report.table(found)
    assert "test en-de, 20 segments" in told and "B over A" in told and "C seed 1 failed: " in told


def test_the_page_holds_everything_and_asks_for_nothing(study: Path) -> None:
    page = (study / "study.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2 + 3  # a figure for each metric, three of the training
    for name in ("arms", "scores", "changes", "training", "cost", "segments", "environment"):
        assert f'<section id="{name}">' in page and f'href="#{name}"' in page
    assert "4 runs failed; the others stand" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:,)', page)
    assert "url(http" not in page and "@import" not in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    before = page
    report.render(study)
    assert (study / "study.html").read_text(encoding="utf-8") == before


@pytest.mark.long
@pytest.mark.slow
def test_two_runs_of_one_study_give_the_same_table(study: Path) -> None:
    recipe = study.parent / "recipe.yaml"
    abcd.run(recipe, [BROKEN], study.parent / "again")
    for name in ("scores.csv", "contrasts.csv"):
        assert (study.parent / "again" / name).read_bytes() == (study / name).read_bytes()
    first, second = report.read(study), report.read(study.parent / "again")
    assert first["sets"] == second["sets"]
    said = Heard()
    abcd.run(recipe, [BROKEN], study.parent / "again", listener=said)  # nothing is left to do
    assert not [line for line in said.said if "made again" in line or "dev loss" in line]
    assert (study.parent / "again" / "scores.csv").read_bytes() == (study / "scores.csv").read_bytes()


def test_a_study_without_a_finished_arm_says_why(tmp_path: Path, project: Path) -> None:
    from dragoman.studies import record

    base = Recipe.load(project / "recipe.yaml")
    with pytest.raises(DataError, match="no arm of the study is finished:\n  A seed 1: no disk"):
        record.make(base, [], [Outcome("A", 1, tmp_path, "no disk")], tmp_path, Heard())


def _entry(base: float, after: float | None) -> dict[str, object]:
    def line(system: str, value: float, gains: dict[str, object]) -> dict[str, object]:
        scores = {"chrf": {"value": value, "low": value - 1, "high": value + 1}}
        return {"system": system, "kind": "model", "scores": scores, "gains": gains}

    results = [line("baseline", base, {})]
    if after is not None:
        results.append(line("trained", after, {"chrf": {"gain": after - base, "p_randomisation": 0.01}}))
    return {"results": results}


@given(
    st.lists(
        st.tuples(st.sampled_from([10.0, 20.0, 30.0]), st.one_of(st.none(), st.just(55.0))), min_size=1, max_size=6
    )
)
def test_every_base_has_a_row_as_an_arm_or_as_the_untouched_one(arms: list[tuple[float, float | None]]) -> None:
    entries = {(f"arm{n}", seed): _entry(*arm) for n, arm in enumerate(arms) for seed in (1, 2)}
    rows = record._untouched(entries, ["chrf"])
    bases = {base for base, _ in arms}
    arm_rows = {base for base, after in arms if after is None}
    assert {row["scores"]["chrf"]["value"] for row in rows} == bases - arm_rows
    assert len(rows) == len(bases - arm_rows)
    for row in rows:
        value = row["scores"]["chrf"]["value"]
        assert row["arms"] == [f"arm{n}" for n, (base, _) in enumerate(arms) if base == value]
        assert all(gains["chrf"]["gain"] == 55.0 - value for gains in row["gains"].values())

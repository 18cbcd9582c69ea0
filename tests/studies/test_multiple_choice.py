"""Closed generation in a study: each arm's accuracy over its seeds, from the files of its runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dragoman.report import study as report
from dragoman.studies import abcd
from tests.studies.conftest import make_project

ARMS = "study.arms={none: {train: []}, real: {}}"


pytestmark = pytest.mark.long  # a whole study; the stage's own tests are quick


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("closed"))
    abcd.run(project / "recipe.yaml", [ARMS, "evaluate.closed=4", "evaluate.random_shots=[1]"], project / "study")
    return project / "study"


def test_accuracies_are_the_means_over_the_runs(study: Path) -> None:
    found = report.read(study)
    [entry] = found["sets"]
    closed = entry["closed"]
    assert (closed["candidates"], closed["chance"], closed["segments"]) == (4, 25, 20)
    assert list(closed["accuracy"]) == ["closed", "closed-1random"]
    for number, way in enumerate(closed["accuracy"]):
        none, real = closed["accuracy"][way]["none"], closed["accuracy"][way]["real"]
        assert (len(none["seeds"]), none["spread"]) == (1, None)
        for place, seed in enumerate((1, 2)):
            scores = json.loads((study / "arms" / "real" / f"seed-{seed}" / "evaluate" / "scores.json").read_text())
            line = scores["sets"][0]["closed"]["results"][2 + number]
            assert (line["system"], line["way"]) == ("trained", way)
            assert real["seeds"][place] == pytest.approx(line["accuracy"]["value"])
        assert real["value"] == pytest.approx(sum(real["seeds"]) / 2)
        assert real["low"] <= real["value"] <= real["high"]


def test_they_stand_in_the_tables_and_on_the_page(study: Path) -> None:
    with (study / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"].startswith("accuracy")]
    assert [(row["metric"], row["arm"]) for row in rows] == [
        (f"accuracy {way}", arm) for way in ("closed", "closed-1random") for arm in ("none", "real")
    ]
    found = report.read(study)
    accuracy = found["sets"][0]["closed"]["accuracy"]
    assert float(rows[1]["value"]) == pytest.approx(accuracy["closed"]["real"]["value"], abs=1e-4)
    assert "closed generation, accuracy (chance 25.00)" in report.table(found)
    page = (study / "study.html").read_text(encoding="utf-8")
    assert "Closed generation" in page and "closed-1random" in page
    for entry in found["sets"]:
        del entry["closed"]  # a study of before
    assert "Closed generation" not in report.page(found)
    assert "closed generation" not in report.table(found)


def test_the_base_is_asked_once_for_each_seed(study: Path) -> None:
    """Arms with the same seed ask the same questions, so the second one takes over the base's answers."""
    places = [study / "arms" / arm / "seed-1" / "evaluate" for arm in ("none", "real")]
    files = [place / "test.en-de.baseline.closed.jsonl" for place in places]
    assert len({file.stat().st_ino for file in files}) == 1

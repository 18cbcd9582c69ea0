"""Closed generation from recipe to report: with a model that knows by heart, and with small real ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dragoman import report
from dragoman.core.listen import SILENT
from dragoman.core.text.languages import Direction
from dragoman.errors import RecipeError
from dragoman.stages import evaluate
from dragoman.store.run.artifact import Artifact
from tests.heard import Heard
from tests.runs import make_run, pairs, recipe
from tests.stages.test_evaluate import Loader, lines, scores
from tests.stages.test_training import go
from tests.stages.test_training import recipe as toy

WANTED = "evaluate.closed=4\nevaluate.shots=[0, 1]\nevaluate.random_shots=[2]\nevaluate.sets=[test]"
WAYS = ["closed", "closed-1shot", "closed-2random"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A given model and what was made of it: of sixty questions they know nothing of every third, of every fourth."""
    run = tmp_path_factory.mktemp("asked")
    evaluate.run(recipe(WANTED), make_run(run, new=False), run / "evaluate", "e", SILENT, Loader())
    return run


def closed(run: Path) -> dict[str, Any]:
    [entry] = scores(run)["sets"]
    found: dict[str, Any] = entry["closed"]
    return found


def test_every_system_answers_after_every_kind_of_prompt(asked: Path) -> None:
    found = closed(asked)
    assert (found["candidates"], found["chance"], found["segments"]) == (4, 25, 60)
    rows = [(line["system"], line["way"], line["shots"], line["against"]) for line in found["results"]]
    assert rows == [
        *(("baseline", way, shots, None) for way, shots in zip(WAYS, (0, 1, 2), strict=True)),
        *(("trained", way, shots, f"baseline.{way}") for way, shots in zip(WAYS, (0, 1, 2), strict=True)),
    ]
    for line in found["results"]:
        assert line["accuracy"]["value"] == pytest.approx(100 * (40 if line["system"] == "baseline" else 45) / 60)
        assert line["accuracy"]["low"] < line["accuracy"]["value"] < line["accuracy"]["high"]
        assert line["clean"] is None and line["too_long"] == 0
    gain = found["results"][3]["gain"]
    assert (gain["better"], gain["worse"], gain["gain"]) == (15, 10, pytest.approx(100 * 5 / 60))
    assert gain["low"] < 0 < gain["high"] and 0.4 < gain["p"] < 0.5


def test_all_systems_are_asked_the_same(asked: Path) -> None:
    references = {e.source: e.target for e in pairs("test")}
    by_system = [lines(asked, f"test.en-de.{system}.closed.jsonl") for system in ("baseline", "trained")]
    for first, second in zip(*by_system, strict=True):
        assert first["candidates"] == second["candidates"]
        assert first["candidates"][0] == references[first["source"]]
        assert len(set(first["candidates"])) == 4 and set(first["candidates"]) <= set(references.values())
        assert len(first["scores"]) == 4 and "shots" not in first
    train = {(e.source, e.target) for e in pairs("train")}
    for way, count in (("closed-1shot", 1), ("closed-2random", 2)):
        for row in lines(asked, f"test.en-de.trained.{way}.jsonl"):
            assert len(row["shots"]) == count
            assert {(shot["source"], shot["target"]) for shot in row["shots"]} <= train


def test_it_stands_in_the_page_and_in_what_is_printed(asked: Path) -> None:
    page = (asked / "evaluate" / "report.html").read_text(encoding="utf-8")
    assert "Closed generation" in page and "closed-2random" in page and "75.00" in page
    [entry] = scores(asked)["sets"]
    told = report.closed_table(entry)
    assert "of 4 candidates? 60 segments, chance 25.00 %" in told
    assert "15 better, 10 worse, McNemar p=0.4" in told
    assert report.closed_table({**entry, "closed": None}) == ""


@pytest.mark.slow
def test_answers_are_used_again_until_something_changes(asked: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(asked, run)
    inputs = {stage: Artifact.load(run / stage) for stage in ("prepare", "model", "train")}
    loader, said = Loader(), Heard()
    evaluate.run(recipe(WANTED), inputs, run / "evaluate", "e", said, loader)
    assert loader.loaded == {}
    assert closed(run) == closed(asked)
    assert any("closed generation" in line for line in said.said)
    evaluate.run(recipe(f"{WANTED}\nevaluate.closed=3"), inputs, run / "evaluate", "e", SILENT, loader)
    assert {name: loaded.calls for name, loaded in loader.loaded.items()} == {"model": 3, "train": 3}
    assert closed(run)["chance"] == pytest.approx(100 / 3)


def test_a_set_that_is_too_small_is_left_out_with_a_warning(tmp_path: Path) -> None:
    said = Heard()
    wanted = recipe("evaluate.closed=61\nevaluate.sets=[test]")
    evaluate.run(wanted, make_run(tmp_path, new=False), tmp_path / "evaluate", "e", said, Loader())
    assert scores(tmp_path)["sets"][0]["closed"] is None
    [told] = [line for line in said.said if line.startswith("evaluate.closed")]
    assert "test en-de is left out: no segment has 60 other references" in told
    with pytest.raises(RecipeError, match="evaluate.closed"):
        recipe("evaluate.closed=1")


def test_what_stands_in_the_training_texts_is_told_apart(tmp_path: Path) -> None:
    seen = pairs("train")[:20] + pairs("extra")[:40]
    rows = "".join(f"{e.source}\t{e.target}\n" for e in seen)
    (tmp_path / "extra.en-de.tsv").write_text("source\ttarget\n" + rows, encoding="utf-8")
    wanted = recipe("evaluate.files=[extra.en-de.tsv]\nevaluate.sets=[]\nevaluate.closed=4", tmp_path)
    evaluate.run(wanted, make_run(tmp_path / "run"), tmp_path / "run" / "evaluate", "e", SILENT, Loader())
    untrained, trained = closed(tmp_path / "run")["results"]
    assert (untrained["system"], trained["system"], trained["against"]) == (
        "untrained",  # a new model: the baseline of the translations is a copy of the source, which cannot choose
        "trained",
        "untrained.closed",
    )
    assert untrained["clean"]["accuracy"]["value"] == pytest.approx(100 * 27 / 40)
    assert trained["clean"]["accuracy"]["value"] == 75
    assert "without the overlap" in report.closed_table(scores(tmp_path / "run")["sets"][0])


@pytest.mark.long
def test_a_model_that_has_learned_chooses_and_an_untrained_one_guesses(tmp_path: Path, prepared: Artifact) -> None:
    made = toy("evaluate={closed: 4, sets: [dev, test], bootstrap: 99, randomisation: 9, decode: [{max_extra: 4}]}")
    run = tmp_path / "run"
    evaluate.run(made, go(run, made, prepared), run / "evaluate", "e", SILENT)
    found = [entry["closed"] for entry in scores(run)["sets"]]
    assert len(found) == 4  # two sets in two directions
    untrained = [line["accuracy"]["value"] for one in found for line in one["results"] if line["system"] == "untrained"]
    trained = [line for one in found for line in one["results"] if line["system"] == "trained"]
    assert sum(untrained) / 4 == pytest.approx(25, abs=20)
    assert min(line["accuracy"]["value"] for line in trained) >= 90
    assert max(line["gain"]["p"] for line in trained) < 0.01


def test_the_translator_gives_candidates_the_score_that_it_gives_pairs(tmp_path: Path) -> None:
    from dragoman.core.scores.multiple_choice import Question
    from dragoman.translator import Translator
    from tests.tiny import tiny

    tiny(tmp_path / "m", seed=3)
    translator = Translator.load(tmp_path / "m", threads=1)
    targets = ("die Katze sieht den Hund.", "ein Hund")
    direction = Direction("en", "de")
    table, _ = translator.score_candidates([Question("the cat sees the dog.", targets)], direction)
    alone = translator.score(["the cat sees the dog."] * 2, targets, direction)
    assert table[0].tolist() == pytest.approx(alone)

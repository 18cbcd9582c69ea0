from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dragoman import report
from dragoman.core.listen import SILENT
from dragoman.core.scores.metrics import score
from dragoman.core.scores.scoring import TestSettings
from dragoman.core.scores.statistics import holm
from dragoman.errors import DataError
from dragoman.stages import evaluate
from tests.runs import make_run, recipe
from tests.stages.test_evaluate import Loader, lines

FAST = TestSettings(samples=40, trials=40)


def test_systems_of_two_runs(runs: list[Path]) -> None:
    found = report.compare(runs, FAST)
    (table,) = found.tables
    assert (table.name, table.direction, table.segments) == ("test", "en-de", 60)
    assert [row.system for row in table.rows] == ["a untouched", "a", "b"]  # the shared base stands there once
    rows = lines(runs[1], "test.en-de.trained.greedy.jsonl")
    wanted = score("bleu", [r["hypothesis"] for r in rows], [r["reference"] for r in rows], "de")
    assert table.rows[2].scores["bleu"]["value"] == wanted.value
    assert found.left_out == ["dev en-de is left out: only a has it."]


def test_all_pairs_are_tested_and_corrected(runs: list[Path]) -> None:
    pairs = [pair for pair in report.compare(runs, FAST).tables[0].pairs if pair.metric == "ter"]
    assert [(p.first, p.second) for p in pairs] == [("a untouched", "a"), ("a untouched", "b"), ("a", "b")]
    assert all(pair.gain > 0 for pair in pairs)
    assert [p.corrected_bootstrap for p in pairs] == holm([p.p_bootstrap for p in pairs])
    assert [p.corrected_randomisation for p in pairs] == holm([p.p_randomisation for p in pairs])
    assert pairs[0].gain + pairs[2].gain == pytest.approx(pairs[1].gain)


def test_text_and_json_say_the_same(runs: list[Path]) -> None:
    found = report.compare(runs, FAST)
    data = json.loads(json.dumps(found.to_json()))
    value = data["sets"][0]["systems"][2]["scores"]["chrf"]["value"]
    text = str(found)
    assert f"{value:.2f} [" in text
    assert "b over a" in text and "nrefs:1|case:mixed" in text and "left out" in text
    assert len(data["sets"][0]["pairs"]) == 9


def test_different_references_are_refused(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(runs[0], tmp_path / "c")
    file = tmp_path / "c" / "evaluate" / "scores.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    data["sets"][1]["reference_digest"] = "other"
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match="test en-de: the same sources have different references in a and c"):
        report.compare([runs[0], tmp_path / "c"], FAST)


def test_runs_without_a_common_set_are_refused(runs: list[Path], tmp_path: Path) -> None:
    wanted = recipe("evaluate.max_segments=20\nevaluate.sets=[test]")
    evaluate.run(wanted, make_run(tmp_path / "few"), tmp_path / "few" / "evaluate", "e", SILENT, Loader())
    with pytest.raises(DataError, match="no test set in common") as error:
        report.compare([runs[1], tmp_path / "few"], FAST)
    assert "its segments differ between b and few" in str(error.value)


def test_what_cannot_be_compared(runs: list[Path], tmp_path: Path) -> None:
    make_run(tmp_path / "raw")
    with pytest.raises(DataError, match=r"raw: is not evaluated"):
        report.compare([runs[0], tmp_path / "raw"])
    with pytest.raises(DataError, match="at least two"):
        report.compare(runs[:1])
    with pytest.raises(DataError, match="is named twice"):
        report.compare([runs[0], runs[0]])
    shutil.copytree(runs[0], tmp_path / "x" / "a")
    (tmp_path / "x" / "a" / "evaluate" / "test.en-de.trained.greedy.jsonl").unlink()
    with pytest.raises(DataError, match=r"x/a: test\.en-de\.trained\.greedy\.jsonl is missing"):
        report.compare([runs[0], tmp_path / "x" / "a"], FAST)

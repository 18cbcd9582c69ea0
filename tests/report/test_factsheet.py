"""The FactSheet says what the records say, and says of the rest that nothing is recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragoman.report.factsheet import UNRECORDED, factsheet, statement, write_factsheet
from dragoman.report.folders import RunFolder

SCORE = {"value": 41.234, "low": 40.0, "high": 42.0, "signature": "nrefs:1|case:mixed"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    def write(path: str, value: object) -> None:
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(value), encoding="utf-8")

    write(
        "prepare/report.json",
        {
            "origins": [
                {"origin": "/data/a.tsv", "in": 90, "kept": {"train": 80}, "rejected": {"length_ratio": 10}},
                {"origin": "/data/b.tmx", "in": 10, "kept": {"train": 5, "dev": 5}, "rejected": {}},
            ],
            "splits": {"train": {"rows": 85, "domains": {"medical": 85}}},
        },
    )
    line = {"system": "clinic", "decoding": "greedy", "file": "o.jsonl", "scores": {"chrf": SCORE}, "seconds": 2.0}
    write(
        "evaluate/scores.json",
        {
            "name": "clinic",
            "date": "2026-11-30T00:00:00",
            "metrics": ["chrf"],
            "sets": [
                {"set": "test", "direction": "en-fr", "segments": 2, "origins": ["/data/a.tsv"], "results": [line]}
            ],
            "versions": {"dragoman": "0.1.0"},
        },
    )
    write("evaluate/manifest.json", {"facts": {}})
    write("model/manifest.json", {"facts": {"base": "org/base", "licence": None, "context": 128, "new": False}})
    (tmp_path / "evaluate" / "o.jsonl").write_text('{"source": "<b>one two three four</b>"}\n{"source": "five"}\n')
    cost = {
        "stage": "evaluate",
        "seconds": 10.0,
        "joules": 3600.0,
        "how": "measured (RAPL)",
        "price": 1.0,
        "currency": "EUR",
    }
    (tmp_path / "costs.jsonl").write_text(json.dumps(cost) + "\n")
    recipe = "pairs: en-fr\nprepare:\n  parallel:\n    - {path: /data/a.tsv, licence: CC-BY-4.0}\n    - /data/b.tmx\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    return tmp_path


def test_sources_with_their_licences_and_rows(run: Path) -> None:
    assert statement(RunFolder.read(run)) == [
        {"source": "a.tsv", "licence": "CC-BY-4.0", "rows read": 90, "in train": 80, "rejected": 10},
        {"source": "b.tmx", "licence": "unknown", "rows read": 10, "in train": 5, "in dev": 5, "rejected": 0},
    ]


def test_what_is_recorded_and_what_is_not(run: Path) -> None:
    facts = factsheet(RunFolder.read(run))
    assert facts["purpose"] == "Translation of text: English to French."
    assert facts["performance_metrics"][0]["value"] == 41.23
    assert facts["bias"] == facts["domain_shift"] == facts["contact_information"] == UNRECORDED
    assert {"what": "licence of the base", "value": "unknown"} in facts["overview"]
    by = {row["of"]: row for row in facts["energy_and_cost"]}
    # 2 of the evaluation's 10 seconds and 1 Wh for 5 words
    assert by["the run"]["Wh"] == 1.0 and by["1,000 words"]["seconds"] == 400.0 and by["1,000 words"]["Wh"] == 40.0
    assert by["1,000 words"]["price"] == "40.000000 EUR"


def test_files_are_written_and_texts_are_texts(run: Path) -> None:
    page = write_factsheet(run).read_text(encoding="utf-8")
    assert "CC-BY-4.0" in page and "not recorded" in page and "<b>one" not in page
    assert json.loads((run / "evaluate" / "factsheet.json").read_text(encoding="utf-8"))["name"] == "clinic"


def test_a_run_with_little(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text('{"facts": {}}')
    assert factsheet(RunFolder.read(tmp_path))["training_data"] == UNRECORDED

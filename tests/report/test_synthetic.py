"""The report's section about synthetic rows."""

from __future__ import annotations

from pathlib import Path

from dragoman.report.folders import RunFolder
from dragoman.report.page import page
from dragoman.store.run.artifact import Artifact
from tests.report.test_page import Strict
from tests.runs import make_run

FACTS = {
    "rows": {"in": 1000, "accepted": 750, "rejected": 250},
    "reasons": {"repeated": 200, "round_trip": 50},
    "tasks": [
        {
            "mode": "back",
            "direction": "en-de",
            "teachers": {"teacher": "mine", "reverse": "mine"},
            "in": 1000,
            "accepted": 750,
            "round_trip": 61.25,
            "log_probability": None,
            "diversity": {"distinct": {"1": 0.125, "2": 0.5}, "real_distinct": {"1": 0.2, "2": 0.6}},
            "samples": [{"source": "a <b>cat</b>", "target": "eine Katze"}],
        }
    ],
    "teachers": {"mine": {"calls": 0, "tokens": 0, "money": 0.0}, "far": {"calls": 9, "tokens": 12345, "money": 1.5}},
    "examples": {"repeated": [{"source": "x", "target": "y", "detail": "answer number 4"}], "round_trip": []},
}


def test_the_page_tells_what_became_of_synthetic_rows(tmp_path: Path) -> None:
    make_run(tmp_path)
    assert 'id="synthetic"' not in page(RunFolder.read(tmp_path))
    Artifact.finish(tmp_path / "synthesise", "synthesise", "s", FACTS)
    text = page(RunFolder.read(tmp_path))
    assert "synthetic" in Strict(text).ids
    for wanted in (
        "750",
        "75.0 %",
        "61.2",
        "0.125 0.500",
        "0.200 0.600",
        "a &lt;b&gt;cat&lt;/b&gt;",
        "answer number 4",
    ):
        assert wanted in text
    assert "far: 9 calls, 12\u202f345 tokens, 1.50 in money" in text and "mine: 0 calls" not in text

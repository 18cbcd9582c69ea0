"""Better and worse are said where a paired test says so, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.report.tables import set_table
from dragoman.report.verdict import disagreement, told, verdict, way_of


def gain(size: float, low: float, high: float, p: float) -> dict[str, Any]:
    return {"gain": size, "interval": {"low": low, "high": high}, "p_randomisation": p, "p_bootstrap": p}


def entry(found: dict[str, Any], kind: str = "model") -> dict[str, Any]:
    score = {"value": 1.0, "low": 0.0, "high": 2.0}
    line = {"decoding": "greedy", "clean": None, "outputs": {}, "scores": {"chrf": score}}
    return {
        "set": "test",
        "direction": "en-fr",
        "segments": 3,
        "available": 3,
        "overlap": {"segments": 0},
        "results": [
            {**line, "system": "baseline", "kind": kind, "gains": {}},
            {**line, "system": "trained", "kind": "model", "gains": {"chrf": found}},
        ],
    }


@pytest.mark.parametrize(
    ("found", "way", "sentence"),
    [
        (gain(2, 1, 3, 0.001), "better", "test en-fr: better than the untouched model (chrF2++ +2.0, p=0.001)."),
        (gain(-2, -3, -1, 0.00001), "worse", "test en-fr: worse than the untouched model (chrF2++ -2.0, p<0.0001)."),
        (gain(0.1, -1, 1, 0.77), "no difference shown", "test en-fr: no difference from the untouched model is shown (chrF2++ +0.1, p=0.77)."),
    ],
)  # fmt: skip
def test_the_sentence(found: dict[str, Any], way: str, sentence: str) -> None:
    assert way_of(found) == way and verdict(entry(found), ["bleu", "chrf"]) == sentence
    assert disagreement(found) == ""
    assert ("better" in told(found), "worse" in told(found)) == (way == "better", way == "worse")
    assert told(found) in set_table(entry(found), 0.95)


@pytest.mark.parametrize("found", [gain(1, 0.1, 2, 0.06), gain(-1, -2, 0.1, 0.04)])
def test_interval_and_test_that_disagree_are_named(found: dict[str, Any]) -> None:
    assert "undecided" in verdict(entry(found), ["chrf"])
    assert "interval and test disagree: take it as undecided" in set_table(entry(found), 0.95)


def test_a_copy_is_no_model_and_a_lone_system_has_no_verdict() -> None:
    assert "than a copy of the source" in verdict(entry(gain(2, 1, 3, 0.001), "copy"), ["chrf"])
    alone = entry(gain(2, 1, 3, 0.001))
    alone["results"].pop()
    assert verdict(alone, ["chrf"]) == ""

"""`dragoman search` and `translate --mbr`, as a user types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli import main
from dragoman.core.recipe import Recipe
from dragoman.studies import search

RECIPE = """
pairs: en-de
prepare: {parallel: a.tsv}
model: {new: {}}
train: {sft: {}}
search: {space: {train.0.sft.dropout: {uniform: [0, 0.3]}}, trials: 7}
"""
SCORE = {"value": 51.0, "low": 50.0, "high": 52.0, "segments": 10}
ROW = {
    "number": 0,
    "state": "complete",
    "own": True,
    "values": {"train.0.sft.dropout": 0.125},
    "selection": 51.0,
    "held_out": 49.5,
    "tokens": 1234,
    "seconds": 3.0,
    "copy_of": None,
}
RECORD = {
    "title": "chrF2++",
    "space": {"train.0.sft.dropout": {"uniform": [0, 0.3]}},
    "trials": [ROW, {**ROW, "number": 1, "state": "pruned", "selection": None, "held_out": None, "own": False}],
    "best": {"number": 0, "selection": SCORE, "held_out": {**SCORE, "value": 49.5}},
    "own": None,
    "optimism": {"difference": 0.5, "optimism": 1.0},
    "importance": {"train.0.sft.dropout": 1.0},
    "test": [
        {"set": "test", "direction": "en-de", "segments": 9, "system": "trained", "decoding": "greedy", "chrf": 48.0}
    ],
    "recipe": "recipe.best.yaml",
}


def dragoman(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dragoman", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_options_are_the_recipes_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def run(recipe: Recipe, out: Path, *, jobs: int, ray: str | None, listener: object) -> dict[str, Any]:
        del listener, ray
        asked.update(recipe=recipe, out=out, jobs=jobs)
        return RECORD

    monkeypatch.setattr(search, "run", run)
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    assert (
        dragoman(monkeypatch, "search", file, "seed=3", "--sampler", "random", "--pruner", "none", "--workers", 2) == 0
    )
    settings = asked["recipe"].search
    assert (settings.trials, settings.sampler, settings.pruner) == (7, "random", "none")
    assert (asked["recipe"].seed, asked["out"], asked["jobs"]) == (3, tmp_path / "search", 2)
    told = capsys.readouterr().out
    assert "best: trial 0: chrF2++ 51.00" in told
    assert "test en-de, 9 segments, greedy: chrF2++ 48.00" in told
    assert "importance: dropout 100%" in told
    assert dragoman(monkeypatch, "search", file, "--trials", 9, "--json", "--out", tmp_path / "x") == 0
    assert json.loads(capsys.readouterr().out)["best"]["number"] == 0
    assert (asked["recipe"].search.trials, asked["out"]) == (9, tmp_path / "x")


def test_a_recipe_without_a_search_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("pairs: en-de\n", encoding="utf-8")
    assert dragoman(monkeypatch, "search", file) == 2
    assert "the recipe has no section `search`" in capsys.readouterr().err


def test_beam_and_mbr_exclude_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dragoman(monkeypatch, "translate", tmp_path, "text", "--beam", 4, "--mbr", 8) == 2
    assert "--beam and --mbr exclude each other" in capsys.readouterr().err

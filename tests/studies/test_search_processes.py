"""A search with real trials: processes, training, halves translated, the test score at the end."""

from __future__ import annotations

import json
import os
import signal
from multiprocessing import active_children
from pathlib import Path

import pytest

from dragoman.core.listen import Silent
from dragoman.core.recipe import Recipe
from dragoman.jobs.runner import TRIES
from dragoman.report import search as report
from dragoman.studies import search, trial
from dragoman.translator import Translator

SEARCH = """
search:
  space:
    train.0.sft.learning_rate: {log: [1e-3, 1e-2]}
    train.0.adapt: {choice: [full, {method: lora, rank: 4}]}
  trials: 3
"""


class Interrupt(Silent):
    """Ctrl-C when trial 1 is at work."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, task: str, done: float, total: float | None = None, **facts: object) -> None:
        del total, facts
        if task == "search" and done == 1:
            raise KeyboardInterrupt


@pytest.fixture
def recipe(project: Path) -> Recipe:
    file = project / "recipe.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index("study:")] + SEARCH, encoding="utf-8")
    return Recipe.load(file)


@pytest.mark.long
def test_a_search_is_stopped_goes_on_and_ends_with_a_test_score(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "search"
    with pytest.raises(KeyboardInterrupt):
        search.run(recipe, out, listener=Interrupt())
    assert not (out / report.RECORD).exists()
    found = search.run(recipe, out)
    assert [row["state"] for row in found["trials"]] == ["complete"] * 3
    assert found["trials"][0]["own"] is False  # the recipe's own adapter is none of the choices
    assert all(row["tokens"] > 0 and row["curve"] for row in found["trials"])
    assert [row["system"] for row in found["test"]] == ["baseline", "trained"]
    assert found["test"][1]["segments"] == 20
    assert (out / "best" / "evaluate" / "report.html").is_file()
    shared = sorted(path.name.split("-")[0] for path in (out / "shared").glob("*-*"))
    assert shared.count("model") == shared.count("prepare") == shared.count("half") == 1
    rows = [json.loads(line) for line in (out / "trials" / "000" / trial.TRANSLATIONS).read_text().splitlines()]
    assert sorted(row["half"] for row in rows) == ["held-out"] * 5 + ["selection"] * 5
    assert Translator.load(out / "best", threads=1).directions == recipe.pairs


class Kill(Silent):
    """Kills the process of trial 0 whenever it is at work."""

    def __init__(self) -> None:
        self.warned: list[str] = []
        self.seen: set[int] = set()

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def progress(self, task: str, done: float, total: float | None = None, **facts: object) -> None:
        del total, facts
        for child in active_children():
            if task == "search" and done == 0 and child.pid is not None and child.pid not in self.seen:
                self.seen.add(child.pid)
                os.kill(child.pid, signal.SIGKILL)


@pytest.mark.long  # five processes load torch; that of a lost worker is tested by tests/jobs
def test_a_trial_whose_process_is_killed_is_done_again_and_then_has_failed(recipe: Recipe, tmp_path: Path) -> None:
    told = Kill()
    found = search.run(recipe, tmp_path / "search", listener=told)
    assert [row["state"] for row in found["trials"]][1:] == ["complete"] * 2
    assert len(told.seen) == TRIES
    assert sum("its job is done again" in text for text in told.warned) == TRIES - 1
    assert "most likely killed for want of memory" in told.warned[-1] and "trial 0 failed" in told.warned[-1]

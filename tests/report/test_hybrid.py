"""The report of a mixture: shares, gains, guard rails, and the directions that lost."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dragoman.report import hybrid
from dragoman.report.folders import Phase

TASKS = ["lm", "denoise", "mt", "interlinear", "fewshot", "replay"]


def phase(*, gains: bool = True, windows: int = 30) -> Phase:
    lines: list[dict[str, Any]] = [
        {
            "step": 25 * (n + 1),
            "tokens": {task: 100 + 10 * n * (task == "mt") for task in TASKS},
            "gain": {task: 0.02 / (n + 1) for task in TASKS} if gains else {},
        }
        for n in range(windows)
    ]
    scored = [
        {
            "step": step,
            "forgetting": 0.01 * step,
            "one_shot_chrf": 20.0 + step,
            "chrf_by_direction": {"en-fr": 30.0 + step, "fr-en": 40.0 - step},
        }
        for step in (1, 2, 3)
    ]
    return Phase("0-hybrid", [], scored, lines)


def areas(svg: str) -> int:
    return len(re.findall(r'id="[^"]*FillBetweenPolyCollection_\d+"|id="[^"]*PolyCollection_\d+"', svg))


def test_shares_are_areas_with_the_gains_under_them() -> None:
    (found,) = hybrid.mixtures([phase()])
    assert set(found["plots"]) == {"shares", "forgetting", "one_shot_chrf"}
    svg = found["plots"]["shares"]
    assert areas(svg) == len(TASKS)
    assert all(svg.count(f">{task}</text>") == 2 for task in TASKS)  # each panel says what is what
    assert svg.index(">replay</text>") < svg.index(">lm</text>")  # as the areas lie, from the top
    assert "smoothed" in svg
    assert "#0" not in svg  # all colours follow the theme
    (plain,) = hybrid.mixtures([phase(gains=False)])
    assert "smoothed" not in plain["plots"]["shares"]


def test_shares_of_guard_rails_are_per_cent() -> None:
    (found,) = hybrid.mixtures([phase()])
    assert ">2</text>" in found["plots"]["forgetting"]  # the rise was 0.01 to 0.03
    assert "% above the start" in found["plots"]["forgetting"]


def test_a_single_window_and_no_window_can_be_drawn() -> None:
    (found,) = hybrid.mixtures([phase(windows=1)])
    assert areas(found["plots"]["shares"]) == len(TASKS)
    assert hybrid.mixtures([Phase("0-sft", [], [])]) == []


def test_gains_are_smoothed_from_their_first_value() -> None:
    windows = [{"step": 1, "gain": {"mt": 0.1}}, {"step": 2, "gain": {}}, {"step": 3, "gain": {"mt": 0.0}}]
    assert hybrid._smoothed(windows, "mt") == [(1, pytest.approx(10.0)), (3, pytest.approx(8.0))]


def test_a_direction_that_fell_is_marked() -> None:
    found = {line["direction"]: line for line in hybrid.directions([phase()])}
    assert found["fr-en"]["lost"]
    assert (found["fr-en"]["first"], found["fr-en"]["best"], found["fr-en"]["last"]) == (39.0, 39.0, 37.0)
    assert not found["en-fr"]["lost"]

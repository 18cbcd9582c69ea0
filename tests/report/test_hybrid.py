"""The report of a mixture: shares, gains, guard rails, and the directions that lost."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dragoman.report import hybrid
from dragoman.report.folders import Phase

TASKS = ["lm", "denoise", "mt", "interlinear", "fewshot", "replay"]


LANGUAGES = ["de", "en", "fr", "en-de", "de-en", "fr-en"]


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


def trained(languages: list[str], steps: int = 300) -> Phase:
    """A phase that logged the losses of all tasks in all languages, and no window yet."""
    losses = {f"{task} {language}": 2.0 for task in TASKS for language in languages}
    return Phase("0-hybrid", [{"step": step, "by_task": losses} for step in range(1, steps + 1)], [])


def guarded(name: str, values: list[float], limits: list[float]) -> str:
    """The plot of a guard rail that was measured every ten steps."""
    lines: list[dict[str, Any]] = [
        {"step": 10 * n, name: value, "limits": {name: limit}}
        for n, (value, limit) in enumerate(zip(values, limits, strict=True), start=1)
    ]
    (found,) = hybrid.mixtures([Phase("0-sft", [], lines)])
    return str(found["plots"][name])


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


@pytest.mark.parametrize(
    ("name", "values", "limits", "broken"),
    [
        ("forgetting", [0.01, 0.2], [0.1, 0.1], "20"),
        ("forgetting", [0.2], [0.1], "10"),
        ("forgetting", [0.01, 0.1], [0.1, 0.1], None),
        ("off_target", [0.0, 0.5], [0.1, 0.1], "20"),
        ("one_shot_chrf", [30.0, 34.0, 31.5], [28.0, 32.0, 32.0], "30"),
        ("one_shot_chrf", [30.0, 34.0, 32.0], [28.0, 32.0, 32.0], None),
    ],
)
def test_a_limit_is_drawn_and_where_it_broke(
    name: str, values: list[float], limits: list[float], broken: str | None
) -> None:
    svg = guarded(name, values, limits)
    assert ">stop_if</text>" in svg
    assert re.findall(r">broken at step (\d+)</text>", svg) == ([broken] if broken else [])
    assert "var(--bad)" in svg


def test_a_rail_without_a_limit_has_no_legend() -> None:
    (found,) = hybrid.mixtures([phase()])
    assert "stop_if" not in found["plots"]["forgetting"] and "var(--bad)" not in found["plots"]["forgetting"]


def test_losses_have_a_panel_for_each_language_with_a_line_for_each_task() -> None:
    (found,) = hybrid.mixtures([trained(LANGUAGES)])
    svg = found["plots"]["losses"]
    titles = [svg.index(f">{language}</text>") for language in ["de", "en", "fr", "de-en", "en-de", "fr-en"]]
    assert titles == sorted(titles)  # languages before directions
    assert all(svg.count(f">{task}</text>") == 1 for task in TASKS)  # one legend for all panels
    lines = re.findall(r'<path d="([^"]+)"[^>]*stroke: var\(--series', svg)
    assert len(lines) == len(LANGUAGES) * len(TASKS) + len(TASKS)  # and those of the legend
    assert ">en-de</text>" in svg and "most frequent" not in svg


def test_tasks_look_the_same_in_all_plots_of_their_phase() -> None:
    looks = hybrid._looks(TASKS)
    assert len(set(looks.values())) == len(TASKS)
    assert looks["fewshot"].colour == looks["lm"].colour and looks["fewshot"].line != looks["lm"].line
    assert len(hybrid._looks([*TASKS, "synthetic", "a", "b"])) == 9


def test_losses_of_many_languages_stay_small_and_say_what_is_left_out() -> None:
    once = {"step": 301, "by_task": {"mt xx-yy": 1.0}}
    many = trained([f"en-{n:02}" for n in range(20)])
    (found,) = hybrid.mixtures([Phase("0-hybrid", [*many.steps, once], [])])
    svg = found["plots"]["losses"]
    assert "the 12 most frequent of 21 languages and directions" in svg
    assert ">xx-yy</text>" not in svg
    assert len(svg) < 250_000


def test_losses_are_means_of_neighbours() -> None:
    points = [(float(step), float(step % 2)) for step in range(1, 401)]
    assert hybrid._binned(points)[:2] == [(5.5, 0.5), (15.5, 0.5)]
    assert hybrid._binned(points[:40]) == points[:40]


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

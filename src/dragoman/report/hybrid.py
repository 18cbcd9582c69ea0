"""What a hybrid phase did: the tasks' shares and gains over time, its guard rails, and directions that lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.report import plots
from dragoman.report.folders import Phase

_SMOOTH = 0.8  # of the moving average over the windows' gains: single windows are noise
_LOST = 1.0  # chrF below its own best from which a direction is marked
_RAILS = {  # title, and what the figures are multiplied by
    "forgetting": ("Perplexity of general text, % above the start", 100),
    "one_shot_chrf": ("One-shot chrF2++ of dev sentences", 1),
    "off_target": ("Translations in another language, %", 100),
}
_ASIDE: dict[str, Any] = {
    "loc": "center left",
    "bbox_to_anchor": (1.0, 0.5),
    "fontsize": 8.5,
}  # a legend beside its panel


def mixtures(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """For every phase with a mixture: its plots by kind."""
    found = []
    for phase in phases:
        drawn = {}
        if phase.windows:
            drawn["shares"] = _shares(phase)
        for name, (title, factor) in _RAILS.items():
            points = [(e["step"], factor * e[name]) for e in phase.evaluations if name in e]
            if points:
                drawn[name] = _rail(f"{phase.name}-{name}", title, points)
        if drawn:
            found.append({"name": phase.name, "plots": drawn})
    return found


def directions(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """chrF of each direction's dev sentences: first, best and last, and whether it lost what it had.

    Tuning on all directions alike can make some of them collapse while the mean rises (2511.07003).
    """
    found = []
    for phase in phases:
        names = dict.fromkeys(name for e in phase.evaluations for name in e.get("chrf_by_direction", {}))
        for name in names:
            values = [e["chrf_by_direction"][name] for e in phase.evaluations if "chrf_by_direction" in e]
            found.append(
                {
                    "phase": phase.name,
                    "direction": name,
                    "first": values[0],
                    "best": max(values),
                    "last": values[-1],
                    "lost": values[-1] < max(values) - _LOST,
                }
            )
    return found


def _shares(phase: Phase) -> str:
    """Delivered shares as stacked areas, and under them the smoothed gains on the probes where there are any."""
    windows = phase.windows
    ends = [0, *(window["step"] for window in windows)]  # a window's shares hold from the end of the one before it
    tasks = list(windows[0]["tokens"])
    totals = [max(1, sum(window["tokens"].values())) for window in windows]
    layers = [[w["tokens"].get(task, 0) / total for w, total in zip(windows, totals, strict=True)] for task in tasks]
    layers = [[layer[0], *layer] for layer in layers]
    gains = {task: _smoothed(windows, task) for task in tasks}
    gains = {task: points for task, points in gains.items() if points}
    rows = 2 if gains else 1
    with plots.drawing(7.4, 2.4 + 1.9 * (rows - 1), f"mixture-{phase.name}") as (figure, svg):
        panels = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=[1.25, 1][:rows])[:, 0]
        colours = {task: plots.SERIES[number % len(plots.SERIES)] for number, task in enumerate(tasks)}
        faint = {task: 0.9 if number < len(plots.SERIES) else 0.45 for number, task in enumerate(tasks)}
        bottom = [0.0] * len(ends)
        for task, layer in zip(tasks, layers, strict=True):
            top = [a + b for a, b in zip(bottom, layer, strict=True)]
            panels[0].fill_between(
                ends, bottom, top, step="pre", color=colours[task], alpha=faint[task], linewidth=0, label=task
            )
            bottom = top
        panels[0].set_ylim(0, 1)
        panels[0].set_title(f"Shares of the tokens ({phase.name})")
        panels[0].legend(reverse=True, **_ASIDE)  # in the order of the areas
        plots.numbers(panels[0], "y")
        for task, points in gains.items():
            xs, ys = zip(*plots.thin(points), strict=True)
            style = "-" if faint[task] > 0.5 else (0, (3, 1.5))
            panels[1].plot(xs, ys, color=colours[task], linewidth=1.4, linestyle=style, label=task)
        if gains:
            panels[1].legend(**_ASIDE)
            panels[1].axhline(0, color=plots.INK, linewidth=0.6)
            panels[1].set_title("Loss that a window took off the task's probe, smoothed (% of the loss)")
            plots.numbers(panels[1], "y")
        panels[-1].set_xlabel("step")
        plots.numbers(panels[-1], "x", whole=True)
    return svg[0]


def _smoothed(windows: Sequence[Mapping[str, Any]], task: str) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    mean: float | None = None
    for window in windows:
        if task in window.get("gain", {}):
            gain = 100 * float(window["gain"][task])
            mean = gain if mean is None else _SMOOTH * mean + (1 - _SMOOTH) * gain
            points.append((window["step"], mean))
    return points


def _rail(name: str, title: str, points: Sequence[tuple[float, float]]) -> str:
    with plots.drawing(3.7, 2.1, f"rail-{name}") as (figure, svg):
        axes = figure.subplots()
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, color=plots.SERIES[0], linewidth=1.5, marker="o" if len(xs) <= 40 else None, markersize=3)
        axes.set_title(title)
        axes.set_xlabel("step")
        plots.numbers(axes, "x", whole=True)
        plots.numbers(axes, "y")
    return svg[0]

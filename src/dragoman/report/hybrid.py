"""What a hybrid phase did: the tasks' shares, gains and losses over time, its guard rails, and directions that lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from statistics import fmean
from typing import Any, NamedTuple

from dragoman.report import plots
from dragoman.report.folders import Phase

_SMOOTH = 0.8  # of the moving average over the windows' gains: single windows are noise
_LOST = 1.0  # chrF below its own best from which a direction is marked
_BINS = 40  # points of a task's loss at most, each the mean of its neighbours: single steps are noise
_PANELS = 12  # languages and directions whose losses are drawn
_COLUMNS = 3  # of them at most
_ASIDE: dict[str, Any] = {
    "loc": "center left",
    "bbox_to_anchor": (1.0, 0.5),
    "fontsize": 8.5,
}  # a legend beside its panel


class Rail(NamedTuple):
    """A figure of the evaluations that may have a limit. It is drawn times `factor`."""

    title: str
    factor: int = 1
    low: bool = False  # it is broken below its limit, not above


_RAILS = {
    "forgetting": Rail("Perplexity of general text, % above the start", 100),
    "one_shot_chrf": Rail("One-shot chrF2++ of dev sentences", low=True),
    "off_target": Rail("Translations in another language, %", 100),
}


class Look(NamedTuple):
    """How a task is drawn, the same in all plots of its phase."""

    colour: str
    opacity: float
    line: Any


def mixtures(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """For every phase with a mixture: its plots by kind."""
    found = []
    for phase in phases:
        drawn = {}
        if phase.windows:
            drawn["shares"] = _shares(phase)
        if any(step.get("by_task") for step in phase.steps):
            drawn["losses"] = _losses(phase)
        for name, rail in _RAILS.items():
            if any(name in e for e in phase.evaluations):
                drawn[name] = _rail(phase, name, rail)
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
        looks = _looks(tasks)
        bottom = [0.0] * len(ends)
        for task, layer in zip(tasks, layers, strict=True):
            top = [a + b for a, b in zip(bottom, layer, strict=True)]
            look = {"color": looks[task].colour, "alpha": looks[task].opacity, "linewidth": 0}
            panels[0].fill_between(ends, bottom, top, step="pre", label=task, **look)
            bottom = top
        panels[0].set_ylim(0, 1)
        panels[0].set_title(f"Shares of the tokens ({phase.name})")
        panels[0].legend(reverse=True, **_ASIDE)  # in the order of the areas
        plots.numbers(panels[0], "y")
        for task, points in gains.items():
            xs, ys = zip(*plots.thin(points), strict=True)
            panels[1].plot(xs, ys, color=looks[task].colour, linewidth=1.4, linestyle=looks[task].line, label=task)
        if gains:
            panels[1].legend(**_ASIDE)
            panels[1].axhline(0, color=plots.INK, linewidth=0.6)
            panels[1].set_title("Loss that a window took off the task's probe, smoothed (% of the loss)")
            plots.numbers(panels[1], "y")
        panels[-1].set_xlabel("step")
        plots.numbers(panels[-1], "x", whole=True)
    return svg[0]


def _looks(tasks: Sequence[str]) -> dict[str, Look]:
    """The colours in turn; those that come again are faint, or dashed."""
    looks = [Look(colour, 0.9, "-") for colour in plots.SERIES]
    again = [Look(colour, 0.45, (0, (3, 1.5))) for colour in plots.SERIES]
    return dict(zip(tasks, cycle(looks + again), strict=False))


def _smoothed(windows: Sequence[Mapping[str, Any]], task: str) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    mean: float | None = None
    for window in windows:
        if task in window.get("gain", {}):
            gain = 100 * float(window["gain"][task])
            mean = gain if mean is None else _SMOOTH * mean + (1 - _SMOOTH) * gain
            points.append((window["step"], mean))
    return points


def _losses(phase: Phase) -> str:
    """The training loss of every task, a panel for each language or direction; of many the most frequent."""
    found = _by_language(phase.steps)
    often = sorted(found, key=lambda name: sum(map(len, found[name].values())), reverse=True)
    shown = sorted(often[:_PANELS], key=lambda name: (len(name), name))  # languages before directions
    known = phase.windows[0]["tokens"] if phase.windows else ()
    looks = _looks(list(dict.fromkeys([*known, *(task for name in found for task in found[name])])))
    columns = min(_COLUMNS, math.ceil(math.sqrt(len(shown))))
    rows = math.ceil(len(shown) / columns)
    title = f"Training loss per token ({phase.name})"
    if len(shown) < len(found):
        title += f", the {len(shown)} most frequent of {len(found)} languages and directions"
    with plots.drawing(7.4, 0.5 + 1.6 * rows, f"losses-{phase.name}") as (figure, svg):
        lines: dict[str, Any] = {}
        for number, name in enumerate(shown, start=1):
            axes = figure.add_subplot(rows, columns, number)
            for task, points in found[name].items():
                xs, ys = zip(*_binned(points), strict=True)
                style = {"color": looks[task].colour, "linestyle": looks[task].line, "linewidth": 1.4}
                (lines[task],) = axes.plot(xs, ys, marker="o" if len(xs) == 1 else None, markersize=3, **style)
            axes.set_title(name)
            axes.set_xlim(0, phase.steps[-1]["step"])
            plots.numbers(axes, "x", whole=True)
            plots.numbers(axes, "y")
        tasks = [task for task in looks if task in lines]
        figure.legend([lines[task] for task in tasks], tasks, loc="outside right upper", fontsize=8.5)
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
        figure.supxlabel("step", fontsize=9, color=plots.MUTED)
    return svg[0]


def _by_language(steps: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """language or direction -> task -> (step, loss per token)."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for step in steps:
        for group, loss in step.get("by_task", {}).items():
            task, name = group.split(" ", 1)
            found.setdefault(name, {}).setdefault(task, []).append((step["step"], loss))
    return found


def _binned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(points) // _BINS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups]


def _rail(phase: Phase, name: str, rail: Rail) -> str:
    """A figure over the steps, its limit if it has one, and a cross where it is past it."""
    measured = [e for e in phase.evaluations if name in e]
    limited = [e for e in measured if name in e.get("limits", {})]
    side = -1 if rail.low else 1
    broken = [e for e in limited if side * e[name] > side * e["limits"][name]]
    with plots.drawing(3.7, 2.1, f"rail-{phase.name}-{name}") as (figure, svg):
        axes = figure.subplots()
        xs, ys = [e["step"] for e in measured], [rail.factor * e[name] for e in measured]
        axes.plot(xs, ys, color=plots.SERIES[0], linewidth=1.5, marker="o" if len(xs) <= 40 else None, markersize=3)
        if limited:
            steps, limits = [e["step"] for e in limited], [rail.factor * e["limits"][name] for e in limited]
            dashed: dict[str, Any] = {"color": plots.BAD, "linewidth": 1, "linestyle": (0, (4, 2)), "label": "stop_if"}
            if len(set(limits)) == 1:
                axes.axhline(limits[0], **dashed)
            else:
                axes.step(steps, limits, where="post", **dashed)
        for e in broken:
            label, place = f"broken at step {e['step']:,}", (e["step"], rail.factor * e[name])
            axes.plot(*place, "x", color=plots.BAD, ms=8, mew=2, clip_on=False, label=label)
        if limited:
            axes.legend(loc="best", fontsize=8.5)
        if not any(ys) and not limited:
            axes.set_ylim(-0.05, 1)  # a share that is 0 throughout; none is below
        axes.set_xlim(left=0)
        axes.set_title(rail.title)
        axes.set_xlabel("step")
        plots.numbers(axes, "x", whole=True)
        plots.numbers(axes, "y")
    return svg[0]

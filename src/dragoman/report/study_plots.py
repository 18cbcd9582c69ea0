"""Figures of a study: scores of the arms as bars, and the training curves of all arms in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from dragoman.report.plots import INK, drawing, numbers, style, thin

_LEVEL = 9  # letters of an arm's name that fit under its bar
_PARTS = 20  # of a training curve: a point is drawn as the mean of so large a part around it


def bars(name: str, title: str, scores: Mapping[str, Mapping[str, Any]], arms: Sequence[str]) -> str:
    """A bar for each arm with its interval, its letters above; the dots are the seeds."""
    longest = max(map(len, scores))
    slant: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if longest > _LEVEL else {}
    with drawing(max(3.9, 0.9 + 0.75 * len(scores)), 2.7 + 0.04 * longest * bool(slant), name) as (figure, svg):
        axes = figure.subplots()
        top = max(score["high"] for score in scores.values())
        for place, (arm, score) in enumerate(scores.items()):
            value = score["value"]
            error = [[max(0.0, value - score["low"])], [max(0.0, score["high"] - value)]]
            axes.bar([place], [value], width=0.62, color=style(arms.index(arm))["color"], alpha=0.85)
            axes.errorbar([place], [value], yerr=error, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
            if len(score["seeds"]) > 1:
                axes.plot([place] * len(score["seeds"]), score["seeds"], "o", color=INK, markersize=2.2, alpha=0.6)
            axes.annotate(
                f"{value:.1f} {score['letters']}",
                (place, score["high"]),
                (0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
            )
        axes.set_xticks(range(len(scores)), list(scores), **slant)
        axes.tick_params(axis="x", length=0, labelcolor=INK)
        axes.grid(False, axis="x")
        axes.set_xlim(-0.6, max(len(scores), 4) - 0.4)  # few bars are no wider than four
        axes.set_ylim(0, top * 1.12 if top > 0 else 1)
        axes.set_title(title)
        numbers(axes, "y")
    return svg[0]


def curves(runs: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> dict[str, str]:
    """Training loss, dev loss and dev chrF of every run: a colour for each arm, its first seed strong."""
    found = {}
    wanted = [
        ("train", "Training loss, smoothed", "train", 1),
        ("dev", "Dev loss", "dev", 1),
        ("chrf", "chrF2++ of the dev sample", "dev", 2),
    ]
    for name, title, part, column in wanted:
        lines = [
            (run["arm"], [(point[0], point[column]) for point in run[part] if point[column] is not None])
            for run in runs
        ]
        if part == "train":
            lines = [(arm, smoothed(points)) for arm, points in lines]
        if any(points for _, points in lines):
            found[name] = _lines(f"study-{name}", title, lines, arms)
    return found


def smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means around each point: the losses of single batches scatter more than the arms differ."""
    half = len(points) // (2 * _PARTS)
    parts = [points[max(0, place - half) : place + half + 1] for place in range(len(points))]
    return [(step, fmean(loss for _, loss in part)) for (step, _), part in zip(points, parts, strict=True)]


def _lines(
    name: str, title: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], arms: Sequence[str]
) -> str:
    with drawing(3.7, 2.6, name) as (figure, svg):
        axes = figure.subplots()
        seen: set[str] = set()
        for arm, points in lines:
            if not points:
                continue
            xs, ys = zip(*thin(points), strict=True)
            first = arm not in seen
            seen.add(arm)
            marker = "o" if len(xs) <= 40 else None
            axes.plot(
                xs,
                ys,
                **style(arms.index(arm)),
                linewidth=1.5 if first else 0.8,
                alpha=1.0 if first else 0.45,
                marker=marker,
                markersize=2.5 if first else 1.5,
                label=arm if first else None,
            )
        axes.set_title(title)
        axes.set_xlabel("step")
        numbers(axes, "x")
        numbers(axes, "y")
        if len(seen) > 1:
            axes.legend(loc="best", fontsize=8.5)
    return svg[0]

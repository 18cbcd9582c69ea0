"""mixture.html: the curves of a mixture study over its runs, and what the laws say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.errors import DataError
from dragoman.report import study as report
from dragoman.report.page import html
from dragoman.report.plots import INK, SERIES, drawing, numbers
from dragoman.report.tables import grid
from dragoman.store.run.artifact import write_atomic

PAGE, TABLE = "mixture.html", "mixture.csv"
TITLES = {"translation": "Loss on the dev references", "general": "Loss on general text"}
KINDS = {
    "best": "lowest translation loss",
    "critical": "largest share within the limit on general text",
    "best_within_limit": "lowest translation loss within the limit",
}
LOSSES = {"best": "of translation", "critical": "of general text", "best_within_limit": "of translation"}


def render(folder: Path) -> Path:
    """Write mixture.html from study.json; returns its path."""
    path = folder / PAGE
    write_atomic(path, page(report.read(folder)).encode())
    return path


def page(study: Mapping[str, Any]) -> str:
    """The HTML text. Raises DataError when the study is of another kind."""
    found = study.get("mixture")
    if found is None:
        raise DataError(f"the study {study['name']} is none of mixtures.")
    return html(
        "mixture.html.jinja", study=study, mixture=found, plots=plots(found), titles=TITLES, kinds=KINDS, losses=LOSSES
    )


def plots(found: Mapping[str, Any]) -> dict[str, str]:
    """By measure: the runs as dots over the share of translation, the law of each budget with its band."""
    drawn = {}
    for measure, title in TITLES.items():
        points = [point for point in found["points"] if point[measure] is not None]
        if points:
            curves = [curve for curve in found["curves"] if curve["measure"] == measure]
            drawn[measure] = _plot(measure, title, points, curves, found["ceiling"] if measure == "general" else None)
    return drawn


def _plot(
    name: str,
    title: str,
    points: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    ceiling: float | None,
) -> str:
    budgets = sorted({point["tokens"] for point in points})
    with drawing(3.7, 2.8, f"mixture-law-{name}") as (figure, svg):
        axes = figure.subplots()
        for number, budget in enumerate(budgets):
            colour = SERIES[number % len(SERIES)]
            here = [point for point in points if point["tokens"] == budget]
            xs = [point["asked"] if point["delivered"] is None else point["delivered"] for point in here]
            axes.plot(xs, [point[name] for point in here], "o", color=colour, markersize=4, label=f"{budget:,} tokens")
            for curve in curves:
                if curve["tokens"] == budget:
                    shares, losses, low, high = curve["points"]
                    axes.plot(shares, losses, color=colour, linewidth=1.5)
                    axes.fill_between(shares, low, high, color=colour, alpha=0.15, linewidth=0)
        if ceiling is not None:
            axes.axhline(ceiling, color=INK, linewidth=0.9, linestyle=(0, (3, 3)), label="limit")
        axes.set_title(title)
        axes.set_xlabel("share of translation in the tokens")
        axes.set_ylabel("nats per token")
        axes.set_xlim(0, 1)
        numbers(axes, "x")
        numbers(axes, "y")
        if len(budgets) > 1 or ceiling is not None:
            axes.legend(loc="best", fontsize=8.5)
    return svg[0]


def table(found: Mapping[str, Any]) -> str:
    """Runs and choices for a terminal."""
    rows = [["share", "tokens", "seed", "translation loss", "general loss", "dev chrF"]]
    for point in found["points"]:
        figures = [
            "" if point[key] is None else f"{point[key]:.{digits}f}"
            for key, digits in (("translation", 4), ("general", 4), ("chrf", 2))
        ]
        share = point["asked"] if point["delivered"] is None else point["delivered"]
        rows.append([f"{share:.3f}", f"{point['tokens']:,}", str(point["seed"]), *figures])
    told = [choice_text(choice) for choice in found["choices"]]
    return "\n".join([grid(rows), "", *told, *found["refused"], *found["not_fitted"]])


def choice_text(choice: Mapping[str, Any]) -> str:
    """One line: what was chosen, with its interval."""
    around = choice["interval"]
    edge = "; the edge of what was tried, so the true one may lie beyond" if choice["edge"] else ""
    return (
        f"{choice['tokens']:,} tokens, {KINDS[choice['kind']]}: share {choice['share']:.3f} "
        f"[{around['low']:.3f}, {around['high']:.3f}], loss {LOSSES[choice['kind']]} {choice['loss']:.4f}{edge}"
    )

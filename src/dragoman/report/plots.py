"""Static plots as inline SVG. Colours are CSS variables, so that a plot follows the page's light or dark theme."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholders that are drawn and then replaced in the SVG by the variables of page.css.
_COLOURS = {
    "#010203": "var(--ink)",
    "#040506": "var(--muted)",
    "#070809": "var(--line)",
    "#161718": "var(--bad)",
    "#0a0b0c": "var(--series-1)",
    "#0d0e0f": "var(--series-2)",
    "#101112": "var(--series-3)",
    "#131415": "var(--series-4)",
}
INK, MUTED, _LINE, BAD, *SERIES = _COLOURS
_POINTS = 400  # of a curve; more cannot be seen at this size
_MAX_ROWS = 14
_STYLES = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # after the colours have been used once


def style(number: int) -> dict[str, Any]:
    """Colour and line of the series of this number."""
    return {"color": SERIES[number % len(SERIES)], "linestyle": _STYLES[number // len(SERIES) % len(_STYLES)]}


@contextmanager
def drawing(width: float, height: float, name: str) -> Iterator[tuple[Figure, list[str]]]:
    """A figure in inches, and the list that receives its SVG text."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": _LINE,
        "axes.labelcolor": MUTED,
        "axes.titlecolor": INK,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": _LINE,
        "grid.linewidth": 0.6,
        "xtick.color": _LINE,
        "ytick.color": _LINE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "legend.frameon": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
    }
    found: list[str] = []
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, found
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        found.append(_themed(buffer.getvalue(), name))


def _themed(svg: str, name: str) -> str:
    """The bare <svg> element: themed colours, ids of its own, no metadata, scaled by its container."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    for placeholder, variable in _COLOURS.items():
        svg = svg.replace(placeholder, variable)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: (\d+\.?\d*)px [^;\"]*", r"font: \1px var(--sans)", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1).strip()


def thin(values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most _POINTS points, each the mean of its neighbours, the first and last as they are."""
    if len(values) <= _POINTS:
        return list(values)
    size = len(values) / _POINTS
    groups = [values[int(i * size) : max(int((i + 1) * size), int(i * size) + 1)] for i in range(_POINTS)]
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
    return [values[0], *means[1:-1], values[-1]]


def numbers(axes: Axes, axis: str, *, whole: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    chosen = axes.xaxis if axis == "x" else axes.yaxis
    chosen.set_major_locator(MaxNLocator(nbins=5, integer=whole))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: _short(value, list(chosen.get_majorticklocs()))))


def _short(value: float, ticks: Sequence[float]) -> str:
    """With as many digits as tell it from the ticks beside it."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    step = min((abs(b - a) for a, b in pairwise(ticks)), default=0.0)
    digits = (
        3 if not (value and step) else max(3, math.floor(math.log10(abs(value))) - math.floor(math.log10(step)) + 2)
    )
    return f"{value:.{digits}g}"


# ---------------------------------------------------------------- what went in


def rejected(reasons: Mapping[str, int]) -> str:
    """Rows that were dropped, by reason, as bars with their counts."""
    items = list(reasons.items())
    shown = items[:_MAX_ROWS]
    if rest := sum(count for _, count in items[_MAX_ROWS:]):
        shown.append(("other reasons", rest))
    with drawing(6.4, 0.5 + 0.27 * len(shown), "rejected") as (figure, svg):
        axes = figure.subplots()
        places = range(len(shown))
        axes.barh(places, [count for _, count in shown], height=0.62, color=SERIES[0])
        axes.set_yticks(places, [name.replace("_", " ") for name, _ in shown])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        most = max(count for _, count in shown)
        for place, (_, count) in zip(places, shown, strict=True):
            axes.text(count + most * 0.012, place, f"{count:,}", va="center", color=MUTED, fontsize=8.5)
        axes.set_xlim(0, most * 1.12)
        numbers(axes, "x", whole=True)
        axes.set_xlabel("rows")
    return svg[0]


# ---------------------------------------------------------------- learning curves


def curves(phases: Sequence[Any]) -> dict[str, str]:
    """Loss, dev chrF and BLEU, and learning rate over the steps; several phases follow one another."""
    found = {}
    offset = 0
    train, dev, rate, marks = [], [], [], []
    quality: dict[str, list[tuple[float, float]]] = {"chrf": [], "bleu": []}
    for phase in phases:
        if offset:
            marks.append(offset)
        train += [(offset + e["step"], e["loss"]) for e in phase.steps]
        rate += [(offset + e["step"], e["learning_rate"]) for e in phase.steps]
        dev += [(offset + e["step"], e["loss"]) for e in phase.evaluations]
        for metric, points in quality.items():
            points += [(offset + e["step"], e[metric]) for e in phase.evaluations if metric in e]
        offset += max((int(e["step"]) for e in phase.steps), default=0)
    if train:
        found["loss"] = curve("loss", "Loss", [("training", train, False), ("dev", dev, True)], marks)
    if quality["chrf"]:
        lines = [("chrF2++", quality["chrf"], True), ("BLEU", quality["bleu"], True)]
        found["quality"] = curve("quality", "Translated dev sample", lines, marks)
    if rate:
        found["rate"] = curve("rate", "Learning rate", [("", rate, False)], marks)
    return found


def curve(
    name: str, title: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]], bool]], marks: Sequence[float]
) -> str:
    """Lines as (label, points, with dots) over the steps; `marks`: steps at which a phase begins."""
    with drawing(3.7, 2.5, f"curve-{name}") as (figure, svg):
        axes = figure.subplots()
        for number, (label, points, dots) in enumerate(lines):
            if not points:
                continue
            xs, ys = zip(*thin(points), strict=True)
            marker = "o" if dots and len(xs) <= 40 else None
            axes.plot(xs, ys, **style(number), linewidth=1.5, marker=marker, markersize=3, label=label)
        for mark in marks:
            axes.axvline(mark, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.set_title(title)
        axes.set_xlabel("step")
        numbers(axes, "x")
        numbers(axes, "y")
        if len(lines) > 1:
            axes.legend(loc="best", fontsize=8.5)
    return svg[0]


# ---------------------------------------------------------------- scores


def scores(sets: Sequence[Mapping[str, Any]], metric: str, title: str) -> str:
    """Every system on every set: its score and confidence interval, a line per row."""
    rows: list[tuple[str, list[tuple[str, Mapping[str, float]]]]] = []
    for entry in sets:
        lines = [(f"{r['system']} {r['decoding']}", r["scores"][metric]) for r in entry["results"]]
        rows.append((f"{entry['set']} {entry['direction']}", lines))
    total = sum(len(lines) for _, lines in rows)
    series = list(dict.fromkeys(name for _, lines in rows for name, _ in lines))
    with drawing(3.7, 0.95 + 0.3 * total + 0.3 * len(rows), f"scores-{metric}") as (figure, svg):
        axes = figure.subplots()
        place, ticks, labels = 0.0, [], []
        for label, lines in rows:
            axes.text(0, place, label, transform=axes.get_yaxis_transform(), fontsize=8.5, color=MUTED, va="center")
            place += 1.0
            for name, score in lines:
                colour = SERIES[series.index(name) % len(SERIES)]
                value = score["value"]
                axes.errorbar(
                    [value],
                    [place],
                    xerr=[[max(0.0, value - score["low"])], [max(0.0, score["high"] - value)]],
                    fmt="o",
                    color=colour,
                    markersize=5,
                    linewidth=1.6,
                    capsize=2.5,
                )
                axes.annotate(
                    f"{value:.1f}", (value, place), (0, 6), textcoords="offset points", ha="center", fontsize=8
                )
                ticks.append(place)
                labels.append(name)
                place += 1
            place += 0.25
        axes.set_yticks(ticks, labels)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(place - 0.3, -0.7)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.12)
        axes.set_title(title)
        numbers(axes, "x")
    return svg[0]


def calibration(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """For each decoding: true against expected chrF, bin by bin; a calibrated confidence lies on the diagonal."""
    by_decoding: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_decoding.setdefault(row["decoding"], []).append(row)
    return {name: _reliability(f"calibration-{i}", name, found) for i, (name, found) in enumerate(by_decoding.items())}


def _reliability(name: str, title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    with drawing(3.7, 3.2, name) as (figure, svg):
        axes = figure.subplots()
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        for number, row in enumerate(rows):
            expected, found = [b[0] for b in row["bins"]], [b[1] for b in row["bins"]]
            label = f"{row['set']} {row['direction']}"
            axes.plot(expected, found, **style(number), marker="o", markersize=3, linewidth=1.2, label=label)
        axes.set_title(title)
        axes.set_xlabel("expected chrF")
        axes.set_ylabel("true chrF")
        numbers(axes, "x")
        numbers(axes, "y")
        axes.legend(loc="upper left", fontsize=8)
    return svg[0]

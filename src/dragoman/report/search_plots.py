"""Figures of a search: what each value gave, how the best rose, and what it is worth on texts that nobody chose by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill, shorten
from typing import Any

from dragoman.report.plots import INK, SERIES, drawing, numbers

_MOST = 12  # keys that get a figure


def plots(search: Mapping[str, Any]) -> dict[str, Any]:
    """`halves`, `path`, `curves`, `importance` (where there is one) as SVG, and `values`: one figure for each key."""
    done = [row for row in search["trials"] if row["state"] == "complete"]
    found: dict[str, Any] = {
        "halves": _halves(done, search),
        "path": _path(search),
        "curves": _curves(search),
        "values": {key: _values(done, key, search) for key in list(search["space"])[:_MOST]},
    }
    if search["importance"]:
        found["importance"] = _importance(search["importance"])
    return found


def _halves(done: Sequence[Mapping[str, Any]], search: Mapping[str, Any]) -> str:
    """Every trial by both halves; the line is where trials would lie if choosing flattered none."""
    best, shift = search["best"]["number"], search["optimism"]["difference"]
    with drawing(3.7, 2.9, "search-halves") as (figure, svg):
        axes = figure.subplots()
        points = [(row["selection"], row["held_out"]) for row in done]
        ends = [min(x for x, _ in points), max(x for x, _ in points)]
        axes.plot(ends, [end - shift for end in ends], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot(*zip(*points, strict=True), "o", color=SERIES[0], markersize=4, alpha=0.8)
        chosen = next(row for row in done if row["number"] == best)
        axes.plot([chosen["selection"]], [chosen["held_out"]], "o", color=SERIES[1], markersize=7)
        axes.set_title(f"{search['title']} of the two halves of dev")
        axes.set_xlabel("the half that trials are chosen by")
        axes.set_ylabel("held-out half")
        numbers(axes, "x")
        numbers(axes, "y")
    return svg[0]


def _path(search: Mapping[str, Any]) -> str:
    """The best so far by the selection half, and that trial on the held-out half."""
    steps = search["optimism"]["path"]
    with drawing(3.7, 2.9, "search-path") as (figure, svg):
        axes = figure.subplots()
        counts = [count for count, _, _ in steps]
        axes.step(counts, [s for _, s, _ in steps], where="post", color=SERIES[1], linewidth=1.5, label="as selected")
        axes.step(counts, [h for _, _, h in steps], where="post", color=SERIES[0], linewidth=1.5, label="held out")
        axes.set_title(f"{search['title']} of the best so far")
        axes.set_xlabel("trials")
        axes.legend(loc="best", fontsize=8.5)
        numbers(axes, "x", whole=True)
        numbers(axes, "y")
    return svg[0]


def _curves(search: Mapping[str, Any]) -> str:
    """Dev scores during the training of all trials; those that were ended early are dotted."""
    with drawing(3.7, 2.9, "search-curves") as (figure, svg):
        axes = figure.subplots()
        for row in search["trials"]:
            if not row["curve"]:
                continue
            xs, ys = zip(*row["curve"], strict=True)
            chosen = row["number"] == search["best"]["number"]
            whole = row["state"] == "complete"
            axes.plot(
                [100 * x for x in xs],
                ys,
                color=SERIES[1] if chosen else SERIES[0],
                linewidth=2 if chosen else 1,
                alpha=1 if chosen else 0.55,
                linestyle="solid" if whole else (0, (1, 1.5)),
                zorder=3 if chosen else 2,
            )
        axes.set_title(f"Dev {search['title']} during training")
        axes.set_xlabel("per cent of the training")
        numbers(axes, "x")
        numbers(axes, "y")
    return svg[0]


def _importance(shares: Mapping[str, float]) -> str:
    items = list(shares.items())[:_MOST]
    with drawing(3.7, 0.9 + 0.3 * len(items), "search-importance") as (figure, svg):
        axes = figure.subplots()
        places = range(len(items))
        axes.barh(places, [100 * share for _, share in items], height=0.6, color=SERIES[0])
        axes.set_yticks(places, [key.rsplit(".", 1)[-1] for key, _ in items])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_title("Importance")
        axes.set_xlabel("per cent")
        numbers(axes, "x")
    return svg[0]


def _values(done: Sequence[Mapping[str, Any]], key: str, search: Mapping[str, Any]) -> str:
    """The selection half's score over the values of one key."""
    from matplotlib.ticker import NullFormatter

    from dragoman.report.search import short

    kind = next(iter(search["space"][key]))
    with drawing(3.7, 2.4, f"search-{key.replace('.', '-')}") as (figure, svg):
        axes = figure.subplots()
        scores = [row["selection"] for row in done]
        if kind == "choice":
            labels = list(dict.fromkeys(short(value) for value in search["space"][key]["choice"]))
            places: Sequence[float] = [labels.index(short(row["values"][key])) for row in done]
            axes.set_xticks(range(len(labels)), [fill(shorten(label, 48), 16) for label in labels])
            axes.set_xlim(-0.5, len(labels) - 0.5)
        else:
            places = [row["values"][key] for row in done]
            if kind == "log":
                axes.set_xscale("log")
                low, high = search["space"][key]["log"]
                axes.set_xlim(low / 1.1, high * 1.1)
                if (
                    high / low >= 10
                ):  # some power of ten falls into it: those alone are labelled, for there is little room
                    axes.xaxis.set_minor_formatter(NullFormatter())
            else:
                numbers(axes, "x", whole=kind == "int")
        axes.plot(places, scores, "o", color=SERIES[0], markersize=4, alpha=0.8)
        chosen = next(i for i, row in enumerate(done) if row["number"] == search["best"]["number"])
        axes.plot([places[chosen]], [scores[chosen]], "o", color=SERIES[1], markersize=7)
        axes.set_title(key)
        numbers(axes, "y")
    return svg[0]

"""What came of the exports of a model: a table for the terminal and the card, and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.report.card import card
from dragoman.report.folders import RunFolder
from dragoman.report.plots import INK, SERIES, drawing
from dragoman.report.tables import grid

_HEAD = ["format", "size MiB", "load s", "sentences/s", "p50 ms", "p95 ms", "peak MiB", "same", "chrF2++ lost"]


def rows(record: Mapping[str, Any]) -> list[list[str]]:
    """The figures of deploy.json as cells, the run's own model first."""
    found = [_cells("the run's model", record["reference"], {})]
    for one in record["formats"]:
        if one["verdict"] == "passed" or "measured" in one:
            mark = "" if one["verdict"] == "passed" else " (failed)"
            found.append(_cells(one["format"] + mark, one, one.get("gate", {})))
        else:
            found.append([f"{one['format']} ({one['verdict']})", *[""] * (len(_HEAD) - 1)])
    return found


def _cells(name: str, one: Mapping[str, Any], gate: Mapping[str, Any]) -> list[str]:
    measured = one["measured"]
    lost = [loss["loss"] for loss in gate.get("losses", ()) if loss["metric"] == "chrf"]
    return [
        name,
        f"{one['size'] / 2**20:,.1f}",
        f"{measured['load_seconds']:.2f}",
        f"{measured['sentences_per_second']:.1f}",
        f"{1000 * measured['p50']:.0f}",
        f"{1000 * measured['p95']:.0f}",
        f"{measured['peak_memory'] / 2**20:,.0f}",
        f"{gate['agreement']:.1%}" if gate else "",
        f"{max(lost):+z.2f}" if lost else "",
    ]


def deploy_table(record: Mapping[str, Any]) -> str:
    """For a terminal; each line was measured in a process of its own."""
    return grid([_HEAD, *rows(record)])


def deploy_plot(record: Mapping[str, Any]) -> str:
    """Sentences a second, latency, memory and size of every format as bars, as one SVG."""
    shown = [("the run's model", record["reference"])]
    shown += [(one["format"], one) for one in record["formats"] if "measured" in one]
    parts: list[tuple[str, Sequence[float]]] = [
        ("sentences/s", [one["measured"]["sentences_per_second"] for _, one in shown]),
        ("p50 of one sentence, ms", [1000 * one["measured"]["p50"] for _, one in shown]),
        ("peak memory, MiB", [one["measured"]["peak_memory"] / 2**20 for _, one in shown]),
        ("size, MiB", [one["size"] / 2**20 for _, one in shown]),
    ]
    with drawing(9.6, 0.7 + 0.3 * len(shown), "deploy") as (figure, svg):
        for number, (axes, (title, values)) in enumerate(
            zip(figure.subplots(1, len(parts), sharey=True), parts, strict=True)
        ):
            axes.barh(range(len(shown)), values, height=0.62, color=SERIES[number])
            axes.set_title(title)
            axes.set_yticks(range(len(shown)), [name for name, _ in shown])
            axes.tick_params(axis="y", length=0, labelcolor=INK)
            axes.grid(False, axis="y")
            axes.locator_params(axis="x", nbins=3)
        figure.axes[0].invert_yaxis()
    return svg[0]


def bundle_card(run: Path, record: Mapping[str, Any]) -> str:
    """The model card of the run, and what each format was measured to be."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|---" + "|---:" * (len(_HEAD) - 1) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows(record)]
    told = [f"- {one['format']}: {one.get('told') or one.get('reason')}" for one in record["formats"]]
    return (
        card(RunFolder.read(run))
        + "\n## Formats\n\nEach was loaded afresh in a process of its own and held against the run's own model in fp32, on the "
        "same held-out rows.\n\n" + "\n".join([*lines, "", *told]) + "\n"
    )

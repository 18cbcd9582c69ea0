"""search.html: one page that holds everything about a search and asks nothing of the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.core.scores.metrics import TITLES
from dragoman.report import search_plots
from dragoman.report.folders import read_record
from dragoman.report.page import html
from dragoman.report.tables import grid
from dragoman.report.verdict import p_text
from dragoman.store.run.artifact import write_atomic

RECORD, PAGE = "search.json", "search.html"


def read(folder: Path) -> dict[str, Any]:
    """The record of a search. Raises CheckpointError when there is none, DataError when it is damaged."""
    return read_record(folder / RECORD, "search")


def render(folder: Path) -> Path:
    """Write search.html from search.json; returns its path."""
    path = folder / PAGE
    write_atomic(path, page(read(folder)).encode())
    return path


def page(search: Mapping[str, Any]) -> str:
    """The HTML text."""
    done = [row for row in search["trials"] if row["state"] == "complete"]
    best = search["trials"][search["best"]["number"]]
    return html(
        "search.html.jinja",
        search=search,
        best=best,
        title=search["title"],
        titles=TITLES,
        keys=list(search["space"]),
        short=short,
        ordered=sorted(done, key=lambda row: -row["selection"])
        + [row for row in search["trials"] if row["state"] != "complete"],
        plots=search_plots.plots(search),
        last_part=last_part,
        p_text=p_text,
    )


def table(search: Mapping[str, Any]) -> str:
    """The trials for a terminal, best first, and what the choosing has flattered."""
    keys = list(search["space"])
    best, optimism = search["best"], search["optimism"]
    rows = [["trial", *(last_part(key) for key in keys), f"{search['title']} selection", "held out", "tokens", "s", ""]]
    order = sorted(search["trials"], key=lambda row: (row["selection"] is None, -(row["selection"] or 0)))
    for row in order:
        scores = ["" if row[half] is None else f"{row[half]:.2f}" for half in ("selection", "held_out")]
        note = {"copy": f"as {row['copy_of']}", "complete": "own values" if row["own"] else ""}.get(
            row["state"], row["state"]
        )
        values = [short(row["values"][key]) for key in keys]
        rows.append([str(row["number"]), *values, *scores, f"{row['tokens']:,}", f"{row['seconds']:.0f}", note])
    lines = [
        grid(rows),
        "",
        f"best: trial {best['number']}: {search['title']} {best['selection']['value']:.2f} on the half that it was chosen "
        f"by, {best['held_out']['value']:.2f} [{best['held_out']['low']:.2f}, {best['held_out']['high']:.2f}] on the "
        "held-out half",
        f"the halves differ by {optimism['difference']:+z.2f} on the mean of all trials; the choice promised "
        f"{abs(optimism['optimism']):.2f} too {'much' if optimism['optimism'] >= 0 else 'little'}",
    ]
    if search["own"] is not None and search["own"]["number"] != best["number"]:
        own = search["own"]
        lines.append(
            f"over the recipe's own values, held out: {own['gain']:+z.2f} [{own['interval']['low']:+z.2f}, "
            f"{own['interval']['high']:+z.2f}], {p_text(own['p_randomisation'])}"
        )
    if search["importance"]:
        shares = ", ".join(f"{last_part(key)} {share:.0%}" for key, share in search["importance"].items())
        lines.append(f"importance: {shares}")
    for row in search["test"]:
        if row["system"] != "baseline":
            told = ", ".join(f"{TITLES[m]} {row[m]:.2f}" for m in TITLES if m in row)
            lines.append(f"{row['set']} {row['direction']}, {row['segments']} segments, {row['decoding']}: {told}")
    return "\n".join(lines)


def last_part(key: str) -> str:
    """What a person needs of a key."""
    return key.rsplit(".", 1)[-1]


def short(value: Any) -> str:
    """A value of a recipe in a few letters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

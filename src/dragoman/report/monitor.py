"""The page of `dragoman monitor`: one file, nothing asked of the network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.watch.drift import FEWEST
from dragoman.report.page import html
from dragoman.report.plots import BAD, MUTED, SERIES, drawing
from dragoman.store.run.artifact import write_atomic

if TYPE_CHECKING:
    from dragoman.store.run.watch import Watched


def render(found: Watched, path: Path) -> Path:
    """Write the page; returns its path."""
    write_atomic(path, page(found).encode())
    return path


def page(found: Watched) -> str:
    """The HTML text."""
    return html(
        "monitor.html.jinja",
        run=found.run.resolve().name,
        total=found.totals(),
        directions=found.directions,
        fewest=FEWEST,
        lost=found.lost,
        screened=found.screened,
        versions=found.versions,
        firing=found.firing,
        since=datetime.fromtimestamp(found.since, UTC).strftime("%Y-%m-%d") if found.since else "the release",
        days=_days(found.days),
        when=lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _days(rows: list[dict[str, Any]]) -> str:
    """Segments and the share of flagged ones, day by day; empty before the second day."""
    days = sorted({row["day"] for row in rows})
    if len(days) < 2:
        return ""
    segments = [sum(row["segments"] for row in rows if row["day"] == day) for day in days]
    flags = [sum(sum(row["flags"].values()) for row in rows if row["day"] == day) for day in days]
    with drawing(7.5, 2.4, "days") as (figure, found):
        left = figure.add_subplot()
        left.bar(range(len(days)), segments, color=SERIES[0], width=0.8)
        left.set_ylabel("segments")
        places = range(0, len(days), max(1, len(days) // 8))
        left.set_xticks(list(places), [days[place][5:] for place in places])
        right = left.twinx()
        right.plot(range(len(days)), [b / a for a, b in zip(segments, flags, strict=True)], color=BAD, marker="o", ms=3)
        right.set_ylabel("flags per segment", color=MUTED)
        right.set_ylim(bottom=0)
        right.grid(visible=False)
    return found[0]

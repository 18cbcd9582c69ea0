"""What examples and terms in the prompt gained, by match band, for a terminal; the page has it as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.core.scores.metrics import TITLES
from dragoman.report.tables import grid
from dragoman.report.verdict import LEVEL, p_text


def help_table(entry: Mapping[str, Any]) -> str:
    """The record `help` of a set in scores.json as text; empty where nothing stood in a prompt but the sentence."""
    help = entry.get("help")
    if not help:
        return ""
    parts = [_head(help)] if help["segments"] else []
    for gain in help["gains"]:
        parts.append(_gains(gain))
    if help["terms"]:
        parts.append(_terms(help))
    return "\n".join(parts)


def _head(help: Mapping[str, Any]) -> str:
    bands = ", ".join(f"{name} % {count}" for name, count in help["bands"].items())
    return (
        f"examples from a memory of {help['segments']:,} segments; best matches: {bands}; {help['gated']} segments with "
        f"nothing from {help['min_match']:.0%} on; {help['twins']} stand in the memory themselves and were kept out"
    )


def _gains(gain: Mapping[str, Any]) -> str:
    metrics = list(gain["parts"][0]["gains"])
    rows = [[f"{gain['system']} {gain['decoding']} over {gain['alone']}", "segments", *(TITLES[m] for m in metrics)]]
    for part in gain["parts"]:
        cells = []
        for metric in metrics:
            found = part["gains"][metric]
            around = found["interval"]
            mark = "*" if found["p_randomisation"] < LEVEL else " "
            cells.append(
                f"{found['gain']:+z.2f} [{around['low']:+z.2f}, {around['high']:+z.2f}] "
                f"{p_text(found['p_randomisation'])}{mark}"
            )
        rows.append(["  all" if part["part"] == "all" else f"  match {part['part']} %", f"{part['segments']}", *cells])
    return grid(rows)


def _terms(help: Mapping[str, Any]) -> str:
    rows = [["terms produced", "exact", "inflected", "of those in the reference"]]
    for row in help["terms"]:
        some, sure = row["all"], row["in_reference"]
        rows.append(
            [
                f"  {row['system']} {row['decoding']}",
                share(some["exact"], some["terms"]),
                share(some["inflected"], some["terms"]),
                share(sure["exact"], sure["terms"]),
            ]
        )
    return grid(rows)


def share(count: int, of: int) -> str:
    """`12 of 16 (75 %)`."""
    return f"{count} of {of} ({count / max(1, of):.0%})".replace("%", " %")

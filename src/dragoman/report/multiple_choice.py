"""Closed generation for a terminal; the page has it as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.report.tables import grid
from dragoman.report.verdict import p_text


def closed_table(entry: Mapping[str, Any]) -> str:
    """The record `closed` of a set in scores.json as text; empty where nothing was asked."""
    found = entry.get("closed")
    if not found:
        return ""
    rows = [["", "accuracy, %", "gain", ""]]
    for line in found["results"]:
        rows.append(_line(f"{line['system']} {line['way']}", line))
        if line["clean"]:
            rows.append(_line("  without the overlap", line["clean"]))
    asked = f"{found['segments']} segments"
    if found["segments"] != entry["segments"]:
        asked = f"{found['segments']} of {entry['segments']} segments"
    head = (
        f"{entry['set']} {entry['direction']}, closed generation: is the reference the most probable of "
        f"{found['candidates']} candidates? {asked}, chance {found['chance']:.2f} %"
    )
    return f"{head}\n{grid(rows)}"


def _line(name: str, part: Mapping[str, Any]) -> list[str]:
    accuracy, gain = part["accuracy"], part["gain"]
    cells = [name, f"{accuracy['value']:.2f} [{accuracy['low']:.2f}, {accuracy['high']:.2f}]"]
    if gain is None:
        return [*cells, "", ""]
    return [
        *cells,
        f"{gain['gain']:+z.2f} [{gain['low']:+z.2f}, {gain['high']:+z.2f}]",
        f"{gain['better']} better, {gain['worse']} worse, McNemar {p_text(gain['p'])}",
    ]

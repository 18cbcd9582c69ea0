"""Plain-text tables of scores, for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.scores.metrics import TITLES
from dragoman.report.verdict import disagreement, p_text, told


def grid(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns aligned: the first `left` to the left, the others to the right."""
    widths = [max(_width(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - _width(cell))
            cells.append(cell + blank if i < left else blank + cell)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def figure(value: float, digits: int) -> str:
    """With so many decimals, or two significant digits where they would show nothing of it."""
    return f"{value:.{digits}f}" if not value or abs(value) >= 10**-digits else f"{value:.2g}"


def _width(text: str) -> int:
    """Columns that a text takes in a terminal (Unicode UAX 11; marks take none)."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def overlap_text(entry: Mapping[str, Any]) -> str:
    """What of the set stands in the training texts, in words."""
    seen = entry["overlap"]["segments"]
    if not seen:
        return "none of them in the training texts"
    return f"{seen} of them in the training texts (source {entry['overlap']['source']}, target {entry['overlap']['target']})"


def set_table(entry: Mapping[str, Any], confidence: float) -> str:
    """The scores of one set (a record of scores.json): a line per system and decoding, then what is wrong visibly."""
    share = "" if entry["segments"] == entry["available"] else f" of {entry['available']}"
    head = f"{entry['set']} {entry['direction']}: {entry['segments']}{share} segments, {overlap_text(entry)}"
    metrics = list(entry["results"][0]["scores"])
    rows = [["", *(TITLES[m] for m in metrics)]]
    for line in entry["results"]:
        rows += _lines(line, metrics)
    gains = [gain for line in entry["results"] for gain in _gains(line, confidence)]
    return "\n".join([head, grid(rows), *gains, *_flags(entry)])


def _lines(line: Mapping[str, Any], metrics: Sequence[str]) -> list[list[str]]:
    name = (
        f"{line['system']} {line['decoding']}" if line["kind"] != "copy" else f"{line['system']} (copy of the source)"
    )
    rows = [_line(name, line, metrics)]
    if line.get("clean"):
        rows.append(_line("  without the overlap", line["clean"], metrics))
    return rows


def _line(name: str, part: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    cells = []
    for metric in metrics:
        score = part["scores"][metric]
        cells.append(f"{score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]")
    return [name, *cells]


def _gains(line: Mapping[str, Any], confidence: float) -> list[str]:
    """How much better than the baseline, with both tests; on the clean part where there is one."""
    found = []
    part = line.get("clean") or line
    for metric, gain in part["gains"].items():
        around = gain["interval"]
        remark = f"; {disagreement(gain)}" if disagreement(gain) else ""
        overlap = ", without the overlap" if line.get("clean") else ""
        found.append(
            f"{line['system']} {line['decoding']} against the baseline: {TITLES[metric]} {told(gain)}, "
            f"{confidence:.0%} interval of the gain [{around['low']:+z.2f}, {around['high']:+z.2f}], "
            f"bootstrap {p_text(gain['p_bootstrap'])}, randomisation {p_text(gain['p_randomisation'])}{overlap}{remark}"
        )
    for other, gains in line.get("over_outside", {}).items():
        for metric, gain in gains.items():
            around = gain["interval"]
            found.append(
                f"{line['system']} {line['decoding']} against {other}: {TITLES[metric]} {told(gain)}, "
                f"{confidence:.0%} interval of the gain [{around['low']:+z.2f}, {around['high']:+z.2f}], "
                f"randomisation {p_text(gain['p_randomisation'])}"
            )
    return found


def _flags(entry: Mapping[str, Any]) -> list[str]:
    found = []
    for line in entry["results"]:
        counts = ", ".join(f"{kind} {count}" for kind, count in line["outputs"].items() if count)
        if line["kind"] != "copy" and counts:
            found.append(f"{line['system']} {line['decoding']} outputs: {counts.replace('_', '-')}")
    return found

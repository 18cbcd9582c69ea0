"""Events of the ledger added up by day, model, direction, tenant and origin."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

_PLACE = ("day", "model", "direction", "tenant", "origin")
_SUMS = ("segments", "characters", "tokens", "seconds", "confidence", "confident")


def day_of(at: float) -> str:
    """The day in UTC of seconds since 1970."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def by_day(rows: Any) -> list[dict[str, Any]]:
    """Events as rows of `days`."""
    return summed(
        {
            "day": day_of(row.at),
            **{name: getattr(row, name) for name in _PLACE[1:]},
            "segments": 1,
            "characters": row.characters,
            "tokens": row.tokens,
            "seconds": row.seconds,
            "confidence": row.confidence or 0.0,
            "confident": int(row.confidence is not None),
            "flags": Counter(row.flags.split()),
        }
        for row in rows
    )


def summed(rows: Any) -> list[dict[str, Any]]:
    """One row for each day, model, direction, tenant and origin, in this order."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        place = tuple(str(row[name]) for name in _PLACE)
        fresh = {**dict(zip(_PLACE, place, strict=True)), **dict.fromkeys(_SUMS, 0), "flags": Counter()}
        known = found.setdefault(place, fresh)
        for name in _SUMS:
            known[name] += row[name]
        known["flags"].update(row["flags"])
    return [found[place] for place in sorted(found)]

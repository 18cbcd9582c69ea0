"""What the ledger is told, and the rows of its tables that this becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dragoman.core.watch.features import Measured
from dragoman.store.ledger_days import day_of


@dataclass(frozen=True, slots=True)
class Screened:
    """How many texts of one call a rule spoke of, and what was done: flag, redact, block, failed (the guard said nothing)."""

    at: float
    model: str
    direction: str
    tenant: str
    rule: str
    action: str
    texts: int


@dataclass(frozen=True, slots=True)
class Event:
    """One translation. Without `texts` (source, translation) only numbers are kept."""

    at: float
    model: str
    direction: str
    tenant: str
    origin: str
    characters: int
    tokens: int
    seconds: float
    confidence: float | None
    flags: tuple[str, ...]
    measured: Measured
    texts: tuple[str, str] | None = None


def counted(one: Screened) -> dict[str, Any]:
    """As a row of `screened`."""
    names = ("model", "direction", "tenant", "rule", "action", "texts")
    return {"day": day_of(one.at), **{name: getattr(one, name) for name in names}}


def kept(key: int, event: Event) -> dict[str, Any]:
    """The texts of the event with this id, as a row of `texts`."""
    assert event.texts is not None  # noqa: S101
    source, target = event.texts
    return {"event": key, "at": event.at, "tenant": event.tenant, "source": source, "target": target}


def row(event: Event) -> dict[str, Any]:
    """As a row of `events`, which then has an id."""
    return {
        "at": event.at,
        "model": event.model,
        "direction": event.direction,
        "tenant": event.tenant,
        "origin": event.origin,
        "characters": event.characters,
        "tokens": event.tokens,
        "seconds": event.seconds,
        "confidence": event.confidence,
        "flags": " ".join(event.flags),
        "features": event.measured.features.tobytes(),
        "sketch": event.measured.sketch.tobytes(),
        "unknown": event.measured.unknown.tobytes(),
    }

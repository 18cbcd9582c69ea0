"""The tables of the ledger."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import sqlalchemy as sql

from dragoman.store.tables import NUMBER

TABLES = sql.MetaData()
EVENTS = sql.Table(
    "events",
    TABLES,
    sql.Column("id", NUMBER, primary_key=True),
    sql.Column("at", sql.Float, nullable=False, index=True),  # seconds since 1970
    sql.Column("model", sql.String, nullable=False),
    sql.Column("direction", sql.String, nullable=False),
    sql.Column("tenant", sql.String, nullable=False, index=True),
    sql.Column("origin", sql.String, nullable=False),  # model or memory
    sql.Column("characters", sql.Integer, nullable=False),  # of the source
    sql.Column("tokens", sql.Integer, nullable=False),  # generated
    sql.Column("seconds", sql.Float, nullable=False),
    sql.Column("confidence", sql.Float),
    sql.Column("flags", sql.String, nullable=False),
    sql.Column("features", sql.LargeBinary, nullable=False),
    sql.Column("sketch", sql.LargeBinary, nullable=False),
    sql.Column("unknown", sql.LargeBinary, nullable=False),
)
TEXTS = sql.Table(
    "texts",
    TABLES,
    sql.Column("event", NUMBER, primary_key=True),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("tenant", sql.String, nullable=False),
    sql.Column("source", sql.Text, nullable=False),
    sql.Column("target", sql.Text, nullable=False),
)
DAYS = sql.Table(
    "days",
    TABLES,
    *(sql.Column(name, sql.String, primary_key=True) for name in ("day", "model", "direction", "tenant", "origin")),
    *(sql.Column(name, sql.Integer, nullable=False) for name in ("segments", "characters", "tokens")),
    sql.Column("seconds", sql.Float, nullable=False),
    sql.Column("confidence", sql.Float, nullable=False),  # the sum over `confident` segments
    sql.Column("confident", sql.Integer, nullable=False),
    sql.Column("flags", sql.Text, nullable=False),  # JSON: name -> segments
)
LOST = sql.Table(
    "lost",
    TABLES,
    sql.Column("id", NUMBER, primary_key=True),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("reason", sql.String, nullable=False),
    sql.Column("segments", sql.Integer, nullable=False),
)

SCREENED = sql.Table(
    "screened",
    TABLES,
    sql.Column("id", NUMBER, primary_key=True),
    *(
        sql.Column(name, sql.String, nullable=False)
        for name in ("day", "model", "direction", "tenant", "rule", "action")
    ),
    sql.Column("texts", sql.Integer, nullable=False),
)

REPLAYS = sql.Table(  # of the held-out set, by night
    "replays",
    TABLES,
    sql.Column("due", sql.Float, primary_key=True),  # by the schedule
    sql.Column("direction", sql.String, primary_key=True),
    sql.Column("model", sql.String, primary_key=True),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("segments", sql.Integer, nullable=False),
    *(sql.Column(name, sql.Float) for name in ("score", "before", "low", "high", "p")),
    sql.Column("changed", sql.Integer, nullable=False),
    sql.Column("error", sql.String, nullable=False),
)


def kept_days(connection: sql.Connection) -> list[dict[str, Any]]:
    """The sums by day of events that were dropped; `flags` counted by name."""
    rows = connection.execute(sql.select(DAYS))
    return [{**row._mapping, "flags": Counter(json.loads(row.flags))} for row in rows]

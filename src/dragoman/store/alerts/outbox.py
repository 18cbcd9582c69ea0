"""The state of the rules and what is still to be sent, in the ledger's data base.

A state and its messages are written in one transaction, so none is lost between them. A message is taken out when its channel
has accepted it; after a kill in between it is sent again under the same key, by which receivers that know keys drop it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sql

from dragoman.core.recipe.monitor import Channel, Monitor, Rule
from dragoman.core.watch.alerts import Change, Status, figures, judge
from dragoman.store.alerts.channels import RefusedError, Send, send
from dragoman.store.run.watch import Watched
from dragoman.store.tables import alone, create_tables

_FIRST, _LONGEST = 10.0, 3600.0  # seconds until the next attempt: doubled from the one to the other
_CLAIM = 60.0  # seconds that an attempt may take; after a kill in it the message goes out again
_GIVE_UP = 7 * 86_400.0

_tables = sql.MetaData()
_states = sql.Table(
    "alert_states",
    _tables,
    sql.Column("rule", sql.String, primary_key=True),
    sql.Column("direction", sql.String, primary_key=True),
    sql.Column("status", sql.Text, nullable=False),  # JSON of `Status`
)
_outbox = sql.Table(
    "alert_outbox",
    _tables,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("channel", sql.String, nullable=False),
    sql.Column("message", sql.Text, nullable=False),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("due", sql.Float, nullable=False),
    sql.Column("tries", sql.Integer, nullable=False),
    sql.Column("error", sql.String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Told:
    """A rule that has just begun or ceased to fire."""

    rule: str
    direction: str
    change: Change
    value: float


class Alerts:
    """The rules of one run."""

    def __init__(self, engine: sql.Engine, settings: Monitor, run: str) -> None:
        create_tables(engine, _tables)
        self._engine, self._settings, self._run = engine, settings, run

    def look(self, found: Watched, now: float | None = None) -> list[Told]:
        """Hold the rules against what was seen, remember their state and put what is to be told into the outbox."""
        now = time.time() if now is None else now
        told: list[Told] = []
        with alone(self._engine, _states) as connection:  # two watchers fire a rule once
            for seen in found.directions:
                known = figures(seen.to_json(), sum(found.lost.values()))
                for rule in self._settings.alerts:
                    before = self._status(connection, rule.name, seen.direction)
                    after, change = judge(rule, before, known.get(rule.figure), now)
                    if after != before:
                        self._remember(connection, rule.name, seen.direction, after)
                    if change is not None and after.value is not None:
                        told.append(Told(rule.name, seen.direction, change, after.value))
                        self._post(connection, rule, seen.direction, change, after, now)
        return told

    def states(self) -> list[dict[str, Any]]:
        """Every rule that was ever looked at, by direction."""
        with self._engine.connect() as connection:
            rows = connection.execute(sql.select(_states).order_by(_states.c.rule, _states.c.direction)).all()
        return [{"rule": row.rule, "direction": row.direction, **json.loads(row.status)} for row in rows]

    def deliver(self, now: float | None = None, sender: Send = send) -> dict[str, int]:
        """Try what is due; how many were sent, failed (tried again later) and given up after a week. A failed attempt puts off
        only its own channel."""
        now = time.time() if now is None else now
        counts = {"sent": 0, "failed": 0, "given up": 0}
        with self._engine.connect() as connection:
            due = connection.execute(sql.select(_outbox).where(_outbox.c.due <= now).order_by(_outbox.c.id)).all()
        resting: dict[str, float] = {}
        for row in due:
            channel = self._settings.channels.get(row.channel)
            if channel is None or now - row.at > _GIVE_UP:
                counts["given up"] += 1
                self._done(row.id)
            elif row.channel in resting:
                self._later(row, resting[row.channel], "the channel rests")
            elif self._claimed(row, now):
                wait = self._try(row, channel, sender)
                if wait is None:
                    counts["sent"] += 1
                    self._done(row.id)
                else:
                    counts["failed"] += 1
                    resting[row.channel] = now + wait[0]
                    self._later(row, now + wait[0], wait[1])
        return counts

    def waiting(self) -> list[dict[str, Any]]:
        """What is still to be sent."""
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(sql.select(_outbox).order_by(_outbox.c.id))]

    def _try(self, row: Any, channel: Channel, sender: Send) -> tuple[float, str] | None:
        """None when the channel has it; else how long to wait, and why."""
        try:
            sender(channel, json.loads(row.message))
        except RefusedError as error:
            doubled = min(_LONGEST, _FIRST * 2**row.tries)
            return max(doubled, error.retry_after or 0.0), str(error)
        return None

    def _claimed(self, row: Any, now: float) -> bool:
        """Whether this message is ours to send: another watcher of the same ledger may be at it."""
        mine = sql.and_(_outbox.c.id == row.id, _outbox.c.due == row.due)
        with self._engine.begin() as connection:
            return connection.execute(_outbox.update().where(mine).values(due=now + _CLAIM)).rowcount == 1

    def _done(self, number: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(_outbox.delete().where(_outbox.c.id == number))

    def _later(self, row: Any, due: float, error: str) -> None:
        with self._engine.begin() as connection:
            values = {"due": due, "tries": row.tries + 1, "error": error[:200]}
            connection.execute(_outbox.update().where(_outbox.c.id == row.id).values(**values))

    def _status(self, connection: sql.Connection, rule: str, direction: str) -> Status:
        wanted = sql.select(_states.c.status).where(_states.c.rule == rule, _states.c.direction == direction)
        held = connection.execute(wanted).scalar_one_or_none()
        return Status(**json.loads(held)) if held is not None else Status()

    def _remember(self, connection: sql.Connection, rule: str, direction: str, status: Status) -> None:
        connection.execute(_states.delete().where(_states.c.rule == rule, _states.c.direction == direction))
        connection.execute(_states.insert().values(rule=rule, direction=direction, status=json.dumps(asdict(status))))

    def _post(
        self, connection: sql.Connection, rule: Rule, direction: str, change: Change, status: Status, now: float
    ) -> None:
        message = body(self._run, rule, direction, change, status, now)
        rows = [
            {"channel": name, "message": json.dumps(message), "at": now, "due": now, "tries": 0, "error": ""}
            for name in rule.channels or self._settings.channels
        ]
        if rows:
            connection.execute(_outbox.insert(), rows)


def body(run: str, rule: Rule, direction: str, change: Change, status: Status, now: float) -> Mapping[str, Any]:
    """A message: numbers and names, never a text that was translated."""
    bound = " or ".join(
        f"{word} {value:g}" for word, value in (("above", rule.above), ("below", rule.below)) if value is not None
    )
    value = status.value if status.value is not None else float("nan")
    verb = "fires" if change == "firing" else "is over"
    return {
        "key": f"{run}/{rule.name}/{direction}",
        "change": change,
        "summary": f"dragoman {run} {direction}: {rule.name} {verb}: {rule.figure} is {value:.4g} (bound: {bound})",
        "run": run,
        "rule": rule.name,
        "direction": direction,
        "figure": rule.figure,
        "value": value,
        "severity": rule.severity,
        "at": now,
    }

"""The held-out set translated again, by a schedule: does the model in use still do what it did when it was evaluated?

The same weights may answer otherwise on another machine, in another format, after an update of a library, or with a changed
glossary. What users would get now is held against the evaluation's outputs of the same segments, with a paired test. The memory
is left alone: by now it may hold the very segments. Of several servers one does it, for a night is claimed by its row before it
begins; one that failed, or whose process was killed, can be claimed again once `LEASE` is over. A night that nobody was there
for is made up for when somebody is, once; the nights before it are missed, and counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from dragoman.core.recipe.monitor import Nightly
from dragoman.core.text.languages import Direction
from dragoman.core.watch.gates import FROZEN, Outputs, tested
from dragoman.core.watch.refresh import due_since, times_before
from dragoman.errors import CheckpointError
from dragoman.store.ledger import Ledger
from dragoman.store.ledger_tables import REPLAYS
from dragoman.store.run.baseline import Baseline, outputs
from dragoman.store.run.observer import ledger_of, settings_of
from dragoman.store.tables import alone

Ask = Callable[[list[str], Direction], Sequence[str]]  # translations as users get them, without the memory

LEASE = 3 * 3600.0  # seconds after which a night that is not finished may be tried again
_MOST = 400  # nights that are looked back upon
_SAMPLES = 1_000  # of the paired test
NO_MATCH = 101.0  # a least match that none reaches: the memory is left alone


@dataclass(frozen=True, slots=True)
class Night:
    """One replay. chrF2++ of the segments `before` (in the evaluation) and now (`score`), the gain's 95 % interval, how many
    translations changed. Where it failed or is not finished `score` is None; `error` names the type of what went wrong."""

    due: float
    at: float
    segments: int = 0
    score: float | None = None
    before: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    changed: int = 0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Nights:
    """The replays of one model and direction, the latest first; `missed`: nights since the first that have no result, nor a
    failure."""

    held: Sequence[Night]
    missed: int

    @property
    def last(self) -> Night | None:
        """The latest that was finished."""
        return next((one for one in self.held if one.score is not None), None)

    @property
    def finished(self) -> int:
        return sum(one.score is not None for one in self.held)

    @property
    def failed(self) -> int:
        return sum(bool(one.error) for one in self.held)

    def to_json(self) -> dict[str, Any]:
        last = self.last
        return {
            "last": last.to_json() if last else None,
            "nights": [one.to_json() for one in self.held],
            "finished": self.finished,
            "failed": self.failed,
            "missed": self.missed,
        }


def replay(run: Path, ask: Ask, now: float | None = None) -> dict[str, Night]:
    """Translate what is due of the model in `run` (a run or a challenger), by direction; empty where nothing is due.

    What `ask` raises is written down as a failed night, by its type. Raises CheckpointError without a baseline or the
    evaluation's outputs.
    """
    now = time.time() if now is None else now
    settings = settings_of(run)
    if settings is None or settings.nightly is None:
        return {}
    baseline, due = Baseline.read(run), due_since(settings.nightly.schedule, now)
    found: dict[str, Night] = {}
    with Ledger.open(ledger_of(run, settings)) as ledger:
        for direction in baseline.facts:
            if not _claimed(ledger.engine, due, direction, baseline.model, now):
                continue
            night = Night(due, now)
            try:
                night = _night(night, run, direction, settings.nightly, ask)
            except Exception as error:
                night = Night(due, now, error=type(error).__name__)  # its message may hold a text
                if isinstance(error, CheckpointError):
                    raise
            finally:
                _write(ledger.engine, direction, baseline.model, night)
            found[direction] = night
    return found


def nights(engine: sql.Engine, model: str, direction: str, schedule: str | None, now: float) -> Nights:
    """What is kept of a model's replays."""
    wanted = sql.select(REPLAYS).where(REPLAYS.c.model == model, REPLAYS.c.direction == direction)
    with engine.connect() as connection:
        rows = connection.execute(wanted.order_by(REPLAYS.c.due.desc()).limit(_MOST)).all()
    held = [Night(**{name: getattr(row, name) for name in Night.__dataclass_fields__}) for row in rows]
    if not held or schedule is None:
        return Nights(held, 0)
    # what was begun and not finished within the lease was killed, and counts as missed
    known = {one.due for one in held if one.score is not None or one.error or now - one.at < LEASE}
    times = takewhile(lambda at: at >= held[-1].due, times_before(schedule, now, _MOST))
    return Nights(held, sum(at not in known for at in times))


def _night(night: Night, run: Path, direction: str, settings: Nightly, ask: Ask) -> Night:
    rows = outputs(run, direction)
    rows = rows[:: max(1, len(rows) // settings.segments)][: settings.segments]  # the same ones every night
    way = Direction.parse(direction)
    sources, before = [row["source"] for row in rows], [row["hypothesis"] for row in rows]
    made = list(ask(sources, way))
    both = Outputs(FROZEN, direction, way.target, sources, [row["reference"] for row in rows], before, made)
    test = tested(direction, both, None, _SAMPLES)
    changed = sum(old != new for old, new in zip(before, made, strict=True))
    return Night(night.due, night.at, len(rows), test.challenger, test.champion, test.low, test.high, test.p, changed)


def _key(due: float, direction: str, model: str) -> sql.ColumnElement[bool]:
    return sql.and_(REPLAYS.c.due == due, REPLAYS.c.direction == direction, REPLAYS.c.model == model)


def _claimed(engine: sql.Engine, due: float, direction: str, model: str, now: float) -> bool:
    """Whether this night is ours; others find its row from now on."""
    mine = _key(due, direction, model)
    with alone(engine, REPLAYS) as connection:
        held = connection.execute(sql.select(REPLAYS.c.at, REPLAYS.c.score).where(mine)).one_or_none()
        if held is None:
            row = {**asdict(Night(due, now)), "direction": direction, "model": model}
            connection.execute(REPLAYS.insert().values(**row))
            return True
        if held.score is not None or now - held.at < LEASE:
            return False
        connection.execute(REPLAYS.update().where(mine).values(at=now))
        return True


def _write(engine: sql.Engine, direction: str, model: str, night: Night) -> None:
    with engine.begin() as connection:
        connection.execute(REPLAYS.update().where(_key(night.due, direction, model)).values(**asdict(night)))

"""The ledger: one event for every translation in use. Numbers; texts only where the recipe asks for them.

One thread writes, in groups; a translation never waits for it. What cannot be kept (the queue is full, so is the disk) is
counted under a name. SQLite in WAL mode: an event that `flush` has acknowledged survives a kill. Another data base by its URL.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from dragoman.core.watch.drift import Sample
from dragoman.core.watch.features import NAMES, SKETCH
from dragoman.errors import DataError
from dragoman.store.ledger_days import by_day, day_of, summed
from dragoman.store.ledger_events import Event, Screened, counted, kept, row
from dragoman.store.ledger_tables import DAYS, EVENTS, LOST, REPLAYS, SCREENED, TABLES, TEXTS, kept_days
from dragoman.store.tables import alone, create_tables

_QUEUE = 20_000  # segments that may wait
_GROUP = 2_000  # segments of one transaction
_MOMENT = 0.25  # seconds in which others may come: one by one they take several times the processor time
_MB = 1_000_000
_DAY = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """Events of one direction and model, in order of time."""

    ids: list[int]
    at: list[float]
    confidence: list[float]  # of those that have one
    sample: Sample


T = TypeVar("T")
Make = Callable[[Sequence[T]], Sequence[Event | Screened]]


@dataclass(frozen=True, slots=True)
class _Added:
    count: int
    make: Make[Any]
    given: Any


class Ledger:
    """Open it once in a process; `add` from any thread."""

    def __init__(self, engine: sql.Engine, name: str) -> None:
        self.name = name
        self.lost: Counter[str] = Counter()  # segments that could not be kept, by reason
        self.engine = engine
        self._waiting: queue.Queue[_Added | None] = queue.Queue()
        self._size, self._untold = 0, Counter[str]()
        self._lock = threading.Lock()
        self._hurry = threading.Event()  # somebody waits for what was added
        self._thread: threading.Thread | None = None

    @classmethod
    def open(cls, place: Path | str, *, create: bool = True) -> Self:
        """A file, or the URL of a data base. Raises DataError when it is missing, damaged or cannot be reached."""
        name = shown = str(place)
        is_url = "://" in name
        if not is_url and not create and not Path(name).is_file():
            raise DataError(
                f"{name}: no ledger. It is written once something is translated with `monitor` in the recipe."
            )
        try:
            shown = sql.make_url(name).render_as_string() if is_url else name  # without its password
            engine = sql.create_engine(name if is_url else f"sqlite:///{name}")
            if engine.dialect.name == "sqlite":
                sql.event.listen(engine, "connect", _prepare)
            create_tables(engine, TABLES)
        except (SQLAlchemyError, ImportError, OSError) as error:
            raise DataError(f"{shown}: cannot be used as a ledger: {str(error).splitlines()[0]}") from None
        return cls(engine, shown)

    # ---------------------------------------------------------------- write

    def add(self, count: int, make: Make[T], given: T) -> bool:
        """Have `count` events written that `make` gives for `given`; False = counted as lost instead.

        It runs on the writing thread within a moment, once for all that was added with the same `make` meanwhile.
        """
        with self._lock:
            if self._size + count > _QUEUE:
                self._lose("queue full", count)
                return False
            self._size += count
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
                self._thread.start()
        self._waiting.put(_Added(count, make, given))
        return True

    def write(self, events: Sequence[Event | Screened]) -> bool:
        """Write events now; True once they are safe. A disk that is full counts them as lost."""
        try:
            with self.engine.begin() as connection:
                self._insert(connection, events)
        except Exception as error:  # nothing may end the thread that writes: `flush` would wait for it for ever
            known = isinstance(error, SQLAlchemyError | OSError)
            full = known and "full" in str(error)
            if not self.lost["disk full" if full else "data base"]:
                told = str(error).splitlines()[0] if known else type(error).__name__  # others may repeat a text
                _log.warning("the ledger %s takes no events: %s", self.name, told)
            with self._lock:
                self._lose("disk full" if full else "data base", len(events))
            return False
        return True

    def flush(self) -> None:
        """Wait until all that was added is written, or counted as lost."""
        if self._thread is not None:
            self._hurry.set()
            self._waiting.join()
            self._hurry.clear()

    def close(self) -> None:
        """Write what is waiting, then let go of the data base."""
        if self._thread is not None:
            self._hurry.set()
            self._waiting.put(None)
            self._thread.join()
            self._thread = None
            self._hurry.clear()
        if self._untold:
            self.write([])
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _lose(self, reason: str, count: int) -> None:
        self.lost[reason] += count
        self._untold[reason] += count

    def _work(self) -> None:
        while True:
            taken = [self._waiting.get()]
            if self._size < _GROUP:
                self._hurry.wait(_MOMENT)
            size = taken[0].count if taken[0] else 0
            while size < _GROUP and not self._waiting.empty():
                taken.append(one := self._waiting.get_nowait())
                size += one.count if one else 0
            alike: dict[Make[Any], list[_Added]] = {}
            for one in filter(None, taken):
                alike.setdefault(one.make, []).append(one)
            events = [event for added in alike.values() for event in self._made(added)]
            if events:
                self.write(events)
            with self._lock:
                self._size -= size
            for _ in taken:
                self._waiting.task_done()
            if None in taken:
                return

    def _made(self, added: Sequence[_Added]) -> Sequence[Event | Screened]:
        try:
            return added[0].make([one.given for one in added])
        except Exception as error:  # a text that cannot be measured must not end the record of all others
            if len(added) > 1:
                return [event for one in added for event in self._made([one])]
            place = traceback.extract_tb(error.__traceback__)[-1]  # its message may repeat the text
            told = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            _log.warning("translations could not be measured: %s", told)
            with self._lock:
                self._lose("not measured", added[0].count)
            return ()

    def _insert(self, connection: sql.Connection, given: Sequence[Event | Screened]) -> None:
        events = [one for one in given if isinstance(one, Event)]
        if counts := [one for one in given if isinstance(one, Screened)]:
            connection.execute(SCREENED.insert(), [counted(one) for one in counts])
        with self._lock:
            untold, self._untold = self._untold, Counter()
        if untold:
            told = [{"at": time.time(), "reason": reason, "segments": count} for reason, count in untold.items()]
            connection.execute(LOST.insert(), told)
        plain = [row(event) for event in events if event.texts is None]
        if plain:
            connection.execute(EVENTS.insert(), plain)
        told_of = [event for event in events if event.texts is not None]
        if told_of:
            ids = EVENTS.insert().returning(EVENTS.c.id, sort_by_parameter_order=True)
            keys = connection.execute(ids, [row(event) for event in told_of]).scalars()
            connection.execute(TEXTS.insert(), [kept(key, one) for key, one in zip(keys, told_of, strict=True)])

    # ---------------------------------------------------------------- read

    def window(
        self, model: str, direction: str, *, most: int, since: float = 0.0, until: float | None = None
    ) -> Window:
        """The latest `most` events of a model in a direction."""
        found = (
            sql.select(EVENTS)
            .where(EVENTS.c.model == model, EVENTS.c.direction == direction, EVENTS.c.at >= since)
            .order_by(EVENTS.c.at.desc(), EVENTS.c.id.desc())
            .limit(most)
        )
        if until is not None:
            found = found.where(EVENTS.c.at < until)
        with self.engine.connect() as connection:
            rows = connection.execute(found).all()[::-1]
        good = [row for row in rows if len(row.features) == 4 * len(NAMES) and len(row.sketch) == SKETCH]
        return Window(
            [row.id for row in good],
            [row.at for row in good],
            [row.confidence for row in good if row.confidence is not None],
            Sample(
                np.frombuffer(b"".join(row.features for row in good), np.float32).reshape(-1, len(NAMES)),
                np.frombuffer(b"".join(row.sketch for row in good), np.int8).reshape(-1, SKETCH),
                [np.frombuffer(row.unknown, np.uint64) for row in good],
            ),
        )

    def texts(self, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
        """(source, translation) of the events whose texts were kept."""
        with self.engine.connect() as connection:
            rows = connection.execute(sql.select(TEXTS).where(TEXTS.c.event.in_(list(ids)))).all()
        return {row.event: (row.source, row.target) for row in rows}

    def translations(self, sources: Sequence[str], direction: str, tenant: str) -> dict[str, tuple[str, str]]:
        """(latest translation, model) of sources, where texts were kept."""
        found: dict[str, tuple[str, str]] = {}
        with self.engine.connect() as connection:
            for start in range(0, len(sources), 500):
                rows = (
                    sql.select(TEXTS.c.source, TEXTS.c.target, EVENTS.c.model)
                    .join(EVENTS, EVENTS.c.id == TEXTS.c.event)
                    .where(TEXTS.c.source.in_(list(sources[start : start + 500])), EVENTS.c.direction == direction)
                    .where(TEXTS.c.tenant == tenant)
                    .order_by(EVENTS.c.id)
                )
                found |= {row.source: (row.target, row.model) for row in connection.execute(rows)}
        return found

    def days(self) -> list[dict[str, Any]]:
        """Sums by day, model, direction, tenant and origin, of all that was ever kept; `flags` a count by name."""
        with self.engine.connect() as connection:
            return summed([*kept_days(connection), *by_day(connection.execute(sql.select(EVENTS)))])

    def screened(self, since: float = 0.0) -> dict[str, dict[str, int]]:
        """Texts by rule and by what was done, of all tenants, from the day of `since` on."""
        found: dict[str, dict[str, int]] = {}
        columns = (SCREENED.c.rule, SCREENED.c.action)
        wanted = sql.select(*columns, sql.func.sum(SCREENED.c.texts)).where(SCREENED.c.day >= day_of(since))
        with self.engine.connect() as connection:
            for rule, action, texts in connection.execute(wanted.group_by(*columns).order_by(*columns)):
                found.setdefault(rule, {})[action] = int(texts)
        return found

    def versions(self, since: float = 0.0) -> dict[str, int]:
        """Segments by the key of the model that gave them, from `since` on, as far as events are kept one by one."""
        wanted = sql.select(EVENTS.c.model, sql.func.count()).where(EVENTS.c.at >= since).group_by(EVENTS.c.model)
        with self.engine.connect() as connection:
            return {model: int(count) for model, count in connection.execute(wanted)}

    def losses(self) -> dict[str, int]:
        """Segments that could not be kept, by reason."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                sql.select(LOST.c.reason, sql.func.sum(LOST.c.segments)).group_by(LOST.c.reason)
            ).all()
        return dict(Counter({reason: int(count) for reason, count in rows}) + self._untold)

    # ---------------------------------------------------------------- forget

    def prune(self, *, days: float, size: float, text_days: float | None = None, now: float | None = None) -> int:
        """Add events older than `days` up by day and drop them, the oldest also where the ledger exceeds `size` MB; drop texts
        older than `text_days`. Returns how many events were dropped."""
        now = time.time() if now is None else now
        dropped = self._drop(EVENTS.c.at < now - days * _DAY)
        with self.engine.begin() as connection:
            connection.execute(REPLAYS.delete().where(REPLAYS.c.due < now - days * _DAY))
        self._add_up()
        if text_days is not None:
            with self.engine.begin() as connection:
                connection.execute(TEXTS.delete().where(TEXTS.c.at < now - text_days * _DAY))
        while self.size() > size * _MB and (middle := self._oldest()) is not None:
            dropped += self._drop(EVENTS.c.id <= middle)
            self._shrink()
        if dropped:
            self._shrink()
        return dropped

    def erase(self, *, tenant: str) -> int:
        """Take all events, texts and sums of a tenant out, so that no byte of them stays; returns how many events."""
        with self.engine.begin() as connection:
            connection.execute(TEXTS.delete().where(TEXTS.c.tenant == tenant))
            connection.execute(DAYS.delete().where(DAYS.c.tenant == tenant))
            connection.execute(SCREENED.delete().where(SCREENED.c.tenant == tenant))
            count = connection.execute(EVENTS.delete().where(EVENTS.c.tenant == tenant)).rowcount
        self._shrink()
        return int(count)

    def size(self) -> int:
        """Bytes on the disk; 0 for a data base elsewhere."""
        if self.engine.dialect.name != "sqlite":
            return 0
        return sum(path.stat().st_size for end in ("", "-wal") if (path := Path(self.name + end)).is_file())

    def _oldest(self) -> int | None:
        """The id in the middle of the oldest tenth; None when nothing is left."""
        with self.engine.connect() as connection:
            count = connection.execute(sql.select(sql.func.count()).select_from(EVENTS)).scalar_one()
            found = sql.select(EVENTS.c.id).order_by(EVENTS.c.id).offset(min(count - 1, count // 10)).limit(1)
            return connection.execute(found).scalar_one_or_none() if count else None

    def _drop(self, which: sql.ColumnElement[bool]) -> int:
        with alone(self.engine, DAYS) as connection:  # no event counts twice, none is dropped uncounted
            old = by_day(connection.execute(sql.select(EVENTS).where(which)))
            if not old:
                return 0
            rows = [{**row, "flags": json.dumps(row["flags"])} for row in summed([*kept_days(connection), *old])]
            connection.execute(DAYS.delete())
            connection.execute(DAYS.insert(), rows)
            gone = sql.select(EVENTS.c.id).where(which)
            connection.execute(TEXTS.delete().where(TEXTS.c.event.in_(gone)))
            return int(connection.execute(EVENTS.delete().where(which)).rowcount)

    def _add_up(self) -> None:
        """One row for a day, where each call left one."""
        columns = [SCREENED.c[name] for name in ("day", "model", "direction", "tenant", "rule", "action")]
        with alone(self.engine, SCREENED) as connection:
            rows = connection.execute(
                sql.select(*columns, sql.func.sum(SCREENED.c.texts).label("texts"), sql.func.count()).group_by(*columns)
            ).all()
            if any(row[-1] > 1 for row in rows):
                connection.execute(SCREENED.delete())
                connection.execute(
                    SCREENED.insert(),
                    [dict(zip([*(c.name for c in columns), "texts"], row[:-1], strict=True)) for row in rows],
                )

    def _shrink(self) -> None:
        """Give the room back, and leave no old byte in free pages or in the log."""
        if self.engine.dialect.name == "sqlite":
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(sql.text("VACUUM"))
                connection.execute(sql.text("PRAGMA wal_checkpoint(TRUNCATE)"))


def _prepare(connection: Any, record: object) -> None:
    del record
    for line in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "secure_delete=ON"):
        connection.execute(f"PRAGMA {line}")

"""The table behind the translation memory: one SQLite file, many readers, one writer.

In WAL mode a reader sees the last committed state and never waits. With `synchronous = FULL` a commit is on the disk,
so what was committed survives the end of the process at any moment, and a power cut.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.core.text.languages import Direction, matches
from dragoman.errors import DataError

_APPLICATION = 0x64726167  # "drag"
_VERSION = 1
_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE collections (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    source_language TEXT NOT NULL,
    target_language TEXT NOT NULL,
    UNIQUE (tenant, source_language, target_language)
);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: an index knows an id for ever
    digest BLOB NOT NULL UNIQUE,           -- of collection, texts and contexts
    collection INTEGER NOT NULL REFERENCES collections (id),
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    source_key INTEGER NOT NULL,           -- of the tokens: store.memory.fuzzy.key
    target_key INTEGER NOT NULL,
    context_source TEXT NOT NULL,          -- the segment before it in its document
    context_target TEXT NOT NULL,
    origin TEXT NOT NULL,
    line INTEGER NOT NULL,
    domain TEXT NOT NULL,
    creator TEXT NOT NULL,
    created TEXT NOT NULL                  -- UTC, ISO 8601
);
CREATE INDEX segments_collection ON segments (collection);
CREATE INDEX segments_source ON segments (collection, source_key);
CREATE INDEX segments_target ON segments (collection, target_key);
"""


@dataclass(frozen=True, slots=True)
class Segment:
    """One stored pair as it lies in the table, turned into the direction that was asked for."""

    identifier: int
    source: str
    target: str
    context: str  # the segment before it, in the language of `source`
    origin: str
    line: int
    domain: str
    creator: str
    created: str


class Table:
    """The connections to one file: each thread has its own. Raises DataError when it is no translation memory."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []  # kept, since to forget one is to close it
        self._process = os.getpid()
        self._lock = threading.Lock()
        if not path.exists():
            if not create:
                raise DataError(f"{path}: there is no translation memory. Make one with `dragoman memory build`.")
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._prepare(create)
        except sqlite3.DatabaseError as error:
            self.close()
            raise DataError(
                f"{path}: cannot be opened as a translation memory ({error}). "
                "Check that it is the right file and that it can be written."
            ) from None
        self.store = str(self.rows("SELECT value FROM facts WHERE name = 'store'")[0][0])

    def _prepare(self, create: bool) -> None:
        application, version = self._identity()
        if application == 0 and create:
            with self.write() as connection:
                # another process may have made it meanwhile
                if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    for statement in _SCHEMA.split(";\n"):
                        connection.execute(statement)
                    connection.execute("INSERT INTO facts VALUES ('store', ?)", (uuid.uuid4().hex,))
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
            application, version = self._identity()
        if application != _APPLICATION:
            raise sqlite3.DatabaseError("another program's database, or an empty file")
        if version != _VERSION:
            raise sqlite3.DatabaseError(f"its layout is number {version}, this version of dragoman reads {_VERSION}")

    def _identity(self) -> tuple[int, int]:
        return self.rows("PRAGMA application_id")[0][0], self.rows("PRAGMA user_version")[0][0]

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode."""
        if self._process != os.getpid():  # a fork must not use, nor close, the connections of its parent
            self._inherited, self._open, self._local = self._open, [], threading.local()
            self._process = os.getpid()
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            with self._lock:
                self._open.append(found)
            self._local.connection = found
            found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = FULL")
            found.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten
            found.execute("PRAGMA cache_size = -65536")
        return found

    def close(self) -> None:
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
        self._local = threading.local()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, whole or not at all. Waits for another writer; raises DataError when that takes too long."""
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise DataError(
                f"{self.path}: cannot be written ({error}). Another process may be writing: try again."
            ) from None
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, values).fetchall()

    # ---------------------------------------------------------------- collections

    def collections(self, tenant: str, direction: Direction) -> dict[int, bool]:
        """The collections of a tenant that serve a direction; True = stored the other way round."""
        found = {}
        for number, source, target in self.rows(
            "SELECT id, source_language, target_language FROM collections WHERE tenant = ? ORDER BY id", (tenant,)
        ):
            if matches(direction.source, source) and matches(direction.target, target):
                found[number] = False
            elif matches(direction.source, target) and matches(direction.target, source):
                found[number] = True
        return found

    def newest(self) -> int:
        """The highest id in use."""
        return int(self.rows("SELECT coalesce(max(id), 0) FROM segments")[0][0])

    def count(self, collections: Sequence[int]) -> int:
        marks = ",".join("?" * len(collections))
        return int(self.rows(f"SELECT count(*) FROM segments WHERE collection IN ({marks})", collections)[0][0])

    def texts(self, collections: dict[int, bool], after: int, upto: int) -> Iterator[tuple[int, str]]:
        """(id, source text in the direction of `collections`) of all segments with after < id <= upto."""
        for collection, turned in collections.items():
            side = "target" if turned else "source"
            query = f"SELECT id, {side} FROM segments WHERE collection = ? AND id > ? AND id <= ?"
            yield from self.connection.execute(query, (collection, after, upto))

    def segments(self, collections: dict[int, bool], ids: Sequence[int]) -> list[Segment]:
        """The segments with these ids, as far as they are there and in these collections."""
        marks = ",".join("?" * len(ids))
        return list(self._select(collections, f"id IN ({marks})", ids))

    def with_key(self, collections: dict[int, bool], key: int, context: str, limit: int) -> list[Segment]:
        """Segments whose source tokens have this key: those after `context` first, then the newest."""
        found: list[Segment] = []
        for collection, turned in collections.items():
            side = "target" if turned else "source"
            found += self._select(
                {collection: turned},
                f"{side}_key = ? ORDER BY (context_{side} = ?) DESC, id DESC LIMIT ?",
                (key, context, limit),
            )
        return found

    def all(self, collections: dict[int, bool]) -> Iterator[Segment]:
        """Every segment of these collections, in the order of ids within each, read as they are wanted."""
        for collection, turned in collections.items():
            after = 0
            while found := [*self._select({collection: turned}, "id > ? ORDER BY id LIMIT 5000", (after,))]:
                yield from found
                after = found[-1].identifier

    def _select(self, collections: dict[int, bool], condition: str, values: Sequence[Any]) -> Iterator[Segment]:
        marks = ",".join("?" * len(collections))
        query = (
            "SELECT collection, id, source, target, context_source, context_target, origin, line, domain, creator,"
            f" created FROM segments WHERE collection IN ({marks}) AND {condition}"
        )
        for collection, *row in self.rows(query, (*collections, *values)):
            number, source, target, before, before_target, *rest = row
            if collections[collection]:
                yield Segment(number, target, source, before_target, *rest)
            else:
                yield Segment(number, source, target, before, *rest)

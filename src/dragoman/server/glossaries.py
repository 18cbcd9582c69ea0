"""The glossaries that tenants have made at the server: named, with one dictionary for each pair of languages."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dragoman.core.text.languages import Direction, matches
from dragoman.store.run.artifact import digest

MAX_ENTRIES = 20_000  # of one dictionary
_MAX_GLOSSARIES = 1_000  # of one tenant
_KEPT = 512  # sets of terms that the queue may name
_SCHEMA = """
CREATE TABLE IF NOT EXISTS glossaries (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, created TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS dictionaries (
    glossary TEXT NOT NULL REFERENCES glossaries (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    entries TEXT NOT NULL,          -- a list of pairs, as JSON
    PRIMARY KEY (glossary, source, target)
);
"""
Pairs = list[tuple[str, str]]
Row = tuple[str, str, str, str, str, str]  # the fields of a Term


@dataclass(frozen=True, slots=True)
class Dictionary:
    source: str
    target: str
    entries: tuple[tuple[str, str], ...]

    def serves(self, direction: Direction) -> bool:
        return bool(matches(direction.source, self.source) and matches(direction.target, self.target))


@dataclass(frozen=True, slots=True)
class Stored:
    id: str
    name: str
    created: str  # UTC, ISO 8601
    dictionaries: tuple[Dictionary, ...]


class TooManyError(Exception):
    """A tenant has as many glossaries as it may."""


class Glossaries:
    """The table; a tenant finds its own alone. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA secure_delete = ON")
        self._connection.executescript(_SCHEMA)
        path.chmod(0o600)
        self._terms: OrderedDict[str, list[Row]] = OrderedDict()

    def close(self) -> None:
        self._connection.close()

    def create(self, tenant: str, name: str, dictionaries: Sequence[Dictionary]) -> Stored:
        """Raises TooManyError."""
        (count,) = self._connection.execute("SELECT count(*) FROM glossaries WHERE tenant = ?", (tenant,)).fetchone()
        if count >= _MAX_GLOSSARIES:
            raise TooManyError
        identity = new_id()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("INSERT INTO glossaries VALUES (?,?,?,?)", (identity, tenant, name, now))
            for one in dictionaries:
                self._put(identity, one)
        return Stored(identity, name, now, tuple(dictionaries))

    def _put(self, identity: str, one: Dictionary) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO dictionaries VALUES (?,?,?,?)",
            (identity, one.source, one.target, json.dumps(one.entries, ensure_ascii=False)),
        )

    def get(self, tenant: str, identity: str) -> Stored | None:
        row = self._connection.execute(
            "SELECT id, name, created FROM glossaries WHERE tenant = ? AND id = ?", (tenant, identity)
        ).fetchone()
        return None if row is None else Stored(row[0], row[1], row[2], self._dictionaries(identity))

    def list(self, tenant: str) -> list[Stored]:
        rows = self._connection.execute(
            "SELECT id, name, created FROM glossaries WHERE tenant = ? ORDER BY created, id", (tenant,)
        ).fetchall()
        return [Stored(row[0], row[1], row[2], self._dictionaries(row[0])) for row in rows]

    def _dictionaries(self, identity: str) -> tuple[Dictionary, ...]:
        rows = self._connection.execute(
            "SELECT source, target, entries FROM dictionaries WHERE glossary = ? ORDER BY source, target", (identity,)
        ).fetchall()
        return tuple(Dictionary(row[0], row[1], tuple((a, b) for a, b in json.loads(row[2]))) for row in rows)

    def rename(self, tenant: str, identity: str, name: str) -> None:
        self._connection.execute("UPDATE glossaries SET name = ? WHERE tenant = ? AND id = ?", (name, tenant, identity))

    def put(self, identity: str, dictionary: Dictionary, *, merge: bool = False) -> Dictionary:
        """Replace a glossary's dictionary, or with `merge` add to it; the caller has found the glossary."""
        old = next(
            (d for d in self._dictionaries(identity) if (d.source, d.target) == (dictionary.source, dictionary.target)),
            None,
        )
        if merge and old is not None:
            entries = {**dict(old.entries), **dict(dictionary.entries)}
            dictionary = Dictionary(old.source, old.target, tuple(entries.items()))
        self._put(identity, dictionary)
        return dictionary

    def remove(self, tenant: str, identity: str) -> bool:
        gone = self._connection.execute("DELETE FROM glossaries WHERE tenant = ? AND id = ?", (tenant, identity))
        return gone.rowcount > 0

    def remove_dictionary(self, identity: str, source: str, target: str) -> bool:
        gone = self._connection.execute(
            "DELETE FROM dictionaries WHERE (glossary, source, target) = (?,?,?)", (identity, source, target)
        )
        return gone.rowcount > 0

    # ---------------------------------------------------------------- for the queue

    def register(self, stored: Sequence[Stored], direction: Direction) -> str:
        """The digest by which the queue knows the terms that serve a direction, those of the first glossary first."""
        rows: dict[str, Row] = {}
        for glossary in stored:
            for one in glossary.dictionaries:
                if one.serves(direction):
                    for source, target in one.entries:
                        rows.setdefault(source, (source, target, one.source, one.target, "", ""))
        name = digest(list(rows.values()))
        self._terms[name] = list(rows.values())
        self._terms.move_to_end(name)
        while len(self._terms) > _KEPT:
            self._terms.popitem(last=False)
        return name

    def terms(self, name: str) -> Sequence[Row]:
        """The terms of a digest. Raises KeyError for one that was pushed out by hundreds of others while it waited."""
        return self._terms[name]


def new_id() -> str:
    """In the form of a UUID, as DeepL's are."""
    text = secrets.token_hex(16)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

"""Who may do what: keys in SQLite, of which only an HMAC is kept.

A key is `drg_<id>_<secret>`; it is shown once, when it is made. The table holds the HMAC-SHA-256 of the key under a pepper
that lies in a file of its own (mode 600), so a copy of the table lets nobody in. A change of the table, by this process
or by `dragoman keys`, is seen with the next request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from dragoman.errors import DataError

SCOPES = {
    "translate": "translate texts, list languages and models",
    "documents": "translate documents",
    "glossary": "read and change the tenant's glossaries",
    "memory": "read and change the tenant's translation memories",
    "feedback": "confirm and judge translations",
    "weights": "fetch a model itself, to translate in the browser",
    "metrics": "read the server's figures",
    "runs": "see training runs, and what models meet in use",
    "deploy": "let aliases point to other models",
    "admin": "make and revoke keys, see all usage",
}
LOCAL_SCOPES = frozenset({"translate", "documents", "glossary", "memory", "feedback", "weights", "metrics", "runs"})
TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KEY = re.compile(r"drg_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    tenant TEXT NOT NULL,
    scopes TEXT NOT NULL,           -- separated by blanks
    created TEXT NOT NULL,          -- UTC, ISO 8601
    expires TEXT,
    revoked TEXT,
    characters INTEGER,             -- a calendar month's quota; NULL = none
    rate INTEGER                    -- requests a minute; NULL = the server's
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used (
    key TEXT NOT NULL,
    month TEXT NOT NULL,            -- 2026-11
    characters INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (key, month)
) WITHOUT ROWID;
"""
Denial = Literal["unknown", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `characters` and `rate`: None = no bound of their own."""

    id: str
    name: str
    tenant: str
    scopes: frozenset[str]
    characters: int | None = None
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A row of the table, without what would let anybody in."""

    principal: Principal
    created: str
    expires: str | None
    revoked: str | None
    used: int = 0  # characters of this month

    def denial(self, now: str) -> Denial | None:
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else None


LOCAL = Principal("local", "local", "default", LOCAL_SCOPES)  # whoever asks a server without keys, on its own machine


class Keys:
    """The keys of a server; one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Open or make the table in `folder`. Raises DataError."""
        self._path = folder / "keys.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._pepper = _pepper(folder / "pepper")
            self._connection = _connect(self._path)
            self._path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.DatabaseError) as error:
            raise DataError(f"{self._path}: cannot be opened as a table of keys ({error}).") from None
        self._watch = _connect(self._path)  # sees others' changes, and ours
        self._seen: int | None = None
        self._known: dict[str, tuple[bytes, Key]] = {}
        self._fresh: Counter[str] = Counter()  # characters that are not in the table yet
        self._requests: Counter[str] = Counter()

    def close(self) -> None:
        self.flush()
        self._connection.close()
        self._watch.close()

    # ---------------------------------------------------------------- administration

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        tenant: str = "default",
        days: float | None = None,
        characters: int | None = None,
        rate: int | None = None,
    ) -> str:
        """A new key, which is told here and never again. Raises DataError."""
        wanted = list(dict.fromkeys(scopes))
        if unknown := [scope for scope in wanted if scope not in SCOPES]:
            raise DataError(f"'{unknown[0]}' is no scope. Known: {', '.join(SCOPES)}.")
        if not wanted:
            raise DataError(f"a key needs a scope at least. Known: {', '.join(SCOPES)}.")
        if not TENANT.fullmatch(tenant):
            raise DataError(
                f"'{tenant}' is no tenant: lower-case letters, digits, hyphens and underscores, 64 at most."
            )
        if not name.strip() or len(name) > 100:
            raise DataError("a key needs a name, of 100 characters at most.")
        identity = secrets.token_hex(6)
        key = f"drg_{identity}_{secrets.token_urlsafe(32)}"
        now = datetime.now(UTC)
        expires = None if days is None else _stamp(now + timedelta(days=days))
        row = (identity, name, self._digest(key), tenant, " ".join(wanted), _stamp(now), expires, characters, rate)
        try:
            self._connection.execute("INSERT INTO keys VALUES (?,?,?,?,?,?,?,NULL,?,?)", row)
        except sqlite3.IntegrityError:
            raise DataError(f"there is a key of the name '{name}' already. Revoke it, or take another name.") from None
        return key

    def revoke(self, name: str) -> int:
        """Revoke the key with this name or id; returns how many there were. Its name is free again."""
        gone = _stamp(datetime.now(UTC))
        change = "UPDATE keys SET revoked = ?, name = name || ' (revoked ' || id || ')'"
        return self._connection.execute(
            f"{change} WHERE (name = ? OR id = ?) AND revoked IS NULL", (gone, name, name)
        ).rowcount

    def list(self) -> list[Key]:
        self.flush()
        self._refresh()
        return [key for _, key in self._known.values()]

    # ---------------------------------------------------------------- use

    def __bool__(self) -> bool:
        """True once a key was made, revoked or not: then no request goes without."""
        self._refresh()
        return bool(self._known)

    def check(self, key: str) -> Principal | Denial:
        """Whose key it is, or why it lets nobody in. The time that it takes does not depend on what is wrong with it."""
        self._refresh()
        found = _KEY.fullmatch(key)
        digest, known = self._known.get(found[1] if found else "", (b"\0" * 32, None))
        right = hmac.compare_digest(digest, self._digest(key[:200]))
        if known is None or not right:
            return "unknown"
        return known.denial(_stamp(datetime.now(UTC))) or known.principal

    def used(self, principal: Principal) -> int:
        """Characters of this month."""
        self._refresh()
        known = self._known.get(principal.id)
        return (known[1].used if known else 0) + self._fresh[principal.id]

    def charge(self, principal: Principal, characters: int) -> bool:
        """Count characters against the quota; False, and nothing is counted, where it has not as many left."""
        if principal.characters is not None and self.used(principal) + characters > principal.characters:
            return False
        self._fresh[principal.id] += characters
        return True

    def refund(self, principal: Principal, characters: int) -> None:
        self._fresh[principal.id] -= characters

    def count(self, principal: Principal) -> None:
        """One request."""
        self._requests[principal.id] += 1

    def flush(self) -> None:
        """Write what was used since to the table."""
        month = _month()
        rows = [
            (key, month, self._fresh[key], self._requests[key])
            for key in {**self._fresh, **self._requests}
            if self._fresh[key] or self._requests[key]
        ]
        if rows:
            self._connection.executemany(
                "INSERT INTO used VALUES (?,?,?,?) ON CONFLICT (key, month) DO UPDATE SET"
                " characters = characters + excluded.characters, requests = requests + excluded.requests",
                rows,
            )
            self._fresh.clear()
            self._requests.clear()
            self._seen = None

    def _refresh(self) -> None:
        version = int(self._watch.execute("PRAGMA data_version").fetchone()[0])
        if version == self._seen:
            return
        rows = self._watch.execute(
            "SELECT id, name, digest, tenant, scopes, created, expires, revoked, keys.characters, rate,"
            " coalesce(used.characters, 0) FROM keys LEFT JOIN used ON used.key = id AND month = ? ORDER BY created, id",
            (_month(),),
        ).fetchall()
        self._known = {
            row[0]: (
                row[2],
                Key(
                    Principal(row[0], row[1], row[3], frozenset(row[4].split()), row[8], row[9]),
                    row[5],
                    row[6],
                    row[7],
                    row[10],
                ),
            )
            for row in rows
        }
        self._seen = version

    def _digest(self, key: str) -> bytes:
        return hmac.new(self._pepper, key.encode("utf-8", "replace"), hashlib.sha256).digest()


class Pace:
    """Token buckets: requests a minute of each key, and wrong keys a minute of each address."""

    def __init__(self, failures: int = 20) -> None:
        self._failures = failures
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, and when

    def take(self, who: str, a_minute: int, count: float = 1.0) -> float:
        """Take from a bucket; 0, or the seconds after which there will be enough."""
        now = time.monotonic()
        if len(self._buckets) > 10_000:  # those that were full long ago say nothing
            self._buckets = {one: state for one, state in self._buckets.items() if now - state[1] < 60}
        left, since = self._buckets.get(who, (float(a_minute), now))
        left = min(float(a_minute), left + (now - since) * a_minute / 60)
        if left < count:
            self._buckets[who] = left, now
            return (count - left) * 60 / a_minute
        self._buckets[who] = left - count, now
        return 0.0

    def locked(self, address: str) -> float:
        """Seconds for which an address with too many wrong keys is not listened to; 0 = it is."""
        left = self._left(address)
        return 0.0 if left >= 1 else (1 - left) * 60 / self._failures

    def failed(self, address: str) -> None:
        self._buckets[f"wrong {address}"] = max(0.0, self._left(address) - 1), time.monotonic()

    def _left(self, address: str) -> float:
        """How many wrong keys an address may still try."""
        left, since = self._buckets.get(f"wrong {address}", (float(self._failures), 0.0))
        return min(float(self._failures), left + (time.monotonic() - since) * self._failures / 60)


def _pepper(path: Path) -> bytes:
    try:
        with path.open("xb") as stream:
            path.chmod(0o600)
            stream.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    pepper = path.read_bytes()
    if len(pepper) < 32:
        raise DataError(f"{path}: is damaged. Without it no key is valid: delete it, and make new keys.")
    return pepper


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")

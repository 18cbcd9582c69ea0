"""What happened to a run, as a chain: each entry holds the SHA-256 of the one before it. Numbers and names, never texts.

`RUN/audit.jsonl`, one JSON object a line: number, time (UTC), event, who, facts, before, hash. An entry that was changed, taken
out or put in breaks the chain. Entries cut off at the end do not; that shows against a hash noted elsewhere, or against the
aliases, which name what the log no longer does.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dragoman.errors import CheckpointError, DataError, ResourceError

FILE = "audit.jsonl"
START = "0" * 64
_KEYS = {"number", "at", "event", "who", "facts", "before", "hash"}
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Entry:
    number: int
    at: str
    event: str
    who: str
    facts: dict[str, Any]
    before: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verified:
    """`torn`: half an entry at the end, as a kill leaves it; the next entry takes its place."""

    entries: int
    head: str
    torn: bool


def add(run: Path, event: str, **facts: Any) -> Entry:
    """Append an entry, safe on the disk when this returns. Raises CheckpointError for a damaged log, ResourceError where the
    disk takes nothing."""
    from filelock import FileLock

    path = run / FILE
    with FileLock(path.with_name(f".{FILE}.lock"), timeout=_LOCK_SECONDS):
        try:
            with path.open("a+b") as stream:
                whole = _whole(path)
                stream.truncate(whole)
                last = None
                for last in _entries(path):  # noqa: B007 # the last one is wanted
                    pass
                number, before = (last.number + 1, last.hash) if last else (1, START)
                now = datetime.now(UTC).isoformat(timespec="seconds")
                value = {"number": number, "at": now, "event": event, "who": _who(), "facts": facts, "before": before}
                value = json.loads(json.dumps(value, default=str))  # as it will be read back
                entry = Entry(**value, hash=_digest(value))
                line = json.dumps({**value, "hash": entry.hash}, ensure_ascii=False) + "\n"
                try:
                    stream.write(line.encode())
                    stream.flush()
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(whole)
                    raise
        except OSError as error:
            raise ResourceError(f"{path}: takes no entry ({error.strerror}), so nothing was done.") from None
    return entry


def read(run: Path) -> list[Entry]:
    """All whole entries. Raises CheckpointError for one that is none."""
    return list(_entries(run / FILE)) if (run / FILE).is_file() else []


def verify(run: Path, expect: str | None = None) -> Verified:
    """Follow the chain. `expect`: a hash noted before, which must be among the entries. Raises DataError where there is no log,
    CheckpointError with the number of the first entry that does not fit."""
    path = run / FILE
    if not path.is_file():
        raise DataError(f"{run}: has no log yet: nothing was refreshed or promoted.")
    before, count, seen = START, 0, {START}
    for count, entry in enumerate(_entries(path), 1):
        value = {name: getattr(entry, name) for name in ("number", "at", "event", "who", "facts", "before")}
        if entry.number != count or entry.before != before or _digest(value) != entry.hash:
            raise CheckpointError(f"{path}:{count}: the chain is broken here: this entry or one before it was changed.")
        before = entry.hash
        seen.add(before)
    if expect is not None and expect not in seen:
        raise CheckpointError(f"{path}: has no entry {expect}: entries were cut off, or the log is another one.")
    return Verified(count, before, _whole(path) < path.stat().st_size)


def _entries(path: Path) -> Iterator[Entry]:
    data = path.read_bytes()[: _whole(path)]
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            value = json.loads(line)
            if set(value) != _KEYS:
                raise ValueError("other keys")
            yield Entry(**value)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{path}:{number}: damaged ({error}).") from None


def _whole(path: Path) -> int:
    """Bytes up to the last line break."""
    return path.read_bytes().rfind(b"\n") + 1


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user data base
        return ""

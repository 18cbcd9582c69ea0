"""Erasure of a tenant, or of what is old: from the ledger, feedback, memories, glossaries, keys, preferences, and the files
written of them, so that no byte stays, free pages and write-ahead logs included; then the bytes are searched.

What was trained on stays in the weights. What a refresh prepared of such texts goes, with all its rows: they are a sample of
what the run has. What else holds one the search names.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dragoman.errors import DataError
from dragoman.store.ledger import Ledger
from dragoman.store.memory.translation_memory import DEFAULT_TENANT
from dragoman.store.run.artifact import REFRESHES, read_rows, write_atomic
from dragoman.store.run.observer import ledger_of
from dragoman.store.run.promotion import GATE

_DAY = 86_400.0
_PREFERENCES = "preferences.jsonl"
_SEARCHED = 300  # texts that are looked for afterwards, the longest first
_LEAST = 12  # characters of such a text
_WEIGHTS = frozenset({".safetensors", ".gguf", ".bin", ".npy", ".npz", ".pt"})
_FROM_USE = ("feedback", "confirmed")  # origins in a memory that people in use put in


@dataclass
class Erased:
    """Rows by where they stood; `left`: files that still hold a text of what was erased."""

    rows: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "left": self.left}


def erase(run: Path, *, tenant: str | None = None, days: float | None = None, state: Path | None = None) -> Erased:
    """Take out what belongs to a tenant, or what is older than `days`. `state`: a server's folder that is not in the run.

    Of the tenant `default` a memory keeps what the recipe's own files brought. Raises DataError where a file cannot be changed.
    """
    from dragoman.store.run.feedback import Desk

    if (tenant is None) == (days is None):
        raise DataError("erase: name a tenant, or an age in days.")
    before = None if days is None else time.time() - days * _DAY
    found = Erased()
    folders = [run] if state is None or state.resolve().is_relative_to(run.resolve()) else [run, state]
    bases = [path for folder in folders for path in sorted(folder.rglob("*.sqlite")) if path.is_file()]
    texts = [text for path in bases for text in _texts(path, tenant, before)]
    if (settings := _settings(run)) is not None and (
        "://" in (place := ledger_of(run, settings)) or Path(place).is_file()
    ):
        with Ledger.open(place, create=False) as ledger:
            if "://" in place:
                _elsewhere(ledger, tenant, days, found)
    for path in bases:
        if count := _from_base(path, tenant, before):
            found.rows[str(path)] = count
            shutil.rmtree(path.with_suffix(".index"), ignore_errors=True)  # a memory's, which is made again
    for folder in folders:
        for path in folder.rglob(_PREFERENCES):
            if count := _from_lines(path, tenant, before, texts):
                found.rows[str(path)] = count
    for path in (run / REFRESHES).glob("[0-9]*"):
        if count := _from_refresh(path, set(texts)):
            found.rows[str(path)] = count
    if (run / "feedback").is_dir() and (run / "recipe.yaml").is_file():
        with Desk.open(run) as desk:
            desk.store.write(run / "feedback")
    found.left = sorted(_holding(folders, texts))
    return found


def _settings(run: Path) -> Any:
    from dragoman.core.recipe import Monitor
    from dragoman.store.run.observer import settings_of

    return settings_of(run) or Monitor()


def _elsewhere(ledger: Ledger, tenant: str | None, days: float | None, found: Erased) -> None:
    """A ledger behind a URL: its own server decides what becomes of old pages and backups."""
    from dragoman.store.feedback import Feedback

    if tenant is not None:
        count = Feedback(ledger.engine).erase(tenant) + ledger.erase(tenant=tenant)
    else:
        count = ledger.prune(days=days or 0, size=float("inf"), text_days=days)
    if count:
        found.rows[ledger.engine.url.render_as_string()] = count


# ---------------------------------------------------------------- SQLite


def _tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Columns by table."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
        for name in names
        if not name.startswith("sqlite_")
    }


def _chosen(
    columns: Sequence[str], table: str, tenant: str | None, before: float | None
) -> tuple[str, list[Any]] | None:
    """The condition for the rows of a table that go; None where it has nothing of the kind."""
    if table == "segments" and "collection" in columns:
        from_use = f"origin IN ({', '.join('?' * len(_FROM_USE))})"
        if tenant is None:
            return f"created < ? AND {from_use}", [datetime.fromtimestamp(before or 0, UTC).isoformat(), *_FROM_USE]
        mine = "collection IN (SELECT id FROM collections WHERE tenant = ?)"
        return (f"{mine} AND {from_use}", [tenant, *_FROM_USE]) if tenant == DEFAULT_TENANT else (mine, [tenant])
    if tenant is not None and "tenant" in columns:
        return "tenant = ?", [tenant]
    if tenant is None and "tenant" in columns and "at" in columns:
        return "at < ?", [before]
    return None


def _texts(path: Path, tenant: str | None, before: float | None) -> Iterator[str]:
    """The texts that are about to go."""
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        for table, columns in _tables(connection).items():
            held = [name for name in ("source", "target", "text", "machine") if name in columns]
            if held and (chosen := _chosen(columns, table, tenant, before)) is not None:
                names = ", ".join(f'"{name}"' for name in held)
                for row in connection.execute(f'SELECT {names} FROM "{table}" WHERE {chosen[0]}', chosen[1]):
                    yield from (text for text in row if isinstance(text, str))


def _from_base(path: Path, tenant: str | None, before: float | None) -> int:
    """Delete the rows, then write the file anew without free pages. Raises DataError where somebody holds it."""
    count = 0
    try:
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA foreign_keys = ON")
            tables = _tables(connection)
            todo = [(t, c) for t, columns in tables.items() if (c := _chosen(columns, t, tenant, before)) is not None]
            todo.sort(key=lambda one: one[0] in ("collections", "glossaries"))  # what others point to goes last
            connection.execute("BEGIN IMMEDIATE")
            for table, (condition, values) in todo:
                unused = " AND id NOT IN (SELECT collection FROM segments)" if table == "collections" else ""
                count += connection.execute(f'DELETE FROM "{table}" WHERE {condition}{unused}', values).rowcount
            connection.execute("COMMIT")
            if count:
                connection.execute("VACUUM")
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise sqlite3.OperationalError("its log is read by others")
    except sqlite3.Error as error:
        raise DataError(f"{path}: nothing could be erased ({error}). Stop what uses it, and try again.") from None
    return count


# ---------------------------------------------------------------- files


def _from_lines(path: Path, tenant: str | None, before: float | None, texts: list[str]) -> int:
    """Lines of JSON with `tenant` and `at`; what goes is added to `texts`."""
    kept: list[str] = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for line in lines:
        try:
            row = json.loads(line)
            at = datetime.fromisoformat(row["at"]).timestamp()
            goes = row["tenant"] == tenant if tenant is not None else at < (before or 0)
        except (ValueError, KeyError, TypeError):  # half a line of a killed process
            goes = False
        if goes:
            texts.append(str(row.get("source", "")))
        else:
            kept.append(line)
    if len(kept) < len(lines):
        write_atomic(path, "".join(kept).encode())
        path.chmod(0o600)
    return len(lines) - len(kept)


def _from_refresh(folder: Path, texts: set[str]) -> int:
    """What a refresh was trained and tried on: where it holds one of the texts all of it goes, and of its evaluation what has
    one. The model, its scores and what the gate found stay. One that is not finished goes as a whole."""
    count = 0
    for path in [*folder.glob("data/*.jsonl"), *folder.glob("feedback/*.jsonl")]:
        for row in read_rows(path):
            count += any(isinstance(value, str) and value in texts for value in row.values())
    if count and not (folder / GATE).is_file():
        shutil.rmtree(folder)
    elif count:
        for name in ("data", "feedback", "prepare", "plan", "synthesise"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in _holding([folder], list(texts)):
            Path(name).unlink()
    return count


def _holding(folders: Sequence[Path], texts: Sequence[str]) -> set[str]:
    """The files whose bytes hold one of the texts; weights and arrays are not looked at."""
    longest = sorted({text for text in texts if len(text) >= _LEAST}, key=len, reverse=True)[:_SEARCHED]
    needles = [form for text in longest for form in {text.encode(), json.dumps(text)[1:-1].encode()}]
    found = set()
    for folder in folders if needles else ():
        for path in folder.rglob("*"):
            if path.suffix == ".parquet":
                held = _cells(path)
            else:
                held = path.read_bytes() if path.is_file() and path.suffix not in _WEIGHTS else b""
            if any(needle in held for needle in needles):
                found.add(str(path))
    return found


def _cells(path: Path) -> bytes:
    """The texts of a compressed table."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, memory_map=True)
    return b"".join(
        buffer.to_pybytes()
        for name in table.column_names
        for chunk in table[name].chunks
        for buffer in chunk.buffers()
        if buffer is not None and str(chunk.type) == "string"
    )

"""What teachers have answered and what it cost, in one SQLite file: nothing is asked, or paid for, twice.

A call is written down with the most that it can cost before it is made, and with what it did cost after its answer has
come. So a process that is killed in between leaves the larger figure behind, and a budget holds however often the work
is started again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dragoman.core.corpus.synthesis import Reply
from dragoman.core.recipe.synthesise import Budget, Price
from dragoman.errors import CheckpointError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  request TEXT PRIMARY KEY, teacher TEXT NOT NULL, text TEXT NOT NULL, log_probability REAL,
  failure TEXT NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
  id INTEGER PRIMARY KEY, teacher TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, answer_tokens INTEGER NOT NULL, money REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_teacher ON calls (teacher, state);
CREATE TABLE IF NOT EXISTS spent (
  teacher TEXT PRIMARY KEY, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, money REAL NOT NULL
) WITHOUT ROWID;
"""
_MANY = 500  # requests looked up at once
_MILLION = 1_000_000
_HAIR = 1e-9  # money below which two sums are equal


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens and money of one call."""

    prompt_tokens: int
    answer_tokens: int
    money: float = 0.0

    @classmethod
    def of(cls, prompt_tokens: int, answer_tokens: int, price: Price | None) -> Cost:
        money = (prompt_tokens * price.input + answer_tokens * price.output) / _MILLION if price else 0.0
        return cls(prompt_tokens, answer_tokens, money)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.answer_tokens


@dataclass(frozen=True, slots=True)
class Spent:
    """What a teacher has cost so far; calls whose answer never came count with the most that they can have cost."""

    calls: int = 0
    tokens: int = 0
    money: float = 0.0


class Answers:
    """The file. Safe against SIGKILL and power cuts, and against a second process that writes to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, timeout=60.0, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise CheckpointError(
                f"{path}: is not a file of answers ({error}). Move it away, or name another with `synthesise.answers`."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    # ------------------------------------------------------------ answers

    def known(self, requests: Sequence[str]) -> dict[str, Reply]:
        """The answers that are there, by the digest of their request."""
        found: dict[str, Reply] = {}
        for start in range(0, len(requests), _MANY):
            some = requests[start : start + _MANY]
            marks = ",".join("?" * len(some))
            query = f"SELECT request, text, log_probability, failure, detail FROM answers WHERE request IN ({marks})"
            with closing(self._db.execute(query, some)) as rows:
                found.update({row[0]: Reply(row[1], row[2], row[3], row[4], row[0]) for row in rows})
        return found

    def keep(self, teacher: str, replies: Iterable[Reply]) -> None:
        """Write replies of a teacher that costs nothing, all or none of them."""
        with self._transaction():
            for reply in replies:
                self._write(teacher, reply)

    def _write(self, teacher: str, reply: Reply) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?)",
            (reply.digest, teacher, reply.text, reply.log_probability, reply.failure, reply.detail),
        )

    # ------------------------------------------------------------ calls

    def spent(self, teacher: str) -> Spent:
        row = self._db.execute("SELECT calls, tokens, money FROM spent WHERE teacher = ?", (teacher,)).fetchone()
        return Spent(*row) if row else Spent()

    def reserve(self, teacher: str, request: str, most: Cost, budget: Budget) -> int | None:
        """Write down a call that is about to be made; None when it might exceed the budget."""
        with self._transaction():
            spent = self.spent(teacher)
            if budget.tokens is not None and spent.tokens + most.tokens > budget.tokens:
                return None
            if budget.money is not None and spent.money + most.money > budget.money + _HAIR:
                return None
            self._add(teacher, 1, most.tokens, most.money)
            cursor = self._db.execute(
                "INSERT INTO calls (teacher, request, state, prompt_tokens, answer_tokens, money) VALUES (?,?,?,?,?,?)",
                (teacher, request, "open", most.prompt_tokens, most.answer_tokens, most.money),
            )
            return cursor.lastrowid

    def settle(self, call: int, real: Cost | None, reply: Reply | None = None) -> None:
        """Write what a call has cost (None: nobody knows, so its reservation stands), and its answer."""
        with self._transaction():
            teacher, tokens, money = self._reserved(call)
            if real is None:
                self._db.execute("UPDATE calls SET state = 'unknown' WHERE id = ?", (call,))
            else:
                self._add(teacher, 0, real.tokens - tokens, real.money - money)
                self._db.execute(
                    "UPDATE calls SET state = 'answered', prompt_tokens = ?, answer_tokens = ?, money = ? WHERE id = ?",
                    (real.prompt_tokens, real.answer_tokens, real.money, call),
                )
            if reply is not None:
                self._write(teacher, reply)

    def release(self, call: int) -> None:
        """Forget a call that was refused: it cost nothing."""
        with self._transaction():
            teacher, tokens, money = self._reserved(call)
            self._add(teacher, -1, -tokens, -money)
            self._db.execute("DELETE FROM calls WHERE id = ?", (call,))

    def _reserved(self, call: int) -> tuple[str, int, float]:
        row = self._db.execute(
            "SELECT teacher, prompt_tokens + answer_tokens, money FROM calls WHERE id = ?", (call,)
        ).fetchone()
        return str(row[0]), int(row[1]), float(row[2])

    def _add(self, teacher: str, calls: int, tokens: int, money: float) -> None:
        self._db.execute(
            "INSERT INTO spent VALUES (?,?,?,?) ON CONFLICT (teacher) DO UPDATE SET calls = calls + excluded.calls, "
            "tokens = tokens + excluded.tokens, money = money + excluded.money",
            (teacher, calls, tokens, money),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

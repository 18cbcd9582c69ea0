"""Translation memories that tenants bring along as TMX, and take away again: DeepL's import and export jobs."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.server import logs
from dragoman.server.glossaries import new_id
from dragoman.server.memories import place
from dragoman.store.formats.readers import read_parallel
from dragoman.store.memory.segments import Segment

if TYPE_CHECKING:
    from dragoman.server.gateway import Gateway

_LIFE = 3_600.0  # seconds that a job and its file are kept
_MOST_JOBS = 64
_SCHEMA = """
CREATE TABLE IF NOT EXISTS memories (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, targets TEXT NOT NULL,
    created TEXT NOT NULL, updated TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """One translation memory of a tenant. `targets`: its languages, separated by blanks."""

    id: str
    name: str
    source: str
    targets: str
    created: str
    updated: str


@dataclass(slots=True)
class Job:
    """An import or export. `token`: part of the URL that the file is sent to or fetched from, without another key."""

    id: str
    tenant: str
    operation: Literal["import", "export"]
    token: str
    name: str = ""
    length: int = 0
    kind: str = "application/xml"
    memory: str = ""
    state: Literal["awaiting_input", "processing", "completed", "downloaded", "failed", "expired"] = "awaiting_input"
    problem: str = ""
    skipped: int = 0
    data: bytes = b""
    created: str = ""
    updated: str = ""
    since: float = field(default_factory=time.monotonic)
    task: asyncio.Task[None] | None = None

    def become(self, state: Any) -> None:
        self.state, self.updated = state, _now()

    @property
    def expires(self) -> str:
        left = _LIFE - (time.monotonic() - self.since)
        return _stamp(datetime.now(UTC) + timedelta(seconds=left))


class TooManyJobsError(Exception):
    """As many jobs are kept as may be."""


class Imports:
    """The memories by id, and the jobs on them. A tenant finds its own alone."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._path = gateway.state / "server.sqlite"
        with closing(self._connect()) as connection:
            connection.execute(_SCHEMA)
        self._jobs: dict[str, Job] = {}

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10.0, isolation_level=None)

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with closing(self._connect()) as connection:
            return connection.execute(query, values).fetchall()

    # ---------------------------------------------------------------- memories

    def list(self, tenant: str) -> list[Stored]:
        query = "SELECT id, name, source, targets, created, updated FROM memories WHERE tenant = ? ORDER BY created, id"
        return [Stored(*row) for row in self._rows(query, (tenant,))]

    def get(self, tenant: str, identity: str) -> Stored | None:
        query = "SELECT id, name, source, targets, created, updated FROM memories WHERE tenant = ? AND id = ?"
        return next((Stored(*row) for row in self._rows(query, (tenant, identity))), None)

    def segments(self, tenant: str, identity: str) -> Iterator[tuple[Direction, Segment]]:
        return self._gateway.memory.segments(place(tenant, identity))

    def count(self, tenant: str, identity: str) -> int:
        return sum(one.segments for one in self._gateway.memory.stats(place(tenant, identity)))

    async def remove(self, tenant: str, identity: str) -> bool:
        """Remove a memory with all of its segments."""
        if self.get(tenant, identity) is None:
            return False
        self._rows("DELETE FROM memories WHERE tenant = ? AND id = ? RETURNING id", (tenant, identity))
        name = place(tenant, identity)
        await asyncio.to_thread(self._gateway.memory.remove, name, everything=True)
        return True

    # ---------------------------------------------------------------- jobs

    def job(self, tenant: str, identity: str) -> Job | None:
        found = self._jobs.get(identity)
        return found if found is not None and found.tenant == tenant else None

    def by_token(self, token: str, operation: str) -> Job | None:
        return next(
            (
                job
                for job in self._jobs.values()
                if job.operation == operation and secrets.compare_digest(job.token.encode(), token.encode())
            ),
            None,
        )

    def begin(self, tenant: str, operation: Literal["import", "export"], **facts: Any) -> Job:
        """Raises TooManyJobsError."""
        if len(self._jobs) >= _MOST_JOBS:
            raise TooManyJobsError
        now = _now()
        job = Job(new_id(), tenant, operation, secrets.token_urlsafe(32), created=now, updated=now, **facts)
        self._jobs[job.id] = job
        return job

    def sweep(self) -> None:
        until = time.monotonic() - _LIFE
        for identity in [job.id for job in self._jobs.values() if job.since < until]:
            del self._jobs[identity]

    def fill(self, job: Job, data: bytes) -> None:
        """Read an uploaded TMX into a new memory, in the background."""
        job.become("processing")
        job.task = asyncio.create_task(self._run(job, self._read, job, data))

    def write(self, job: Job) -> None:
        """Make the TMX of a memory, in the background."""
        job.become("processing")
        job.task = asyncio.create_task(self._run(job, self._written, job))

    async def _run(self, job: Job, work: Any, *arguments: Any) -> None:
        try:
            await asyncio.to_thread(work, *arguments)
            job.become("completed")
        except DataError as error:
            logs.fault(job.id[:8], error)
            job.problem = "the file is no TMX with languages of the models that are served, or is damaged"
            job.become("failed")
        except Exception as error:
            logs.fault(job.id[:8], error)
            job.problem = "a fault in the server"
            job.become("failed")
        logs.event("memory_job", job=job.id[:8], operation=job.operation, state=job.state, skipped=job.skipped)

    def _read(self, job: Job, data: bytes) -> None:
        gateway = self._gateway
        identity = new_id()
        name = place(job.tenant, identity)
        pairs = sorted({str(pair) for pair in gateway.bundles.directions})
        recipe = Recipe.model_validate({"pairs": pairs})
        seen: dict[Direction, int] = {}

        def rows(path: Path) -> Iterator[Example | Rejected]:
            for row in read_parallel(ParallelSource(path=str(path), format="tmx"), recipe):
                if isinstance(row, Example):
                    seen[row.direction] = seen.get(row.direction, 0) + 1
                yield row

        with tempfile.TemporaryDirectory(dir=gateway.state, prefix=".import-") as folder:
            path = Path(folder) / "import.tmx"
            path.touch(mode=0o600)
            path.write_bytes(data)
            added = gateway.memory.add(rows(path), name)
        if not seen or not added.count:
            raise DataError("none of the units can be used")
        gateway.memory.index(name)
        job.skipped = sum(added.rejected.values()) + added.duplicates
        job.memory = identity
        source = max(seen, key=lambda one: seen[one]).source
        targets = " ".join(dict.fromkeys(one.target if one.source == source else one.source for one in seen))
        now = _now()
        self._rows(
            "INSERT INTO memories VALUES (?,?,?,?,?,?,?) RETURNING id",
            (identity, job.tenant, job.name, source, targets, now, now),
        )

    def _written(self, job: Job) -> None:
        with tempfile.TemporaryDirectory(dir=self._gateway.state, prefix=".export-") as folder:
            path = Path(folder) / "export.tmx"
            self._gateway.memory.export(path, place(job.tenant, job.memory))
            job.data = path.read_bytes()


def _now() -> str:
    return _stamp(datetime.now(UTC))


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""The memories of tenants: what each has confirmed or imported at the server, beside what the run brings along.

All lie in one SQLite file of the server, under names that a tenant's key decides: `ada` for what was confirmed,
`ada/7f3c...` for an imported translation memory. No text of another name can come back (`store.memory`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.core.memory.matching import Match
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.memory.fuzzy import CANDIDATES
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.trained import whose


def place(tenant: str, memory: str = "") -> str:
    """The name under which the server's memory holds a tenant's segments; tenants and ids hold no slash."""
    return f"{tenant}/{memory}" if memory else tenant


@dataclass(frozen=True)
class Layers:
    """Several memories as one, each under a name of its own; the first wins among equals."""

    parts: tuple[tuple[Memory, str], ...]

    @classmethod
    def of(cls, tenant: str, memory: str, served: Memory | None, own: Sequence[Memory]) -> Layers:
        """What a request of `tenant` may see: the one translation memory that it names, or else the tenant's own
        segments in the server's memory and in those of the run."""
        parts = [] if served is None else [(served, place(tenant, memory))]
        return cls((*parts, *(() if memory else ((one, tenant) for one in own))))

    def search_many(
        self,
        texts: Sequence[str],
        direction: Direction,
        *,
        k: int = 3,
        min_match: float = 0.0,
        max_match: float = 1.0,
        tenant: str = "",
        excludes: Sequence[Collection[str]] | None = None,
        contexts: Sequence[str] | None = None,
        candidates: int = CANDIDATES,
        threads: int = 1,
    ) -> list[list[Match]]:
        """As `Memory.search_many`, over all parts. `tenant` has no say: each part has its own."""
        del tenant
        found: list[list[Match]] = [[] for _ in texts]
        for memory, name in self.parts:
            more = memory.search_many(
                texts,
                direction,
                k=k,
                min_match=min_match,
                max_match=max_match,
                tenant=name,
                excludes=excludes,
                contexts=contexts,
                candidates=candidates,
                threads=threads,
            )
            found = [_best(first, second, k) for first, second in zip(found, more, strict=True)]
        return found


def _best(first: Sequence[Match], second: Sequence[Match], k: int) -> list[Match]:
    ranked = sorted((*first, *second), key=lambda one: (one.match, one.exact, one.in_context), reverse=True)
    return list({(one.source, one.target): one for one in reversed(ranked)}.values())[::-1][:k]


def of_run(folder: Path) -> list[Path]:
    """The memories of a run that is served: of the run, which has what users correct, and of its bundle, as it was deployed.
    A run without one gets one, for users will correct something; one that cannot be written stays without."""
    run = whose(folder)
    if any((run / name).is_file() for name in ("recipe.lock.yaml", "recipe.yaml")):
        with contextlib.suppress(DataError, OSError):
            Memory.open(memory_file(run), create=True).close()
    found = dict.fromkeys((memory_file(run), memory_file(folder.resolve())))
    return [path for path in found if path.is_file()]


class State:
    """A number that changes with every change of a memory's file, whoever made it: cheap to ask for before each request."""

    def __init__(self, path: Path) -> None:
        # a connection that never writes: for it alone `data_version` counts the changes of all others
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)

    def __call__(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        self._connection.close()

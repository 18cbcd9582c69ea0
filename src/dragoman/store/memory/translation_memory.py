"""The translation memory: segments in SQLite, found again exactly, by fuzzy match, and in both directions.

Matches are those of `core.memory.matching`. An index per tenant and direction (`index`) proposes them, and sentence
vectors too when an encoder is given; every answer is then read from the table and from that tenant's collections alone,
so nothing of another tenant can come back.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from dragoman.core.arguments import several
from dragoman.core.memory.matching import Match, same_text, similarity, words
from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import normalise
from dragoman.errors import DataError
from dragoman.store.memory.admission import TIDY, digest_of, refusal_of, tidied, with_context
from dragoman.store.memory.candidates import Candidate, excluded, once
from dragoman.store.memory.fuzzy import CANDIDATES, Query, key
from dragoman.store.memory.index import Index
from dragoman.store.memory.segments import Segment, Table
from dragoman.store.memory.vectors import Encoder, Vectors
from dragoman.store.run.artifact import home

DEFAULT_TENANT = "default"

_BATCH = 5_000  # segments per transaction
_INSERT = (
    "INSERT OR IGNORE INTO segments (digest, collection, source, target, source_key, target_key, context_source,"
    " context_target, origin, line, domain, creator, created) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


@dataclass(frozen=True, slots=True)
class Added:
    """What `add` did with its rows: every one is counted once."""

    count: int
    duplicates: int  # already there: same languages, texts and context
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason


@dataclass(frozen=True, slots=True)
class Holding:
    """What one tenant has in one direction."""

    tenant: str
    direction: Direction
    segments: int
    origins: Mapping[str, int]
    first: str  # when the oldest and the newest segment were added, UTC
    last: str


def memory_file(run: Path) -> Path:
    """Where the memory of a run lies; a path to a .sqlite file is one itself."""
    return run if run.suffix == ".sqlite" else home(run) / "memory" / "memory.sqlite"


class Memory:
    """A translation memory. Threads may share it; processes may open the same file."""

    def __init__(self, table: Table, encoder: Encoder | None) -> None:
        self._table = table
        self._encoder = encoder
        self._lock = threading.Lock()
        self._indexes: dict[tuple[str, str], tuple[Index, Vectors | None]] = {}

    @classmethod
    def open(cls, path: Path | str, *, create: bool = False, encoder: Encoder | None = None) -> Self:
        """Open a memory: a .sqlite file, or the folder of the run that has it; with `create` a missing one is made.
        Raises DataError.

        `encoder` gives sentence vectors (see `store.memory.vectors`): candidates then also come from them.
        """
        return cls(Table(memory_file(Path(path)), create=create), encoder)

    @property
    def path(self) -> Path:
        return self._table.path

    def close(self) -> None:
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- change

    def add(
        self,
        examples: Iterable[Example | Rejected],
        tenant: str = DEFAULT_TENANT,
        *,
        creator: str = "",
        context: str = "",
        rejected: Callable[[Rejected], None] | None = None,
    ) -> Added:
        """Add pairs, in batches: each is there for good, and for every reader, once its batch is committed.

        `context` is the source segment before the first example; the others follow one another where they share a
        document. Rows that a reader rejected may stand among the examples: they are counted with those rejected here,
        and each is handed to `rejected`.
        """
        count = duplicates = 0
        reasons: Counter[str] = Counter()
        rows = with_context(examples, context)
        while batch := list(islice(rows, _BATCH)):
            good: list[tuple[Example, str, str]] = []
            for row, before, before_target in batch:
                refusal = row if isinstance(row, Rejected) else refusal_of(row)
                if isinstance(row, Example) and refusal is None:
                    good.append((tidied(row), normalise(before, TIDY), normalise(before_target, TIDY)))
                elif refusal is not None:
                    reasons[refusal.reason] += 1
                    if rejected:
                        rejected(refusal)
            added = self._insert(good, tenant, creator)
            count += added
            duplicates += len(good) - added
        return Added(count, duplicates, dict(reasons))

    def _insert(self, rows: Sequence[tuple[Example, str, str]], tenant: str, creator: str) -> int:
        if not rows:
            return 0
        now = datetime.now(UTC).isoformat(timespec="seconds")
        numbers = self._numbers({row[0].direction for row in rows}, tenant)
        values = []
        for e, before, before_target in rows:
            number = numbers[e.direction]
            digest = digest_of(number, e.source, e.target, before)
            keys = key(e.source), key(e.target)
            told = e.origin, e.line, e.domain, creator, now
            values.append((digest, number, e.source, e.target, *keys, before, before_target, *told))
        with self._table.write() as connection:
            return connection.executemany(_INSERT, values).rowcount

    def _numbers(self, directions: Iterable[Direction], tenant: str) -> dict[Direction, int]:
        """The collections' numbers; missing collections are made."""
        numbers = {}
        for direction in directions:
            values = tenant, direction.source, direction.target
            query = "SELECT id FROM collections WHERE (tenant, source_language, target_language) = (?, ?, ?)"
            if not (found := self._table.rows(query, values)):
                with self._table.write() as connection:
                    connection.execute("INSERT OR IGNORE INTO collections VALUES (NULL, ?, ?, ?)", values)
                found = self._table.rows(query, values)
            numbers[direction] = int(found[0][0])
        return numbers

    def remove(
        self,
        tenant: str = DEFAULT_TENANT,
        *,
        identifiers: Sequence[int] | None = None,
        direction: Direction | str | None = None,
        origin: str | None = None,
        domain: str | None = None,
        source: str | None = None,
        target: str | None = None,
        everything: bool = False,
    ) -> int:
        """Remove the tenant's segments that fit all that is given; returns how many. The texts are overwritten on disk.

        `direction` is taken as stored. Raises DataError when nothing is given and `everything` is not set.
        """
        wanted: dict[str, object] = {"origin": origin, "domain": domain, "source": source, "target": target}
        wanted = {f"{name} = ?": value for name, value in wanted.items() if value is not None}
        if direction:
            direction = Direction.of(direction)
            wanted |= {"source_language = ?": direction.source, "target_language = ?": direction.target}
        if not wanted and identifiers is None and not everything:
            raise DataError(
                "remove: says nothing of what to remove. Name an origin, a text, ... or ask for everything."
            )
        conditions = " AND ".join(["tenant = ?", *wanted])
        query = (
            "DELETE FROM segments WHERE id IN (SELECT segments.id FROM segments JOIN collections"
            f" ON collection = collections.id WHERE {conditions}"
        )
        values = [tenant, *wanted.values()]
        with self._table.write() as connection:
            if identifiers is None:
                removed = connection.execute(query + ")", values).rowcount
            else:
                each = [(*values, number) for number in identifiers]
                removed = connection.executemany(query + " AND segments.id = ?)", each).rowcount
        if everything:
            shutil.rmtree(self._folder(tenant), ignore_errors=True)
        return removed

    def index(self, tenant: str | None = None) -> int:
        """Bring the saved indexes up to date, both ways, where much has changed; returns how many there are."""
        query = "SELECT tenant, source_language, target_language FROM collections"
        wanted = set()
        for owner, source, target in self._table.rows(query):
            if tenant in (None, owner):
                wanted |= {(owner, Direction(source, target)), (owner, Direction(target, source))}
        for owner, direction in sorted(wanted, key=str):
            index, vectors = self._index(owner, direction)
            index.save(self._table.count([*self._table.collections(owner, direction)]))
            if vectors:
                vectors.save()
        return len(wanted)

    # ---------------------------------------------------------------- search

    def search(
        self,
        text: str,
        direction: Direction | str,
        *,
        k: int = 3,
        min_match: float = 0.0,
        max_match: float = 1.0,
        tenant: str = DEFAULT_TENANT,
        exclude: Collection[str] = (),
        context: str = "",
        candidates: int = CANDIDATES,
    ) -> list[Match]:
        """The `k` best matches of a source text, best first; the same pair comes once.

        Order: match, exact text, same context, nearest vector, newest. `min_match` and `max_match` are bounds of the
        match; a ceiling below 1 keeps near twins out. `exclude` are keys (`core.corpus.leaks.twin_keys`): a pair whose source
        or target has one of them is not returned. `context` is the segment before `text`. Fewer `candidates` find a little
        less, faster.
        """
        direction = Direction.of(direction)
        if k < 1 or not (collections := self._table.collections(tenant, direction)):
            return []
        index, vectors = self._index(tenant, direction)
        query, before = Query.of(text), words(context)
        near = vectors.search(text, max(k, 10)) if vectors else {}
        count = max(16, 4 * k)
        found: dict[int, Candidate] = {}

        def take(segments: Iterable[Segment], matches: Mapping[int, float]) -> None:
            for segment in segments:
                match = matches.get(segment.identifier)
                if match is None:
                    match = similarity(text, segment.source)
                if min_match <= match <= max_match and not (exclude and excluded(segment, exclude)):
                    exact = match >= 1.0 and same_text(text, segment.source)
                    in_context = bool(before) and words(segment.context) == before
                    cosine = near.get(segment.identifier)
                    found[segment.identifier] = Candidate(match, exact, in_context, cosine, segment)

        take(self._table.with_key(collections, key(text), context, count), {})
        take(self._table.segments(collections, [*near]), {})
        seen = 0
        while True:
            ids, matches = index.search(query, count, min_match, candidates)
            fresh = dict(zip(ids[seen:].tolist(), matches[seen:].tolist(), strict=True))
            take(self._table.segments(collections, [*fresh]), fresh)
            best = once(sorted(found.values(), key=Candidate.rank, reverse=True))[:k]
            # more is needed when too much was left out, or when a pair tied with the last could win by its context
            tied = bool(before) and len(best) == k and len(ids) > 0 and best[-1].match <= matches[-1] + 1e-9
            if len(ids) < count or count >= candidates or (len(best) == k and not tied):
                return [candidate.described(text) for candidate in best]
            seen, count = count, count * 4

    def search_many(
        self,
        texts: Sequence[str],
        direction: Direction | str,
        *,
        k: int = 3,
        min_match: float = 0.0,
        max_match: float = 1.0,
        tenant: str = DEFAULT_TENANT,
        excludes: Sequence[Collection[str]] | None = None,
        contexts: Sequence[str] | None = None,
        candidates: int = CANDIDATES,
        threads: int = 1,
    ) -> list[list[Match]]:
        """`search` for each text, in order; `excludes` and `contexts` hold one entry per text."""
        texts, direction = several(texts), Direction.of(direction)

        def one(text: str, exclude: Collection[str], context: str) -> list[Match]:
            return self.search(
                text,
                direction,
                k=k,
                min_match=min_match,
                max_match=max_match,
                tenant=tenant,
                exclude=exclude,
                context=context,
                candidates=candidates,
            )

        columns = texts, excludes or [()] * len(texts), contexts or [""] * len(texts)
        if threads <= 1:
            return [one(*row) for row in zip(*columns, strict=True)]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, *columns))

    def _index(self, tenant: str, direction: Direction) -> tuple[Index, Vectors | None]:
        """The index of a tenant and direction, with all that was added up to now."""
        place = tenant, str(direction)
        with self._lock:
            if place not in self._indexes:
                folder = self._folder(tenant) / str(direction).replace(">", "_")

                def rows(after: int, upto: int) -> Iterator[tuple[int, str]]:
                    return self._table.texts(self._table.collections(tenant, direction), after, upto)

                index = Index(folder, self._table.store, rows)
                vectors = Vectors(folder, self._table.store, rows, self._encoder) if self._encoder else None
                self._indexes[place] = index, vectors
            found = self._indexes[place]
        newest = self._table.newest()
        found[0].refresh(newest)
        if found[1]:
            found[1].refresh(newest)
        return found

    def _folder(self, tenant: str) -> Path:
        name = hashlib.blake2b(tenant.encode(), digest_size=8).hexdigest()
        return self.path.with_suffix(".index") / name

    # ---------------------------------------------------------------- look

    @property
    def fingerprint(self) -> str:
        """Another one after every addition and removal: numbers of segments are never used twice."""
        query = "SELECT count(*), coalesce(max(id), 0), coalesce(sum(id), 0) FROM segments"
        return "-".join([self._table.store, *map(str, self._table.rows(query)[0])])

    def stats(self, tenant: str | None = None) -> list[Holding]:
        """What is held, by tenant and direction as stored."""
        condition, values = ("WHERE tenant = ?", (tenant,)) if tenant is not None else ("", ())
        query = (
            "SELECT tenant, source_language, target_language, origin, count(*), min(created), max(created)"
            f" FROM segments JOIN collections ON collection = collections.id {condition}"
            " GROUP BY collection, origin ORDER BY collection, 5 DESC"
        )
        groups: dict[tuple[str, Direction], list[tuple[str, int, str, str]]] = {}
        for owner, source, target, *rest in self._table.rows(query, values):
            groups.setdefault((owner, Direction(source, target)), []).append((rest[0], rest[1], rest[2], rest[3]))
        return [
            Holding(
                owner,
                direction,
                sum(count for _, count, _, _ in parts),
                {origin: count for origin, count, _, _ in parts},
                min(first for _, _, first, _ in parts),
                max(last for _, _, _, last in parts),
            )
            for (owner, direction), parts in groups.items()
        ]

    def segments(
        self, tenant: str = DEFAULT_TENANT, direction: Direction | str | None = None
    ) -> Iterator[tuple[Direction, Segment]]:
        """All segments of a tenant as stored, or those that serve one direction, turned into it."""
        if direction is not None:
            direction = Direction.of(direction)
            for segment in self._table.all(self._table.collections(tenant, direction)):
                yield direction, segment
            return
        query = "SELECT id, source_language, target_language FROM collections WHERE tenant = ? ORDER BY id"
        for number, source, target in self._table.rows(query, (tenant,)):
            for segment in self._table.all({number: False}):
                yield Direction(source, target), segment

    def export(self, path: Path | str, tenant: str = DEFAULT_TENANT, direction: Direction | str | None = None) -> int:
        """Write a tenant's segments as TMX 1.4b; returns how many."""
        from dragoman.store.memory.export import write_tmx

        return write_tmx(Path(path), self.segments(tenant, direction))

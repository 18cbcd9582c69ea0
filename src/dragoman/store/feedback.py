"""Feedback as it is kept: in the data base of the ledger, in a table of its own, with its texts.

Unlike the ledger it holds texts always: a person sent them to be used. `erase` takes a tenant's out again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import storable
from dragoman.core.watch.feedback import Distance, Edit, form
from dragoman.store.run.artifact import write_atomic
from dragoman.store.tables import NUMBER, create_tables

EDIT, CHOICE = "edit", "choice"  # kinds that are judged and may be trained on
JUDGED = (EDIT, CHOICE)
ACCEPTED, WAITING, REVOKED, OLD = "accepted", "waiting", "revoked", "superseded"
TRAIN, TEST, NEITHER = "train", "test", ""
_GROUP = 500  # values in one IN
_tables = sql.MetaData()
_feedback = sql.Table(
    "feedback",
    _tables,
    sql.Column("id", NUMBER, primary_key=True),
    sql.Column("at", sql.Float, nullable=False, index=True),
    sql.Column("kind", sql.String, nullable=False),  # edit; choice (of `text` over `machine`); verdict (1 or 0), rating
    sql.Column("user", sql.String, nullable=False, index=True),
    sql.Column("tenant", sql.String, nullable=False, index=True),
    sql.Column("direction", sql.String, nullable=False),
    sql.Column("document", sql.String, nullable=False),
    sql.Column("model", sql.String, nullable=False),
    sql.Column("source", sql.Text, nullable=False),
    sql.Column("source_key", sql.String, nullable=False, index=True),
    sql.Column("machine", sql.Text, nullable=False),
    sql.Column("text", sql.Text, nullable=False),
    sql.Column("value", sql.Float),
    sql.Column("status", sql.String, nullable=False, index=True),
    sql.Column("reason", sql.String, nullable=False),
    sql.Column("part", sql.String, nullable=False),  # train, test, or neither
    sql.Column("edits", sql.Float),
    sql.Column("words", sql.Float),
    sql.Column("chrf", sql.Float),
    sql.Column("digest", sql.String, nullable=False, unique=True),
)
_shown = sql.Table(  # what `pick` gave out, so that what comes back is held against it
    "shown",
    _tables,
    sql.Column("source_key", sql.String, primary_key=True),
    sql.Column("direction", sql.String, primary_key=True),
    sql.Column("tenant", sql.String, primary_key=True),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("machine", sql.Text, nullable=False),
    sql.Column("model", sql.String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """One row."""

    id: int
    edit: Edit
    kind: str
    value: float | None
    status: str
    reason: str
    part: str
    distance: Distance | None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            **{**asdict(self.edit), "direction": str(self.edit.direction)},
            "value": self.value,
            "status": self.status,
            "reason": self.reason,
            "part": self.part,
        }


@dataclass(frozen=True, slots=True)
class Edited:
    """What people said in a time: accepted post-edits with HTER and chrF (per cent), verdicts, ratings."""

    edits: int
    hter: float | None
    chrf: float | None
    unchanged: float | None  # share of the edits that left the machine's translation as it was
    verdicts: int
    approved: float | None
    ratings: int
    rating: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Feedback:
    """The tables, in the data base of an open ledger."""

    def __init__(self, engine: sql.Engine) -> None:
        self.engine = engine
        create_tables(engine, _tables)

    # ---------------------------------------------------------------- write

    def add(
        self, edit: Edit, kind: str, status: str, reason: str = "", part: str = NEITHER,
        distance: Distance | None = None, value: float | None = None,
    ) -> int | None:  # fmt: skip
        """Keep one; its id, or None where the same user said the same before. Who goes back to what was superseded since says
        something new."""
        at = edit.at or time.time()
        names = (edit.tenant, edit.user, kind, str(edit.direction), form(edit.source), form(edit.text))
        said = (*names, str(at)) if kind != "edit" else names
        row = {
            "at": at,
            "kind": kind,
            "user": edit.user,
            "tenant": edit.tenant,
            "direction": str(edit.direction),
            "document": edit.document,
            "model": edit.model,
            "source": storable(edit.source),
            "source_key": key(edit.source),
            "machine": storable(edit.machine),
            "text": storable(edit.text),
            "value": value,
            "status": status,
            "reason": reason,
            "part": part,
            "edits": distance.edits if distance else None,
            "words": distance.words if distance else None,
            "chrf": distance.chrf if distance else None,
            "digest": hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest(),
        }
        with self.engine.begin() as connection:
            same = sql.select(_feedback.c.id, _feedback.c.status).where(_feedback.c.digest == row["digest"])
            if (before := connection.execute(same).first()) is not None:
                if before.status != OLD:
                    return None
                own = hashlib.blake2b(f"{row['digest']} {before.id}".encode(), digest_size=16).hexdigest()
                connection.execute(_feedback.update().where(_feedback.c.id == before.id).values(digest=own))
            made = connection.execute(_feedback.insert().values(**row)).inserted_primary_key
        assert made is not None  # noqa: S101 # an insert of one row has one
        return int(made[0])

    def show(self, edits: Iterable[Edit]) -> None:
        """Remember what the machine said of these sources (`text` is not read)."""
        with self.engine.begin() as connection:
            for one in edits:
                place = {"source_key": key(one.source), "direction": str(one.direction), "tenant": one.tenant}
                connection.execute(_shown.delete().where(*(_shown.c[name] == value for name, value in place.items())))
                told = {"at": one.at or time.time(), "machine": one.machine, "model": one.model}
                connection.execute(_shown.insert().values(**place, **told))

    def mark(self, ids: Sequence[int], status: str, reason: str, part: str | None = None) -> None:
        values = {"status": status, "reason": reason} | ({} if part is None else {"part": part})
        with self.engine.begin() as connection:
            for start in range(0, len(ids), _GROUP):
                chosen = _feedback.c.id.in_(list(ids[start : start + _GROUP]))
                connection.execute(_feedback.update().where(chosen).values(**values))

    def erase(self, tenant: str) -> int:
        with self.engine.begin() as connection:
            connection.execute(_shown.delete().where(_shown.c.tenant == tenant))
            return int(connection.execute(_feedback.delete().where(_feedback.c.tenant == tenant)).rowcount)

    # ---------------------------------------------------------------- read

    def rows(
        self, *, kind: str | Sequence[str] | None = None, status: str | None = None, part: str | None = None,
        user: str | None = None, tenant: str | None = None, ids: Sequence[int] | None = None, since: float = 0.0,
    ) -> list[Kept]:  # fmt: skip
        """In the order in which they came."""
        found = sql.select(_feedback).where(_feedback.c.at >= since).order_by(_feedback.c.id)
        if kind is not None:
            found = found.where(_feedback.c.kind.in_([kind] if isinstance(kind, str) else list(kind)))
        for name, value in (("status", status), ("part", part), ("user", user), ("tenant", tenant)):
            if value is not None:
                found = found.where(_feedback.c[name] == value)
        if ids is not None:
            found = found.where(_feedback.c.id.in_(list(ids)))
        with self.engine.connect() as connection:
            return [_kept(row) for row in connection.execute(found)]

    def machine(self, sources: Sequence[str], direction: Direction, tenant: str) -> dict[str, tuple[str, str]]:
        """(translation, model) of the sources that `pick` has given out."""
        keys = {source: key(source) for source in sources}
        names = list(dict.fromkeys(keys.values()))
        found: dict[str, tuple[str, str]] = {}
        with self.engine.connect() as connection:
            for start in range(0, len(names), _GROUP):
                chosen = sql.select(_shown).where(
                    _shown.c.source_key.in_(names[start : start + _GROUP]),
                    _shown.c.direction == str(direction),
                    _shown.c.tenant == tenant,
                )
                for row in connection.execute(chosen):
                    found[row.source_key] = (row.machine, row.model)
        return {source: found[name] for source, name in keys.items() if name in found}

    def others(self, edit: Edit) -> list[Kept]:
        """Accepted post-edits of the same source in the same direction, the newest last."""
        found = sql.select(_feedback).where(
            _feedback.c.source_key == key(edit.source),
            _feedback.c.direction == str(edit.direction),
            _feedback.c.tenant == edit.tenant,
            _feedback.c.kind == "edit",
            _feedback.c.status == ACCEPTED,
        )
        with self.engine.connect() as connection:
            return [_kept(row) for row in connection.execute(found.order_by(_feedback.c.id))]

    def standing(self, user: str, since: float) -> tuple[int, int, int]:
        """(accepted since, judged by checks in all, failed by checks in all) of a user."""
        mine = (_feedback.c.user == user, _feedback.c.kind.in_(JUDGED))
        failed = sql.or_(_feedback.c.reason.like("check %"), _feedback.c.reason.in_(("marker", "outlier")))
        count = sql.select(sql.func.count())
        with self.engine.connect() as connection:
            recent = count.where(*mine, _feedback.c.status == ACCEPTED, _feedback.c.at >= since)
            asked = (recent, count.where(*mine), count.where(*mine, failed))
            taken, judged, bad = (int(connection.execute(one).scalar_one()) for one in asked)
        return taken, judged, bad

    def closeness(self, direction: Direction, without: str) -> list[float]:
        """chrF to the machine's translation of all accepted post-edits of other users."""
        found = sql.select(_feedback.c.chrf).where(
            _feedback.c.status == ACCEPTED,
            _feedback.c.kind == "edit",
            _feedback.c.direction == str(direction),
            _feedback.c.user != without,
            _feedback.c.chrf.is_not(None),
        )
        with self.engine.connect() as connection:
            return [float(value) for value in connection.execute(found).scalars()]

    def summary(self, direction: Direction | str, since: float = 0.0) -> Edited | None:
        """None where nobody has said anything."""
        rows = [one for one in self.rows(since=since) if str(one.edit.direction) == str(direction)]
        edits = [one for one in rows if one.kind == "edit" and one.status == ACCEPTED]
        known = [(one, one.distance) for one in edits if one.distance is not None]
        verdicts = [one.value or 0.0 for one in rows if one.kind == "verdict"]
        ratings = [one.value or 0.0 for one in rows if one.kind == "rating"]
        if not (edits or verdicts or ratings):
            return None
        words = sum(distance.words for _, distance in known)
        return Edited(
            len(edits),
            100 * sum(distance.edits for _, distance in known) / words if words else None,
            _mean([distance.chrf for _, distance in known]),
            _mean([float(form(one.edit.machine) == form(one.edit.text)) for one, _ in known]),
            len(verdicts),
            _mean(verdicts),
            len(ratings),
            _mean(ratings),
        )

    def counts(self) -> dict[str, Counter[str]]:
        """user -> status, with its reason where it has one -> post-edits and choices."""
        found: dict[str, Counter[str]] = {}
        for one in self.rows(kind=JUDGED):
            told = f"{one.status}: {one.reason}" if one.reason and one.status != ACCEPTED else one.status
            found.setdefault(one.edit.user, Counter())[told] += 1
        return found

    def pairs(self) -> list[Mapping[str, str]]:
        """What people want rather (source, better, worse, direction, author, date): what they edited, and what most chose of
        two. Of one user the latest choice counts; a tie is no pair."""
        rows = self.rows(kind=JUDGED, status=ACCEPTED, part=TRAIN)
        found = [
            one.edit for one in rows if one.kind == EDIT and one.edit.machine and one.edit.machine != one.edit.text
        ]
        votes: dict[tuple[str, str, str, str, str], Edit] = {}
        for row in rows:
            if row.kind == CHOICE:
                one = row.edit
                first, second = sorted((one.text, one.machine))
                votes[str(one.direction), one.source, first, second, f"{one.tenant} {one.user}"] = one
        polls: dict[tuple[str, ...], list[Edit]] = {}
        for (*about, _), one in votes.items():
            polls.setdefault(tuple(about), []).append(one)
        for held in polls.values():
            counts = Counter(one.text for one in held).most_common()
            if len(counts) == 1 or counts[0][1] > counts[1][1]:
                found.append(next(one for one in held if one.text == counts[0][0]))
        return [
            {
                "source": one.source,
                "better": one.text,
                "worse": one.machine,
                "direction": str(one.direction),
                "author": one.user,
                "date": datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds") if one.at else "",
            }
            for one in found
        ]

    def write(self, folder: Path) -> dict[str, int]:
        """train.jsonl, test.jsonl (source, target, document) and pairs.jsonl (better, worse) of all that is accepted."""
        rows = self.rows(kind="edit", status=ACCEPTED)
        parts = {name: [one.edit for one in rows if one.part == name] for name in (TRAIN, TEST)}
        lines: dict[str, list[Mapping[str, str]]] = {
            name: [
                {
                    "source": one.source,
                    "target": one.text,
                    "source_language": one.direction.source,
                    "target_language": one.direction.target,
                    "document": one.document,
                    "domain": "feedback",
                }
                for one in edits
            ]
            for name, edits in parts.items()
        }
        lines["pairs"] = self.pairs()
        for name, held in lines.items():
            text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in held)
            write_atomic(folder / f"{name}.jsonl", text.encode())
        return {name: len(held) for name, held in lines.items()}


def key(source: str) -> str:
    return hashlib.blake2b(form(storable(source)).encode(), digest_size=16).hexdigest()


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _kept(row: Any) -> Kept:
    edit = Edit(
        row.source, row.text, Direction.parse(row.direction), row.machine, row.document, row.user, row.tenant,
        row.model, row.at,
    )  # fmt: skip
    distance = Distance(row.edits, row.words, row.chrf) if row.edits is not None else None
    return Kept(row.id, edit, row.kind, row.value, row.status, row.reason, row.part, distance)

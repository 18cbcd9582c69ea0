"""Taking feedback in: quarantine, memory, training rows, preference pairs, and a test set that grows.

Every post-edit is either accepted or waits with its reason. What is accepted goes into the memory and is trained on by the next
refresh; but a fixed share of documents, chosen by the hash of their name, is kept for testing and goes into neither.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from dragoman.core.corpus import leaks
from dragoman.core.corpus.checks import Checker
from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Monitor, ParallelSource, Recipe
from dragoman.core.records import Example, Rejected
from dragoman.core.text.identify import Sides
from dragoman.core.text.languages import Direction, matches, spoken
from dragoman.core.watch.feedback import FEWEST, Distance, Edit, checker, distances, for_test, form, outlying
from dragoman.core.watch.screening import control_marks
from dragoman.errors import DataError
from dragoman.store.corpus import records
from dragoman.store.feedback import (
    ACCEPTED,
    CHOICE,
    EDIT,
    JUDGED,
    NEITHER,
    OLD,
    REVOKED,
    TEST,
    TRAIN,
    WAITING,
    Feedback,
    Kept,
)
from dragoman.store.ledger import Ledger
from dragoman.store.memory.admission import refusal_of
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run import choices
from dragoman.store.run.observer import ledger_of, settings_of
from dragoman.store.run.trained import key_of

ORIGIN = "feedback"  # of its segments in the memory
_ASIDE = ("feedback.sqlite", "memory.sqlite")  # of a server that serves no run, in its folder
FOLDER = "feedback"
_LEARN = 10_000  # training rows that the checks learn from
_MONTH = 30 * 86_400.0


@dataclass
class Taken:
    """What became of post-edits; each is counted once in `accepted`, `waiting`, `known` or `rejected`."""

    accepted: int = 0
    waiting: Counter[str] = field(default_factory=Counter)  # by reason
    known: int = 0  # the same user said the same before
    rejected: Counter[str] = field(default_factory=Counter)  # rows that could not be read, by reason
    parts: Counter[str] = field(default_factory=Counter)  # of the accepted: train, test, held out, seen in training
    revoked: int = 0  # earlier ones of the same users that were taken back
    without_machine: int = 0  # the machine's translation is not known: no preference pair, no HTER

    def to_json(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            "waiting": dict(self.waiting),
            "known": self.known,
            "rejected": dict(self.rejected),
            "parts": dict(self.parts),
            "revoked": self.revoked,
            "without_machine": self.without_machine,
        }


class Desk:
    """Where a run's feedback is judged and laid away. Open it for a batch, or keep it open in a server (one thread)."""

    def __init__(self, run: Path, ledger: Ledger, settings: Monitor) -> None:
        self.run, self.ledger, self.rules = run, ledger, settings.feedback
        self.store = Feedback(ledger.engine)
        self._secret = key_of(run) or run.resolve().name
        self._checkers: dict[Direction, Checker] = {}
        self._held: set[str] | None = None
        self._trained: set[str] | None = None

    @classmethod
    def open(cls, run: Path) -> Self:
        """Raises DataError where the folder holds no run, or its data base cannot be used."""
        if not (run / "recipe.lock.yaml").is_file() and not (run / "recipe.yaml").is_file():
            if (run / _ASIDE[0]).is_file():
                return cls.aside(run)
            raise DataError(f"{run}: is no run: it has no recipe.")
        settings = settings_of(run) or Monitor()
        return cls(run, Ledger.open(ledger_of(run, settings)), settings)

    @classmethod
    def aside(cls, state: Path) -> Self:
        """The desk of a server for models without a run: its memory is the server's, nothing is kept for testing."""
        ledger, memory = (state / name for name in _ASIDE)
        return cls(memory, Ledger.open(ledger), Monitor.model_validate({"feedback": {"test": 0}}))

    def close(self) -> None:
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # ---------------------------------------------------------------- take

    def verdict(self, edit: Edit, *, good: bool) -> None:
        """Somebody took a translation as it is, or not. `edit.text` is the translation."""
        self.store.add(edit, "verdict", ACCEPTED, value=float(good))

    def rate(self, edit: Edit, value: float) -> None:
        """A rating of a translation, in any scale that is kept to."""
        self.store.add(edit, "rating", ACCEPTED, value=value)

    def take(self, edits: Iterable[Edit | Rejected], listener: Listener = SILENT, kind: str = EDIT) -> Taken:
        """Judge post-edits and lay them away; the memory has the accepted ones then. Of the kind CHOICE they are translations
        that people chose (`text`) over others (`machine`), which no memory gets."""
        taken = Taken()
        rows: list[Edit] = []
        for one in edits:
            if isinstance(one, Rejected):
                taken.rejected[one.reason] += 1
            else:
                rows.append(one)
        ways: dict[tuple[Direction, str], list[Edit]] = {}
        for one in self._with_machine(rows):
            ways.setdefault((one.direction, one.user), []).append(one)
        done = 0
        for (way, user), group in ways.items():
            bad = self._spoken_against(group)
            closeness = self.store.closeness(way, user)
            for one, why, distance in zip(group, bad, distances(group), strict=True):
                done += 1
                listener.progress("feedback", done, len(rows))
                taken.without_machine += not one.machine
                judged = not why and distance is not None and user not in self.rules.trusted
                far = "outlier" if judged and distance and outlying(distance.chrf, closeness) else ""
                self._lay(one, why or far or self._refused(one, kind), distance, taken, kind)
            taken.revoked += self._suspend(user)
        listener.progress("feedback", len(rows), len(rows))
        return taken

    def gather(self, place: Path | None = None) -> Taken:
        """Take in what a server of this run was told of two translations since the last time."""
        return self.take(choices.read(place or self.run / "server" / choices.FILE), kind=CHOICE)

    def _with_machine(self, edits: Sequence[Edit]) -> list[Edit]:
        """With the machine's translation, where `pick` gave the source out or the ledger keeps texts."""
        lacking = [one for one in edits if not one.machine]
        known: dict[tuple[Direction, str, str], tuple[str, str]] = {}
        for way, tenant in {(one.direction, one.tenant) for one in lacking}:
            sources = [one.source for one in lacking if (one.direction, one.tenant) == (way, tenant)]
            told = self.ledger.translations(list({*sources, *map(form, sources)}), str(way), tenant)
            told = {
                source: told[as_kept] for source in sources for as_kept in (form(source), source) if as_kept in told
            }
            found = {**told, **self.store.machine(sources, way, tenant)}
            known |= {(way, tenant, source): pair for source, pair in found.items()}
        filled = []
        for one in edits:
            machine, model = known.get((one.direction, one.tenant, one.source), (one.machine, one.model))
            filled.append(one if one.machine else replace(one, machine=machine, model=model))
        return filled

    def _spoken_against(self, edits: Sequence[Edit]) -> list[str]:
        """The first thing that the checks have against each, or nothing."""
        examples = [one.example() for one in edits]
        refused = [refusal_of(one) for one in examples]
        way = edits[0].direction
        findings, sides = self._checker(way).check_many(examples), Sides.of(way.source, way.target)
        why = []
        for edit, refusal, found in zip(edits, refused, findings, strict=True):
            added = Counter(control_marks(edit.text)) - Counter(control_marks(edit.source))
            turned = sides is not None and sides.first(edit.source) is False and sides.first(edit.text) is True
            check = f"check {found[0].name}" if found else "check sides" if turned else ""
            why.append(refusal.reason if refusal else "marker" if added else check)
        return why

    def _refused(self, edit: Edit, kind: str) -> str:
        """What speaks against it besides its texts: its user's share, or another person's word."""
        if edit.user in self.rules.trusted:
            return ""
        if self.rules.approve:
            return "approval"
        if self.store.standing(edit.user, time.time() - _MONTH)[0] >= self.rules.most:
            return "cap"
        if kind == CHOICE:  # people may differ: the most have it
            return ""
        others = [one for one in self.store.others(edit) if one.edit.user != edit.user]
        if any(form(one.edit.text) != form(edit.text) for one in others) or (
            not others and self._is_known_otherwise(edit)
        ):
            return "disagrees"
        return ""

    def _is_known_otherwise(self, edit: Edit) -> bool:
        if not memory_file(self.run).is_file():
            return False
        with Memory.open(memory_file(self.run)) as memory:
            found = memory.search(edit.source, edit.direction, k=3, min_match=1.0, tenant=edit.tenant)
            own = {form(one.edit.text) for one in self.store.others(edit)}
            exact = {form(one.target) for one in found if one.exact} - own
        return bool(exact) and form(edit.text) not in exact

    def _lay(self, edit: Edit, why: str, distance: Distance | None, taken: Taken, kind: str) -> None:
        status = WAITING if why else ACCEPTED
        part, told = (NEITHER, why) if why else self._part(edit)
        own = self._own(edit) if not why and kind == EDIT else []
        if self.store.add(edit, kind, status, told, part, distance) is None:
            taken.known += 1
            return
        if why:
            taken.waiting[why] += 1
            return
        taken.accepted += 1
        taken.parts[part or told] += 1
        self._withdraw(own, OLD, "a newer one")
        if part != TEST and kind == EDIT:
            self._remember([edit])
        self._note(edit, part)

    def _note(self, edit: Edit, part: str) -> None:
        for kept, wanted in ((self._held, TEST), (self._trained, TRAIN)):
            if kept is not None and part == wanted:
                kept.update(leaks.keys((edit.source, edit.text)))

    def _part(self, edit: Edit) -> tuple[str, str]:
        """Train, test, or neither with the reason: what was held out is never trained on, nor the other way round."""
        mine = leaks.keys((edit.source, edit.text))
        name = edit.document or f"segment {edit.source}"
        if not for_test(f"{edit.tenant}\0{name}", self.rules.test, self._secret):
            return (NEITHER, "held out") if mine & self._held_out() else (TRAIN, "")
        return (NEITHER, "seen in training") if mine & self._seen() else (TEST, "")

    def _held_out(self) -> set[str]:
        if self._held is None:
            self._held = _keys_of(self.run, ("dev", "test")) | self._of_part(TEST)
        return self._held

    def _seen(self) -> set[str]:
        if self._trained is None:
            self._trained = _keys_of(self.run, ("train",)) | self._of_part(TRAIN)
        return self._trained

    def _of_part(self, part: str) -> set[str]:
        """Whatever became of it since: what was once trained on cannot become a test."""
        rows = self.store.rows(kind=JUDGED, part=part)
        return leaks.keys_of((one.edit.source, one.edit.text) for one in rows)

    # ---------------------------------------------------------------- decide later

    def accept(self, rows: Sequence[Kept]) -> int:
        """A person lets post-edits and choices in that wait; how many. Of a user's post-edits of a source the newest stands."""
        accepted = 0
        for one in sorted(rows, key=lambda one: one.id):
            if one.kind not in JUDGED or one.status not in (WAITING, REVOKED):
                continue
            own = [other for other in self._own(one.edit) if one.kind == EDIT]
            if any(other.id > one.id for other in own):
                self.store.mark([one.id], OLD, "a newer one")
                continue
            part, told = self._part(one.edit)
            self.store.mark([one.id], ACCEPTED, told, part)
            self._withdraw(own, OLD, "a newer one")
            if part != TEST and one.kind == EDIT:
                self._remember([one.edit])
            self._note(one.edit, part)
            accepted += 1
        return accepted

    def _own(self, edit: Edit) -> list[Kept]:
        """The accepted post-edits of the same source by the same user."""
        return [one for one in self.store.others(edit) if one.edit.user == edit.user]

    def revoke(self, rows: Sequence[Kept], reason: str = "revoked") -> int:
        """Take accepted post-edits and choices back, out of the memory too; how many."""
        chosen = [one for one in rows if one.kind in JUDGED and one.status == ACCEPTED]
        self._withdraw(chosen, REVOKED, reason)
        return len(chosen)

    def _suspend(self, user: str) -> int:
        """Take all of a user back who fails too often; what is accepted later of them waits as well."""
        _, judged, failed = self.store.standing(user, 0.0)
        if user in self.rules.trusted or judged < FEWEST or failed <= self.rules.failing * judged:
            return 0
        return self.revoke(self.store.rows(kind=JUDGED, status=ACCEPTED, user=user), "user")

    def _withdraw(self, rows: Sequence[Kept], status: str, reason: str) -> None:
        """Out of the memory too, but for what another accepted post-edit says as well."""
        self.store.mark([one.id for one in rows], status, reason)
        if rows and memory_file(self.run).is_file():
            with Memory.open(memory_file(self.run)) as memory:
                for edit in (one.edit for one in rows if one.kind == EDIT):
                    said = {(one.edit.source, one.edit.text) for one in self.store.others(edit) if one.part != TEST}
                    if (edit.source, edit.text) in said:
                        continue
                    memory.remove(
                        edit.tenant,
                        direction=edit.direction,
                        origin=ORIGIN,
                        source=edit.source,
                        target=edit.text,
                    )

    def _remember(self, edits: Sequence[Edit]) -> None:
        with Memory.open(memory_file(self.run), create=True) as memory:
            for one in edits:
                memory.add([one.example()], one.tenant, creator=one.user)

    def _checker(self, way: Direction) -> Checker:
        if way not in self._checkers:
            rows = _sample(self.run, way)
            self._checkers[way] = checker([way.source, way.target], rows)
        return self._checkers[way]


def read(
    run: Path,
    path: Path,
    direction: Direction,
    *,
    user: str,
    tenant: str,
    machine: bool = True,
) -> list[Edit | Rejected]:
    """The post-edits of a file in any format that training texts come in. A table may have a column `machine`, and one
    `document`. Raises DataError."""
    from dragoman.store.formats.readers import read_parallel

    recipe = Recipe.model_validate({"pairs": [str(direction)]})
    head = _head(path)
    columns = {"document": head["document"]} if "document" in head else {}
    source = ParallelSource.model_validate({"path": str(path.resolve()), "columns": columns})
    shown: dict[int, str] = {}
    if machine and "machine" in head:
        asked = {"target": head["machine"]}
        told = [name for name in head.values() if (code := spoken(name)) and matches(direction.source, code)]
        if told and "source" not in head:
            asked["source"] = told[0]
        other = ParallelSource.model_validate({"path": str(path.resolve()), "pair": str(direction), "columns": asked})
        shown = {row.line: row.target for row in read_parallel(other, recipe) if isinstance(row, Example)}
        if not shown:
            raise DataError(
                f"{path}: has a column `machine`, and none of the source that is known beside it. Call it `source`."
            )
    found: list[Edit | Rejected] = []
    for row in read_parallel(source, recipe):
        if isinstance(row, Rejected):
            found.append(row)
            continue
        turned = row.towards(direction)
        if turned is None:
            found.append(Rejected("languages", f"{row.direction}, not {direction}", row.origin, row.line))
            continue
        found.append(Edit(turned.source, turned.target, direction, shown.get(row.line, ""), row.document, user, tenant))
    return found


def _head(path: Path) -> dict[str, str]:
    """The names of a table's columns, by what they are in small letters; nothing for other formats."""
    from dragoman.store.files import read_blocks

    if not any(end in path.name.lower() for end in (".tsv", ".csv", ".jsonl")):
        return {}
    first = next(iter(read_blocks(str(path))), b"").split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    if ".jsonl" in path.name.lower():
        try:
            return {str(name).lower(): str(name) for name in json.loads(first)}
        except (TypeError, ValueError):
            return {}
    names = (cell.strip().strip('"') for cell in first.replace(",", "\t").replace(";", "\t").split("\t"))
    return {name.lower(): name for name in names}


def _keys_of(run: Path, splits: Sequence[str]) -> set[str]:
    return leaks.keys_of(row for split in splits for row in records.read_split(run / "prepare", split))


def _sample(run: Path, way: Direction) -> list[Example]:
    """Training rows of a direction, evenly spread."""
    folder = run / "prepare" / "train"
    if not records.there_are(folder):
        return []
    step = max(1, records.count(folder) // _LEARN)
    rows = (row for number, row in enumerate(records.read(folder, Example)) if number % step == 0)
    return [turned for row in rows if (turned := row.towards(way)) is not None]

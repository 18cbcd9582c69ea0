"""XLIFF 1.x and 2.x: units and inline codes; `xliff_targets` writes the targets.

Sources: XLIFF 1.2 (docs.oasis-open.org/xliff/v1.2/os/xliff-core.html) and 2.1/2.2 (docs.oasis-open.org/xliff/xliff-core).
In 1.x a unit is a `trans-unit`, or each `mrk mtype="seg"` of its `seg-source`; in 2.x each `segment`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dragoman.core.markup.inline import Inline
from dragoman.core.text.languages import same_writing
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import TOO_LONG, Edit, Marking, Problem, Translated, Unit, unique
from dragoman.store.formats.documents.xliff_targets import Slot, Targets, segments_of
from dragoman.store.formats.documents.xml_text import Codes, Element, read_xml
from dragoman.store.formats.xliff import State, target_state

CODES_1 = Codes(
    content=frozenset({"g", "mrk"}),
    begin={"bpt": ("rid", "id"), "bx": ("rid", "id")},
    end={"ept": ("rid", "id"), "ex": ("rid", "id")},
    flow="sub",
    halves="x",
)
CODES_2 = Codes(
    content=frozenset({"pc", "mrk"}),
    begin={"sc": ("id",), "sm": ("id",)},
    end={"ec": ("startRef", "id"), "em": ("startRef",)},
)
_TAG = re.compile(r"<!\[CDATA\[|\]\]>|<[^<>]*>")


class Xliff:
    """One XLIFF file. Raises DataError when it is not one."""

    def __init__(self, data: bytes, name: str) -> None:
        self.decoded, self.root = read_xml(data, name, "xliff", ("trans-unit", "unit"))
        self.text = self.decoded.text
        self.second = (
            self.root.attributes.get("version", "").startswith("2") or ":xliff:document:2." in self.text[:5000]
        )
        self.codes = CODES_2 if self.second else CODES_1
        self.newline = "\r\n" if "\r\n" in self.text[:5000] else "\n"
        self.problems: list[Problem] = []
        files = self.root.all("file")
        head = self.root if self.second else (files[0] if files else self.root)
        self.source_language = head.attributes.get("srcLang" if self.second else "source-language", "")
        self.target_language = head.attributes.get("trgLang" if self.second else "target-language", "")
        found = []
        for number, file in enumerate(files):
            found += list((self._units_2 if self.second else self._units_1)(file, file, f"f{number + 1}", True, False))
        self.slots = _chained(found)
        self.units = tuple(slot.unit for slot in self.slots)
        self._by_id = {slot.unit.id: slot for slot in self.slots}

    # ------------------------------------------------------------ reading

    def _broken(self, place: Element, name: str, reason: str) -> None:
        self.problems.append(Problem(name, self.decoded.line(place.start), reason))

    def _units_1(self, file: Element, here: Element, path: str, translate: bool, preserve: bool) -> Iterator[Slot]:
        for child in here.children:
            wanted = _inherited(child, "translate", translate, "yes")
            spaces = _inherited(child, "xml:space", preserve, "preserve")
            if child.local in ("body", "group"):
                yield from self._units_1(file, child, path, wanted, spaces)
            elif child.local == "trans-unit":
                yield from self._trans_unit(file, child, path, wanted, spaces)

    def _trans_unit(self, file: Element, unit: Element, path: str, translate: bool, preserve: bool) -> Iterator[Slot]:
        name = f"{path}/{unit.attributes.get('id') or unit.attributes.get('resname') or 'unit'}"
        source, target = unit.child("source"), unit.child("target")
        if source is None:
            self._broken(unit, name, "has no <source>")
            return
        if any(part.too_long for part in (source, target, unit.child("seg-source")) if part is not None):
            self._broken(unit, name, TOO_LONG)
            return
        if len(unit.all("target")) > 1:
            self._broken(unit, name, "has more than one <target>; the first counts")
        notes = tuple(self.text[note.inner : note.inner_end] for note in unit.all("note") if not note.empty)
        base = Unit(
            name,
            self.codes.read(self.text, source),
            translatable=translate,
            notes=tuple(note for note in notes if note.strip()),
            context=unit.attributes.get("resname", ""),
            line=self.decoded.line(source.start),
            wrapped=None if preserve else True,
        )
        segments = segments_of(unit.child("seg-source"))
        if not segments:
            known = self.codes.read(self.text, target) if target is not None else None
            state = self._state(known, target.attributes.get("state", "") if target is not None else "", unit)
            yield Slot(replace(base, target=known, state=state), file, unit, unit, source, target)
            return
        slots = {part.attributes.get("mid", ""): part for part in segments_of(target)}
        facts = target.attributes.get("state", "") if target is not None else ""
        whole = self.codes.read(self.text, target) if target is not None and self._loose(target) else None
        unmapped = whole is not None and any(part.attributes.get("mid", "") not in slots for part in segments)
        if unmapped and (len(segments) > 1 or slots):
            self._broken(
                unit, name, "has a target whose text cannot be told apart by its segments; it counts for all of them"
            )
        for part in segments:
            mid = part.attributes.get("mid", "")
            slot = slots.get(mid)
            known = self.codes.read(self.text, slot) if slot is not None else whole
            text = self.codes.read(self.text, part)
            state = self._state(known, facts, unit)
            yield Slot(
                replace(base, id=f"{name}/{mid}", source=text, target=known, state=state),
                file, unit, unit, part, target, mid, slot,
            )  # fmt: skip

    def _units_2(self, file: Element, here: Element, path: str, translate: bool, preserve: bool) -> Iterator[Slot]:
        for child in here.children:
            wanted = _inherited(child, "translate", translate, "yes")
            spaces = _inherited(child, "xml:space", preserve, "preserve")
            if child.local == "group":
                yield from self._units_2(file, child, path, wanted, spaces)
            elif child.local == "unit":
                yield from self._segments_2(child, path, wanted, spaces)

    def _segments_2(self, unit: Element, path: str, translate: bool, preserve: bool) -> Iterator[Slot]:
        name = f"{path}/{unit.attributes.get('id', 'unit')}"
        holder = unit.child("notes")
        notes = tuple(self.text[note.inner : note.inner_end] for note in (holder.all("note") if holder else ()))
        segments = unit.all("segment")
        if not segments:
            self._broken(unit, name, "has no <segment>")
        for number, segment in enumerate(segments):
            own = f"{name}/{segment.attributes.get('id', number + 1)}" if len(segments) > 1 else name
            source, target = segment.child("source"), segment.child("target")
            if source is None:
                self._broken(segment, own, "has no <source>")
                continue
            if source.too_long or (target is not None and target.too_long):
                self._broken(segment, own, TOO_LONG)
                continue
            known = self.codes.read(self.text, target) if target is not None else None
            spaces = _inherited(source, "xml:space", preserve, "preserve")
            found = Unit(
                own,
                self.codes.read(self.text, source),
                known,
                translate,
                self._state(known, segment.attributes.get("state", "" if known else "initial"), segment),
                notes,
                unit.attributes.get("name", ""),
                line=self.decoded.line(source.start),
                wrapped=None if spaces else True,
            )
            yield Slot(found, self.root, segment, unit, source, target)

    @staticmethod
    def _state(target: Inline | None, state: str, unit: Element) -> State:
        return target_state(target.text if target is not None else "", state, unit.attributes.get("approved", ""))

    def _loose(self, target: Element | None) -> bool:
        """True when a target of 1.x has text outside its segments, which then cannot be told apart."""
        if target is None:
            return False
        pieces, position = [], target.inner
        for part in segments_of(target):
            pieces.append(self.text[position : part.start])
            position = part.end
        return bool(_TAG.sub("", "".join(pieces) + self.text[position : target.inner_end]).strip())

    # ------------------------------------------------------------ writing

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes of the text. A target that is what stands there already changes nothing."""
        return Targets(self.decoded, self._by_id, self.second, self.newline, self.target_language).edits(
            targets, marking
        )

    def aim(self, source: str, target: str) -> None:
        """Take the direction asked for. Files of the document in other languages are reported and left as they are.

        Raises DataError when that leaves nothing.
        """
        names = ("srcLang", "trgLang") if self.second else ("source-language", "target-language")
        others: dict[int, str] = {}
        for slot in self.slots:
            found = [slot.file.attributes.get(name, "") for name in names]
            if not all(_fits(known, wanted) for known, wanted in zip(found, (source, target), strict=True)):
                others[id(slot.file)] = (
                    f"its languages are {found[0] or '?'} and {found[1] or '?'}, not {source} and {target}"
                )
        if self.slots and all(id(slot.file) in others for slot in self.slots):
            why = next(iter(others.values()))
            raise DataError(f"{self.decoded.name}: {why}. Give the direction that it has, or change its languages.")
        for number, slot in enumerate(self.slots):
            if reason := others.get(id(slot.file)):
                self.problems.append(Problem(slot.unit.id, slot.unit.line, reason))
                self.slots[number] = replace(slot, unit=replace(slot.unit, translatable=False))
        self.units = tuple(slot.unit for slot in self.slots)
        self._by_id = {slot.unit.id: slot for slot in self.slots}
        self.source_language, self.target_language = source, target


def _fits(known: str, wanted: str) -> bool:
    """True also for what is no registered language: templates name `xx` and the like."""
    try:
        return not known or same_writing(known, wanted)
    except DataError:
        return True


def _inherited(element: Element, name: str, inherited: bool, positive: str) -> bool:
    value = element.attributes.get(name)
    return inherited if value is None else value == positive


def _chained(slots: list[Slot]) -> list[Slot]:
    """Unique identifiers, and each unit's neighbour before it."""
    result = []
    before = ("", "")
    for slot, name in zip(slots, unique(slot.unit.id for slot in slots), strict=True):
        file = name.split("/", 1)[0]
        previous = before[1] if before[0] == file else ""
        result.append(replace(slot, unit=replace(slot.unit, id=name, previous=previous)))
        before = (file, name)
    return result
